"""Which verdicts a study's seeds can reach, from the standard deviation of earlier runs."""

from pathlib import Path
from textwrap import wrap

import numpy as np
import pandas as pd
from scipy import optimize, stats

from posmlp.analysis.collect import read_frame
from posmlp.analysis.contrasts import NON_INFERIOR, coefficients
from posmlp.analysis.statistics import PRIMARY, pooled_std
from posmlp.analysis.tables import TEXT_WIDTH, Column, Table
from posmlp.study import Study

POWER = 0.8  # probability of a verdict from which a difference counts as in reach
ASSUMED = 1.0  # points, of a study without a margin


def power_text(study: Study, results: Path, like: str | None = None) -> str:
    """Say how likely the verdicts of the study's questions are with its seeds.

    Args:
        like: a study whose runs have the standard deviation over seeds; None: this one.

    Raises:
        ResultsError: the runs.csv of the study named by `like` is missing or damaged.
    """
    source = like or study.name
    path = results / source / "runs.csv"
    if not like and not path.exists():
        return (
            "Verdicts:    no runs of this study yet, so the standard deviation over seeds is not "
            "known; `--like STUDY` takes that of another"
        )
    runs = read_frame(path)
    std, num_runs = pooled_std(runs, [PRIMARY])[PRIMARY], runs[PRIMARY].count()
    if np.isnan(std) or len(study.seeds) < 2:
        return "Verdicts:    none without a second seed"
    rows = reach(study, std)
    head = (
        f"Verdicts of {len(study.seeds)} seeds: {(rows['power'] >= POWER).sum()} of {len(rows)} "
        f"have a power of {POWER:.0%}, for a standard deviation of {std:.2f} points over seeds "
        f"({num_runs} runs of {source})"
    )
    return "\n".join([*wrap(head, TEXT_WIDTH), "", table(study, rows).to_text().rstrip()])


def table(study: Study, rows: pd.DataFrame) -> Table:
    """The rows of `reach` for people."""
    interval = f"interval: half width at {1 - study.level:.0%}"
    power = (
        "power: probability of the claim's verdict, of superior if the true difference is "
        f"{study.margin or ASSUMED:g}, of non-inferior if it is 0, at Holm's strictest step over "
        f"{len(rows)} contrasts"
    )
    least = f"{POWER:.0%} from"
    reached = (
        f"{least}: the true difference, in points, from which the verdict has that probability"
    )
    columns = (
        Column("contrast", lambda row: row["contrast"], align="left"),
        Column("claim", lambda row: row["claim"], align="left"),
        Column("interval", lambda row: f"±{row['half_width']:.2f}", interval),
        Column("power", lambda row: f"{row['power']:.0%}", power),
        Column(least, lambda row: f"{row['in_reach']:+.2f}", reached),
    )
    return Table(study.title, rows, columns)


def reach(study: Study, std: float) -> pd.DataFrame:
    """Every contrast with its interval, its power, and the difference that is in reach."""
    contrasts = [(c, q.claim) for q in study.questions for c in q.contrasts]
    rows = pd.DataFrame(contrasts, columns=["contrast", "claim"])
    num_V, num_K = len(study.variants), len(study.seeds)
    df = (num_V - 1) * (num_K - 1)
    signs_QV = coefficients(list(rows.contrast), [variant.name for variant in study.variants])
    error_Q = std * np.sqrt((signs_QV**2).sum(axis=1) / num_K)
    critical = stats.t.ppf(1 - study.level / len(rows) / 2, df)
    # In standard errors; beyond `critical + 10` the power is 1.
    needed = optimize.brentq(
        lambda shift: stats.nct.sf(critical, df, shift) - POWER, 0, critical + 10
    )
    shift = study.margin or ASSUMED  # of non-inferior from 0, of superior from no difference
    return rows.assign(
        half_width=stats.t.ppf(1 - study.level / 2, df) * error_Q,
        power=stats.nct.sf(critical, df, shift / error_Q),
        in_reach=needed * error_Q - (rows.claim == NON_INFERIOR) * (study.margin or 0),
    )
