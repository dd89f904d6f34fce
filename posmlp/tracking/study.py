"""What MLflow shows of a whole study beside its runs: made from <results>/<study>/ alone.

A run per variant carries what MLflow's grouping cannot show; the experiment has a description, a
saved view and the address of a comparison; the chosen variant stands in the model registry.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from posmlp.tracking import record, view
from posmlp.tracking.address import masked
from posmlp.tracking.mirror import RunMirror, sync_runs
from posmlp.tracking.registry import register
from posmlp.tracking.store import Store, open_client, unavailable

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger("posmlp.tracking")

SUMMARY = ("mean", "std", "half_width", "low", "high", "n", "num_seeds", "val_mean", "val_std")
SUMMARY += ("difference", "difference_half_width", "p_adjusted")
LONGEST_NOTE = 19_000  # MLflow takes 20,000 characters
COMPARE_TAG = "posmlp.compare"  # the address of the comparison, which has the ids of runs


def sync(run_folders: Sequence[Path], store: Store, study_folder: Path) -> dict[str, Any]:
    """Bring the MLflow experiment of a study to what its files say.

    Args:
        run_folders: all run folders of the study.
        study_folder: <results>/<study>; what is not in it yet is not shown.

    Returns:
        Counts of runs (sync_runs), and in words what stands in the registry.

    Raises:
        StoreUnavailable: the store does not answer, or cannot take more.
    """
    counts, mirrors = sync_runs(run_folders, store)
    client = open_client(store.uri, store.experiment_id)
    from mlflow.exceptions import MlflowException

    shown = StudyMirror(study_folder, client, store.experiment_id)
    try:
        shown.retire_others(run_folders)
        best = shown.show(mirrors)
        return {**counts, "registry": register(client, shown, best)}
    except MlflowException as error:
        raise unavailable(store.uri, error) from None


def first_note(study: Mapping[str, Any]) -> str:
    """What an experiment says before its study has results."""
    words = {name: record.escaped(study[name]) for name in ("title", "question")}
    return view.description(words, "", [], "")


class StudyMirror:
    """One study and its MLflow experiment."""

    def __init__(self, folder: Path, client: MlflowClient, experiment_id: str) -> None:
        self.folder, self.client, self.experiment_id = folder, client, experiment_id
        self.study = record.read_json(folder / "study.json")
        self.comparison = record.read_json(folder / "comparison.json")

    def show(self, mirrors: Mapping[Path, RunMirror]) -> RunMirror | None:
        """Publish everything but the registry; returns the run that was chosen."""
        by_cell = {(m.config["variant"], m.config["seed"]): m for m in mirrors.values()}
        entries = self.comparison.get("variants", [])
        for entry in entries:
            self.show_variant(entry)
        best = [by_cell.get((entry["variant"], entry["best_seed"])) for entry in entries]
        best = [run for run in best if run]
        self.set_tag(COMPARE_TAG, view.compare_path(self.experiment_id, [b.run_id for b in best]))
        validation = any(entry["val_mean"] is not None for entry in entries)
        names = [entry["variant"] for entry in entries]
        for name, value in view.tags(names, validation=validation).items():
            self.set_tag(name, value)
        self.set_tag("mlflow.note.content", self.note(len(best)))
        self.set_tag("mlflow.experimentKind", "custom_model_development")
        choice = self.comparison.get("choice")
        return choice and by_cell.get((choice["variant"], choice["seed"]))

    def note(self, num_compared: int) -> str:
        words = {
            name: record.escaped(self.study.get(name) or self.comparison.get(name) or "")
            for name in ("title", "question")
        }
        pages = [
            ("Charts of the variants", view.view_path(self.experiment_id)),
            ("Table of the variants", view.view_path(self.experiment_id, "table")),
        ]
        if num_compared:
            tags = self.client.get_experiment(self.experiment_id).tags
            pages.append(("The best seed of each variant side by side", tags[COMPARE_TAG]))
        table = self.folder / "tables/main.md"
        text = table.read_text(encoding="utf-8") if table.exists() else ""
        text = text[text.find("\n|") + 1 :]  # without its title, which is ours in other words
        note = view.description(words, text, pages, self.comparison.get("reason", ""))
        if len(note) > LONGEST_NOTE:
            short = (
                f"The main table is too long to be shown here: {self.folder.name}/tables/main.md"
            )
            note = view.description(words, short, pages, self.comparison.get("reason", ""))
        return masked(note)

    def set_tag(self, name: str, value: str) -> None:
        self.client.set_experiment_tag(self.experiment_id, name, value)

    def show_variant(self, entry: Mapping[str, Any]) -> None:
        """A run with a variant's figures over seeds; made anew where they have changed."""
        from mlflow.entities import Metric, Param, RunTag

        variant, identity = entry["variant"], f"{self.folder.name}/{entry['variant']}/summary"
        found = self.client.search_runs(
            [self.experiment_id], f"tags.`posmlp.run` = '{identity}'", max_results=100
        )
        figures = {f"summary/{name}": entry[name] for name in SUMMARY}
        figures = {name: round(float(v), 4) for name, v in figures.items() if v is not None}
        tags = {
            "posmlp.run": identity,
            "level": "summary",
            "current": "true",
            "study": self.folder.name,
            **{name: str(entry[name]) for name in ("variant", "gate", "groups", "claim")},
            "better": entry["better"],
            "mlflow.note.content": _summary_note(entry, self.comparison["level"]),
        }
        name = f"{record.variant_name(variant, self.study)} mean"
        kept = None
        for run in found:
            same = run.data.metrics == figures and tags.items() <= run.data.tags.items()
            if same and run.info.run_name == name and not kept:
                kept = run
            else:
                self.client.delete_run(run.info.run_id)
        if kept or not figures or not entry["finished_at"]:
            return
        end_ms = record.milliseconds(entry["finished_at"])
        run = self.client.create_run(self.experiment_id, end_ms, tags, name)
        self.client.log_batch(
            run.info.run_id,
            metrics=[Metric(key, value, end_ms, 0) for key, value in figures.items()],
            params=[Param("variant", variant), Param("study", self.folder.name)],
            tags=[RunTag(key, value) for key, value in tags.items()],
        )
        self.client.set_terminated(run.info.run_id, "FINISHED", end_ms)

    def retire_others(self, run_folders: Sequence[Path]) -> None:
        """Mark runs whose folder, or whose variant, is no longer there."""
        cells = [record.cell_prefix(record.read_config(f)) for f in run_folders]
        names = [entry["variant"] for entry in self.comparison.get("variants", [])]
        cells += [f"{self.folder.name}/{name}/summary" for name in names]
        token = None
        while True:
            page = self.client.search_runs(
                [self.experiment_id], "tags.current = 'true'", max_results=1000, page_token=token
            )
            for run in page:
                identity = run.data.tags.get("posmlp.run", "")
                if identity and not identity.startswith(tuple(cells)):
                    self.client.set_tag(run.info.run_id, "current", "false")
            token = page.token
            if not token:
                return


def _summary_note(entry: Mapping[str, Any], level: float) -> str:
    """Mean, spread and interval in a sentence."""
    if entry["mean"] is None:
        return "No seed has finished."
    text = f"Top-1 on the test images: {entry['mean']:.2f} %"
    if entry["std"] is not None:
        text += (
            f", standard deviation {entry['std']:.2f}, Student-t {level:.0%} interval "
            f"{entry['low']:.2f} to {entry['high']:.2f}"
        )
    return f"{text}; n = {entry['n']} of {entry['num_seeds']} seeds."
