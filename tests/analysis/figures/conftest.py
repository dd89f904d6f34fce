"""Made-up studies of ordinary and awkward shape, with all inputs of figures."""

import itertools
from typing import Any

import numpy as np
import pandas as pd
import pytest

from posmlp.analysis.granularity import COLUMNS


def curves_of(summary: pd.DataFrame, num_epochs: int = 8) -> pd.DataFrame:
    """Curves that rise to each variant's mean, shifted by k - 1 for seed k."""
    epochs = np.arange(num_epochs)
    return pd.concat(
        pd.DataFrame(
            {
                "variant": row["variant"],
                "seed": seed,
                "epoch": epochs,
                "test_top1": row["test_top1_mean"] + seed - 1 - 5.0 * (num_epochs - 1 - epochs),
                "train_loss": 3.0 - 0.1 * epochs,
                "test_loss": 2.0 - 0.1 * epochs + seed / 10,
            }
        )
        for (_, row), seed in itertools.product(summary.iterrows(), range(3))
    )


def granularities_of(summary: pd.DataFrame) -> pd.DataFrame:
    """Two seeds, two layers and three groups of each variant."""
    rows = [
        (variant, seed, layer, group, layer + group / 10 + seed, group / 2, 4.0)
        for seed in (0, 1)
        for variant in summary["variant"]
        for layer in (1, 2)
        for group in (1, 2, 3)
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def settings_of(summary: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Gate, groups and what else a variant changes, as settings."""
    return {
        row["variant"]: {
            "model.gate": row["gate"],
            "model.groups": int(row["groups"]) if row["groups"] else None,
            "other": row["other_settings"],
        }
        for _, row in summary.iterrows()
    }


def units_of(summary: pd.DataFrame) -> list[str]:
    plain = summary[summary["other_settings"] == ""]
    return plain.drop_duplicates("gate", keep="last")["variant"].tolist()


def facts_of(study: str) -> dict[str, Any]:
    """The part of a study.json that figures of all studies read."""
    return {"study": study, "margin": 0.5, "questions": ["Is it better?"]}


def long_named(summary: pd.DataFrame) -> pd.DataFrame:
    """The same study with variants, and so the reference, named in 32 or 64 characters."""
    lengths = itertools.cycle((32, 64))
    names = {
        variant: f"{variant}_without_the_softmax_and_with_{'x' * 64}"[: length - 4] + f"_{i:03d}"
        for i, (variant, length) in enumerate(zip(summary["variant"], lengths, strict=False))
    }
    return summary.assign(
        **{name: summary[name].replace(names) for name in ("variant", "against", "reference")}
    )


def many_variants(summary: pd.DataFrame) -> pd.DataFrame:
    """Sixty variants: a study's own, and shrunk and grown copies of them."""
    copies = [
        summary.assign(
            variant=[f"{name}_r{i}" for name in summary["variant"]],
            params=summary["params"] * (1 + 0.1 * i),
            test_top1_mean=summary["test_top1_mean"] - 0.2 * i,
            other_settings=f"recipe.lr={i}",
            against=summary["reference"],
            test_top1_difference=-0.2 * i,
            test_top1_difference_half_width=0.5,
        )
        for i in range(1, 6)
    ]
    return pd.concat([summary, *copies], ignore_index=True)[:60]


@pytest.fixture(scope="session")
def studies(digits_summary) -> dict[str, dict[str, Any]]:
    """{shape of a study: inputs of its figures, and of those of all studies}."""
    shapes = {
        "ordinary": digits_summary,
        "one": digits_summary[:1],
        "long_names": long_named(digits_summary),
        "sixty": long_named(many_variants(digits_summary)),
    }
    return {
        shape: {
            "summary": summary,
            "margin": 0.5,
            "curves": curves_of(summary),
            "granularities": granularities_of(summary),
            "settings": settings_of(summary),
            "units": units_of(summary),
            "studies": [(facts_of(name), summary) for name in ("one", "other")],
        }
        for shape, summary in shapes.items()
    }
