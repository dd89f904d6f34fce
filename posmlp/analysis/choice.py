"""The choice of one run of a study by RULE, its model card, and study.json.

study.json holds what MLflow and the figure of all studies need beside the tables.
"""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from posmlp.analysis.statistics import Evidence
from posmlp.analysis.tables import plus_minus
from posmlp.markup import escaped
from posmlp.study import RunConfig

RULE = (
    "Among variants with all seeds finished, the one with the highest mean top-1 on the validation "
    "images after the last epoch; of equals the one with fewer parameters, then the first in the "
    "sheet. Among its runs, the one with the highest top-1 on the validation images; of equals the "
    "lowest seed. Test images play no part in it."
)
CHOSEN = [
    *("variant", "seed", "key", "val_top1", "test_top1", "num_train", "num_val", "num_test"),
    *("data_digest", "code_version", "git_commit", "git_dirty", "torch", "device"),
]


def write_choice(evidence: Evidence, folder: Path) -> None:
    """Write study.json and model_card.md into a study's folder of results.

    study.json: study, title, question, questions, seeds, reference, margin; choice: the CHOSEN
    columns of the run, or null; reason: RULE, or why no run is chosen.
    """
    study = evidence.study
    choice, reason = choose(evidence)
    facts = {
        **{"study": study.name, "title": study.title, "question": study.question},
        **{"questions": [question.ask for question in study.questions]},
        **{"seeds": study.seeds, "reference": study.reference, "margin": study.margin},
        **{"choice": choice, "reason": reason},
    }
    text = json.dumps(facts, indent=2, allow_nan=False)
    (folder / "study.json").write_text(f"{text}\n", encoding="utf-8")
    card = model_card(evidence, choice) if choice else f"# {escaped(study.title)}\n\n{reason}\n"
    (folder / "model_card.md").write_text(card, encoding="utf-8")


def choose(evidence: Evidence) -> tuple[dict[str, Any] | None, str]:
    """Choose a run by RULE; None, and why, where no variant qualifies."""
    summary, runs = evidence.summary, evidence.runs
    configs = evidence.study.configs
    if without := [name for name, config in configs.items() if not config.data.validation]:
        return None, (
            f"No variant is chosen: data.validation is 0 for {', '.join(without)}, so only test "
            "images could be chosen by. Set data.validation in the study file, such as 0.1; all "
            "runs are then trained again."
        )
    whole = summary[summary["n"] == summary["num_seeds"]]
    if whole.empty:
        return None, "No variant is chosen: no variant has all seeds finished."
    best = leading(whole, val_top1_mean=False, params=True)["variant"]
    run = leading(runs[runs["variant"] == best], val_top1=False, seed=True)
    values = {name: run[name] for name in CHOSEN}
    return {k: v.item() if hasattr(v, "item") else v for k, v in values.items()}, RULE


def leading(rows: pd.DataFrame, **ascending: bool) -> pd.Series:
    """The row that leads when sorted by these columns; of equal rows the first in the frame."""
    names, order = list(ascending), list(ascending.values())
    return rows.sort_values(names, ascending=order, kind="stable").iloc[0]


def model_card(evidence: Evidence, choice: dict[str, Any]) -> str:
    """Describe the chosen run in Markdown."""
    study, summary = evidence.study, evidence.summary.set_index("variant")
    config, row = study.run(choice["variant"], choice["seed"]), summary.loc[choice["variant"]]
    dirty = " (with uncommitted changes)" if choice["git_dirty"] == "True" else ""
    lines = [
        f"# {choice['variant']} of the study {study.name}",
        f"{escaped(study.title)}. {escaped(study.question)}",
        "## Choice",
        RULE,
        f"Chosen among {len(summary)} variants. Run: seed {choice['seed']}, key {choice['key']}.",
        "## Metrics",
        _accuracies(choice, row),
        "The validation accuracy of a variant chosen by it is a little too high; test images were "
        "not used.",
        "## Network and data",
        f"{escaped(_network(config))}; {row['params']:,.0f} parameters, {row['macs']:,.0f} "
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


def _accuracies(choice: dict[str, Any], row: pd.Series) -> str:
    lines = ["| | top-1 (%) |", "|---|---:|"]
    for images, metric in (("validation", "val_top1"), ("test", "test_top1")):
        mean = plus_minus(row[f"{metric}_mean"], row[f"{metric}_std"])
        lines.append(f"| {images}, this run | {choice[metric]:.2f} |")
        lines.append(f"| {images}, mean of {row['n']} seeds | {mean} |")
    return "\n".join(lines)


def _network(config: RunConfig) -> str:
    changed = {k: v for k, v in config.flat().items() if k.startswith("model.") and v is not None}
    return ", ".join(f"{name.partition('.')[2]} {value}" for name, value in changed.items())
