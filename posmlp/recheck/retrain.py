"""A sample of a study's runs, trained again as the workflow trains them."""

import random
import shlex
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from posmlp.analysis.collect import (
    SHEET_COLUMNS,
    find_runs,
    runs_frame,
    write_curves,
    write_frame,
)
from posmlp.code_version import training_code_digest
from posmlp.data.images import DataError
from posmlp.data.prepare import prepare_study
from posmlp.recheck.derive import Collected
from posmlp.recheck.numbers import Number, compare_run, other_machine, row_of
from posmlp.study import RunConfig
from posmlp.workflow.allocation import launch

RUN = ["variant", "seed"]


@dataclass
class Sample:
    """Runs of a study that were drawn, and what came of training them again.

    Attributes:
        numbers: theirs, committed and now.
        folders: of those that have ended, by variant and seed.
        elsewhere: why their numbers may differ in the last digits; empty where they may not.
        faults: what else is wrong.
        skipped: why none was trained.
    """

    numbers: list[Number] = field(default_factory=list)
    folders: dict[tuple[str, int], Path] = field(default_factory=dict)
    elsewhere: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    skipped: str = ""


def draw_runs(collected: Collected, number: int, seed: int) -> list[RunConfig]:
    """Draw so many of a study's finished runs, all where there are fewer, in the sheet's order.

    One is of a first seed where there is any: the figures of its network are committed.
    """
    study, there = collected.study, set(collected.finished[RUN].itertuples(index=False, name=None))
    runs = [run for run in study.runs() if (run.variant, run.seed) in there]
    generator = random.Random(f"{seed} {study.name}")
    generator.shuffle(runs)
    runs.sort(key=lambda run: run.seed != study.seeds[0])
    others = runs[1:]
    generator.shuffle(others)
    drawn = {run.name for run in [*runs[:1], *others][:number]}
    return [run for run in study.runs() if run.name in drawn]


def stale(collected: Collected) -> list[str]:
    """Say what in runs.csv is not of the present study and the present code."""
    study, runs = collected.study, collected.runs
    present = training_code_digest()
    trained_by = sorted(set(collected.finished["code_version"]) - {present})
    train_again = f"train them again: make reproduce STUDY={study.files[0]}"
    if trained_by:
        return [
            f"its runs were trained by the code {', '.join(trained_by)} and that in "
            f"posmlp/{{layers,models,data,training}} is now {present}; {train_again}, or go to "
            "the commit that made them"
        ]
    asked, found = (frame.set_index(RUN) for frame in (runs_frame(study, ()), runs))
    both = asked.index.intersection(found.index)
    faults = []
    for column in (name for name in SHEET_COLUMNS if name not in RUN):
        now, committed = asked.loc[both, column], found.loc[both, column]
        differ = both[now != committed]
        if len(differ):
            (variant, seed), more = differ[0], len(differ) - 1
            faults.append(
                f"runs.csv: {column} of {variant} seed {seed}{f' and {more} more' if more else ''}:"
                f" committed {committed[differ[0]]!r}, the study now says {now[differ[0]]!r}; "
                + (train_again if column == "key" else "collect again: snakemake")
            )
    return faults


def retrain(collected: Collected, runs: list[RunConfig], results: Path, data_root: Path) -> Sample:
    """Train runs of a study into a results folder of their own, and compare their numbers."""
    sample, study = Sample(), collected.study
    try:
        prepare_study(study, str(data_root), results / study.name / "prepared.json")
    except DataError as error:
        sample.skipped = str(error)
        return sample
    for config in runs:
        if fault := train(collected, config, results, data_root):
            sample.faults.append(fault)
        else:
            sample.folders[config.variant, config.seed] = config.folder(results)
    if not sample.folders:
        return sample
    again = collect(collected, results)
    for config in runs:
        if (config.variant, config.seed) in sample.folders:
            rows = (row_of(frame, config) for frame in (collected.runs, again.runs))
            sample.elsewhere += other_machine(config, *rows)
            sample.numbers += compare_run(config, collected, again)
    sample.elsewhere = list(dict.fromkeys(sample.elsewhere))
    return sample


def train(collected: Collected, config: RunConfig, results: Path, data_root: Path) -> str:
    """Train one run on so many threads as it was; return what went wrong, or ""."""
    study, row = collected.study, row_of(collected.runs, config)
    device = "cpu" if row["device"] == row["cpu"] else "auto"
    command = [*shlex.split(launch(study.gpus, study.nodes)), "train"]
    command += [str(study.files[0]), "--variant", config.variant]
    command += ["--seed", str(config.seed), "--threads", f"{row['num_threads']:.0f}"]
    command += ["--results", str(results), "--data-root", str(data_root), "--device", device]
    log = results / "logs" / study.name / f"{config.variant}-seed{config.seed}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", encoding="utf-8") as file:
        status = subprocess.run(command, stdout=file).returncode
    if not status:
        return ""
    return f"{config.name}: its training ended with the status {status}; see above, and {log}"


def collect(collected: Collected, results: Path) -> Collected:
    """Gather the runs that have ended as the workflow does."""
    study = collected.study
    finished = find_runs(study, results, allow_missing=True)
    folder = results / study.name
    write_frame(runs_frame(study, finished), folder / "runs.csv")
    write_curves(finished, folder / "curves.csv")
    return Collected.read(study, results)
