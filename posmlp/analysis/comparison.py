"""What is said of a study beside its runs: its variants over seeds, the choice of one, its card.

The choice is made by RULE, on validation images alone; test images play no part in it.
"""

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd

from posmlp.analysis.questions import answer
from posmlp.analysis.statistics import LEVEL, rule_of, summarise
from posmlp.markup import escaped
from posmlp.study import Study

RULE = (
    "Of the variants of which every seed has finished, the one with the highest mean top-1 on the "
    "validation images after the last epoch; of equals the one with fewer parameters, then the "
    "one that stands first in the sheet. Of its runs, the one with the highest top-1 on the "
    "validation images; of equals the lowest seed. Test images play no part in it."
)
FIGURES = (
    *("n", "num_seeds", "mean", "std", "half_width", "low", "high", "ema_mean", "params"),
    *("macs", "token_mixing_params", "difference", "difference_half_width", "p_adjusted"),
    *("better", "against", "claim", "gate", "groups"),
)


def compare(study: Study, runs: pd.DataFrame) -> dict[str, Any]:
    """Return what comparison.json holds.

    Returns:
        title, question, reference, level of the intervals;
        variants: of each its figures over seeds (summarise) and val_mean, val_std, data_digest,
            finished_at, and best_seed: that with the highest top-1 on the validation images,
            without any on the test images (for looking at, not for claims);
        choice: variant, seed and figures of the run that RULE picks; null where there is none;
        reason: why there is none, or RULE;
        answers: to the study's questions, a contrast each (posmlp.analysis.questions).
    """
    summary = summarise(runs, study.reference, rule_of(study)).set_index("variant")
    variants = []
    for variant, rows in runs.groupby("variant", sort=False):
        done = rows[rows["test_top1"].notna()]
        figures = {name: summary.loc[variant, name] for name in FIGURES}
        figures |= {"val_mean": done["val_top1"].mean(), "val_std": done["val_top1"].std(ddof=1)}
        figures["best_seed"] = best_seed(done)
        figures["finished_at"] = done["finished_at"].max() if len(done) else None
        variants.append({"variant": variant} | {k: _plain(v) for k, v in figures.items()})
    choice, reason = choose(study, runs, variants)
    return {
        "study": study.name,
        "title": study.title,
        "question": study.question,
        "reference": study.reference,
        "level": LEVEL,
        "variants": variants,
        "choice": choice,
        "reason": reason,
        "answers": [
            {name: _plain(value) for name, value in row.items()}
            for row in answer(runs, study.questions, rule_of(study)).to_dict("records")
        ],
    }


def best_seed(done: pd.DataFrame) -> int | None:
    """Return the seed of the run with the highest accuracy; None where none has finished."""
    if done.empty:
        return None
    figure = "val_top1" if done["val_top1"].notna().all() else "test_top1"
    return int(done.sort_values([figure, "seed"], ascending=[False, True])["seed"].iloc[0])


def choose(
    study: Study, runs: pd.DataFrame, variants: list[dict[str, Any]]
) -> tuple[dict[str, Any] | None, str]:
    """Return the run that RULE picks and RULE, or None and why there is none."""
    without = [name for name, config in study.configs.items() if not config.data.validation]
    if without:
        return None, (
            f"No variant is chosen: data.validation is 0 for {', '.join(without)}, so there are no "
            "images but the test images to choose by. Set data.validation, 0.1 say, in the study "
            "file; all runs are trained again then."
        )
    whole = [entry for entry in variants if entry["n"] == entry["num_seeds"]]
    if not whole:
        return None, "No variant is chosen: of none has every seed finished."
    best = min(whole, key=lambda entry: (-entry["val_mean"], entry["params"]))
    row = runs[(runs["variant"] == best["variant"]) & (runs["seed"] == best["best_seed"])].iloc[0]
    columns = (
        "variant",
        "seed",
        "key",
        "val_top1",
        "test_top1",
        "num_train",
        "num_val",
        "num_test",
    )
    columns += ("data_digest", "code_version", "git_commit", "git_dirty", "torch", "device")
    return {name: _plain(row[name]) for name in columns}, RULE


def model_card(study: Study, comparison: dict[str, Any]) -> str:
    """Return the card of the chosen variant in Markdown, or why there is none."""
    choice = comparison["choice"]
    if not choice:
        return f"# {escaped(study.title)}\n\n{comparison['reason']}\n"
    config = study.run(choice["variant"], choice["seed"])
    figures = next(v for v in comparison["variants"] if v["variant"] == choice["variant"])
    changed = {k: v for k, v in config.flat().items() if k.startswith("model.") and v is not None}
    settings = ", ".join(f"{name.partition('.')[2]} {value}" for name, value in changed.items())
    dirty = " (with uncommitted changes)" if choice["git_dirty"] == "True" else ""
    lines = [
        f"# {choice['variant']} of the study {study.name}",
        f"{escaped(study.title)}. {escaped(study.question)}",
        "## Choice",
        comparison["reason"],
        f"Chosen among {len(comparison['variants'])} variants. Run: seed {choice['seed']}, key "
        f"{choice['key']}.",
        "## Figures",
        "| | top-1 (%) |\n|---|---:|\n"
        f"| validation, this run | {choice['val_top1']:.2f} |\n"
        f"| validation, mean of {figures['n']} seeds | {_spread(figures, 'val_')} |\n"
        f"| test, this run | {choice['test_top1']:.2f} |\n"
        f"| test, mean of {figures['n']} seeds | {_spread(figures, '')} |",
        "Test figures are not used for the choice. The validation figures of what was chosen by "
        "them are a little too good.",
        "## Network and data",
        f"{settings}; {figures['params']:,.0f} parameters, {figures['macs']:,.0f} "
        "multiply-accumulates an image.",
        f"{config.data.name}: {choice['num_train']:,.0f} images to train on, "
        f"{choice['num_val']:,.0f} for validation, {choice['num_test']:,.0f} for the test; digest "
        f"{choice['data_digest']}.",
        "Input: pixels from 0 to 255, float32, (images, channels, rows, columns); output: logits.",
        "## Origin",
        f"Code {choice['code_version']}, commit {choice['git_commit']}{dirty}, torch "
        f"{choice['torch']}, {choice['device']}.",
        "## Limits",
        "Trained for a comparison of units, on this data set alone, by one recipe for all "
        "variants; not tuned, and not meant for use on other images.",
    ]
    return "\n\n".join(lines) + "\n"


def write_comparison(study: Study, runs: pd.DataFrame, json_path: Path, card_path: Path) -> None:
    """Write comparison.json and model_card.md."""
    comparison = compare(study, runs)
    text = json.dumps(comparison, indent=2, allow_nan=False)
    json_path.write_text(f"{text}\n", encoding="utf-8")
    card_path.write_text(model_card(study, comparison), encoding="utf-8")


def _spread(figures: dict[str, Any], prefix: str) -> str:
    mean, std = figures[f"{prefix}mean"], figures[f"{prefix}std"]
    return f"{mean:.2f}" if std is None else f"{mean:.2f} ± {std:.2f}"


def _plain(value: Any) -> Any:
    """Return a value as JSON has it: no NumPy number, and null for one that is not known."""
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value
