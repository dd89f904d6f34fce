"""Statistical power of a study's questions, given the standard deviation of earlier runs."""

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

POWER = 0.8  # target
ASSUMED = 1.0  # true difference in points, for a study without a margin


def power_text(study: Study, results: Path, like: str | None = None) -> str:
    """How likely the seeds of a study are to give the verdicts that its questions claim.

    Args:
        like: study whose runs give the standard deviation over seeds; None: this one.

    Raises:
        ResultsError: the runs.csv of the study named by `like` is missing or damaged.
    """
    source = like or study.name
    path = results / source / "runs.csv"
    if not like and not path.exists():
        return (
            "Verdicts:    power unknown: this study has no runs yet to take the standard deviation "
            "over seeds from; `--like STUDY` takes it from another study"
        )
    runs = read_frame(path)
    std, num_runs = pooled_std(runs, [PRIMARY])[PRIMARY], runs[PRIMARY].count()
    if np.isnan(std) or len(study.seeds) < 2:
        return "Verdicts:    none, they need at least two seeds"
    rows = reach(study, std)
    head = (
        f"Verdicts with {len(study.seeds)} seeds: {(rows['power'] >= POWER).sum()} of {len(rows)} "
        f"contrasts have {POWER:.0%} power, at a standard deviation over seeds of {std:.2f} points "
        f"({num_runs} runs of {source})"
    )
    return "\n".join([*wrap(head, TEXT_WIDTH), "", table(study, rows).to_text().rstrip()])


def table(study: Study, rows: pd.DataFrame) -> Table:
    """The rows of `reach`, to print."""
    interval = f"interval: half width of the {1 - study.level:.0%} interval"
    power = (
        "power: probability of the claimed verdict, if the true difference is "
        f"{study.margin or ASSUMED:g} (superior) or 0 (non-inferior), at Holm's strictest step "
        f"over {len(rows)} contrasts"
    )
    least = f"{POWER:.0%} from"
    reached = f"{least}: smallest true difference, in points, with {POWER:.0%} power"
    columns = (
        Column("contrast", lambda row: row["contrast"], align="left"),
        Column("claim", lambda row: row["claim"], align="left"),
        Column("interval", lambda row: f"±{row['half_width']:.2f}", interval),
        Column("power", lambda row: f"{row['power']:.0%}", power),
        Column(least, lambda row: f"{row['in_reach']:+.2f}", reached),
    )
    return Table(study.title, rows, columns)


def reach(study: Study, std: float) -> pd.DataFrame:
    """Every contrast with its interval, its power and the smallest detectable difference."""
    contrasts = [(c, q.claim) for q in study.questions for c in q.contrasts]
    rows = pd.DataFrame(contrasts, columns=["contrast", "claim"])
    num_V, num_K = len(study.variants), len(study.seeds)
    df = (num_V - 1) * (num_K - 1)
    signs_QV = coefficients(list(rows.contrast), [variant.name for variant in study.variants])
    error_Q = std * np.sqrt((signs_QV**2).sum(axis=1) / num_K)
    critical = stats.t.ppf(1 - study.level / len(rows) / 2, df)
    # In standard errors; the power is 1 at `critical + 10`.
    needed = optimize.brentq(
        lambda shift: stats.nct.sf(critical, df, shift) - POWER, 0, critical + 10
    )
    shift = study.margin or ASSUMED  # from the null hypothesis to the assumed difference
    return rows.assign(
        half_width=stats.t.ppf(1 - study.level / 2, df) * error_Q,
        power=stats.nct.sf(critical, df, shift / error_Q),
        in_reach=needed * error_Q - (rows.claim == NON_INFERIOR) * (study.margin or 0),
    )
