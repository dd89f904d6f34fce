"""comparison.json: the study in numbers for other programs, and the choice of one variant.

The choice is made by RULE, on validation images alone.
"""

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd

from posmlp import metrics
from posmlp.analysis.main_table import first_variants
from posmlp.analysis.statistics import CONFIDENCE, OUTCOMES, Evidence
from posmlp.analysis.tables import plus_minus
from posmlp.markup import escaped
from posmlp.study import RunConfig, Study

RULE = (
    "Among variants with all seeds finished, the one with the highest mean top-1 on the validation "
    "images after the last epoch; of equals the one with fewer parameters, then the first in the "
    "sheet. Among its runs, the one with the highest top-1 on the validation images; of equals the "
    "lowest seed. Test images play no part in it."
)
COLUMNS = (
    *("variant", "claim", "gate", "groups", "other_settings", "against", "n", "num_seeds"),
    "params",
    *("token_mixing_params", "macs", "mixing_fraction", "removed_fraction"),
)
CHOSEN = (
    *("variant", "seed", "key", "val_top1", "test_top1", "num_train", "num_val", "num_test"),
    *("data_digest", "code_version", "git_commit", "git_dirty", "torch", "device"),
)


def compare(evidence: Evidence) -> dict[str, Any]:
    """The content of comparison.json.

    Returns:
        study, title, question, seeds, reference, level, margin;
        confidence: of the intervals of means;
        variants, in the order of the sheet: COLUMNS of summarise; metrics: mean, std, low, high
            (Student's t) and n of each metric that was recorded; differences from `against`, one a
            metric of OUTCOMES: difference, half_width, p_value, variances, crossed_low,
            crossed_high (see statistics.summarise); best_seed: that with the highest top-1 on the
            validation images, without any on the test images (for looking at, not for claims);
            finished_at;
        first: the variants of the first table;
        answers: to the study's questions, one a contrast (statistics.answer);
        choice: CHOSEN of the run that RULE picks; null where there is none;
        reason: why there is none, or RULE.
    """
    study, runs = evidence.study, evidence.runs
    summary = evidence.summary.set_index("variant", drop=False)
    variants = []
    for variant, rows in runs.groupby("variant", sort=False):
        done, row = rows[rows["test_top1"].notna()], summary.loc[variant]
        entry = {name: row[name] for name in COLUMNS} | {"metrics": _metrics(row, done)}
        entry |= {"differences": _differences(row), "best_seed": best_seed(done)}
        entry["finished_at"] = done["finished_at"].max() if len(done) else None
        variants.append(_plain(entry))
    choice, reason = choose(study, runs, variants)
    return {
        **{"study": study.name, "title": study.title, "question": study.question},
        **{"seeds": list(study.seeds), "reference": study.reference},
        **{"level": study.level, "margin": study.margin, "confidence": CONFIDENCE},
        "variants": variants,
        "first": first_variants(study, [entry["variant"] for entry in variants]),
        "answers": _plain(evidence.answers.to_dict("records")),
        **{"choice": choice, "reason": reason},
    }


def _metrics(row: pd.Series, done: pd.DataFrame) -> dict[str, dict[str, Any]]:
    found = {}
    for metric in metrics.EVALUATED:
        if f"{metric}_mean" in row:
            mean, std, half = (row[f"{metric}_{x}"] for x in ("mean", "std", "half_width"))
            values = {"mean": mean, "std": std, "low": mean - half, "high": mean + half}
            found[metric] = values | {"n": done[metric].notna().sum()}
    return found


def _differences(row: pd.Series) -> dict[str, dict[str, Any]]:
    """What a variant differs by from the one that it is compared with; empty where from none."""
    names = ("difference", "half_width", "p_value", "variances", "crossed_low", "crossed_high")
    columns = {name: name.replace("half_width", "difference_half_width") for name in names}
    return {
        metric: {name: row[f"{metric}_{column}"] for name, column in columns.items()}
        for metric in (OUTCOMES if row["against"] else ())
    }


def best_seed(done: pd.DataFrame) -> int | None:
    """The seed of the run with the highest accuracy; None where none has finished."""
    if done.empty:
        return None
    metric = "val_top1" if done["val_top1"].notna().all() else "test_top1"
    return int(done.sort_values([metric, "seed"], ascending=[False, True])["seed"].iloc[0])


def choose(
    study: Study, runs: pd.DataFrame, variants: list[dict[str, Any]]
) -> tuple[dict[str, Any] | None, str]:
    """Pick a run by RULE; None, and why, where there is none to pick."""
    without = [name for name, config in study.configs.items() if not config.data.validation]
    if without:
        return None, (
            f"No variant is chosen: data.validation is 0 for {', '.join(without)}, so only test "
            "images could be chosen by. Set data.validation in the study file, such as 0.1; all "
            "runs are then trained again."
        )
    whole = [entry for entry in variants if entry["n"] == entry["num_seeds"]]
    if not whole:
        return None, "No variant is chosen: no variant has all seeds finished."
    best = min(whole, key=lambda entry: (-entry["metrics"]["val_top1"]["mean"], entry["params"]))
    row = runs[(runs["variant"] == best["variant"]) & (runs["seed"] == best["best_seed"])].iloc[0]
    return _plain({name: row[name] for name in CHOSEN}), RULE


def model_card(study: Study, comparison: dict[str, Any]) -> str:
    """The card of the chosen variant in Markdown, or why there is none."""
    choice = comparison["choice"]
    if not choice:
        return f"# {escaped(study.title)}\n\n{comparison['reason']}\n"
    config = study.run(choice["variant"], choice["seed"])
    entry = next(v for v in comparison["variants"] if v["variant"] == choice["variant"])
    dirty = " (with uncommitted changes)" if choice["git_dirty"] == "True" else ""
    lines = [
        f"# {choice['variant']} of the study {study.name}",
        f"{escaped(study.title)}. {escaped(study.question)}",
        "## Choice",
        f"{comparison['reason']}",
        f"Chosen among {len(comparison['variants'])} variants. Run: seed {choice['seed']}, key "
        f"{choice['key']}.",
        "## Metrics",
        _accuracies(choice, entry),
        "The validation accuracy of a variant chosen by it is a little too high; test images were "
        "not used.",
        "## Network and data",
        f"{escaped(_network(config))}; {entry['params']:,.0f} parameters, {entry['macs']:,.0f} "
        "multiply-accumulates per image.",
        f"{config.data.name}: {choice['num_train']:,.0f} images for training, "
        f"{choice['num_val']:,.0f} for validation, {choice['num_test']:,.0f} for testing; digest "
        f"{choice['data_digest']}.",
        "Input: pixels from 0 to 255, float32, (images, channels, rows, columns); output: logits.",
        "## Origin",
        f"Code {choice['code_version']}, commit {choice['git_commit']}{dirty}, torch "
        f"{choice['torch']}, {choice['device']}.",
        "## Limits",
        "Trained to compare gating units, on this data set alone, with one recipe for all "
        "variants; not tuned, and not meant for other images.",
    ]
    return "\n\n".join(lines) + "\n"


def _accuracies(choice: dict[str, Any], entry: dict[str, Any]) -> str:
    lines = ["| | top-1 (%) |", "|---|---:|"]
    for images, metric in (("validation", "val_top1"), ("test", "test_top1")):
        over_seeds = entry["metrics"][metric]
        mean = plus_minus(over_seeds["mean"], over_seeds["std"] or math.nan)
        lines.append(f"| {images}, this run | {choice[metric]:.2f} |")
        lines.append(f"| {images}, mean of {entry['n']} seeds | {mean} |")
    return "\n".join(lines)


def _network(config: RunConfig) -> str:
    changed = {k: v for k, v in config.flat().items() if k.startswith("model.") and v is not None}
    return ", ".join(f"{name.partition('.')[2]} {value}" for name, value in changed.items())


def write_comparison(evidence: Evidence, folder: Path) -> None:
    """Write comparison.json and model_card.md into a study's folder of results."""
    comparison = compare(evidence)
    text = json.dumps(comparison, indent=2, allow_nan=False)
    (folder / "comparison.json").write_text(f"{text}\n", encoding="utf-8")
    (folder / "model_card.md").write_text(model_card(evidence.study, comparison), encoding="utf-8")


def _plain(value: Any) -> Any:
    """Make values JSON's own: no NumPy numbers, null for what is not known."""
    if isinstance(value, dict):
        return {name: _plain(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [_plain(entry) for entry in value]
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value
