"""Differences in accuracy with both intervals, of one study or of all studies."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from posmlp.analysis.figures.marks import add_caption, legend_handles, nothing_to_show
from posmlp.analysis.figures.style import (
    GREY,
    LINE,
    TWO_COLUMNS,
    figure_style,
    gate_look,
    tint,
)
from posmlp.analysis.figures.svg import show_on_hover
from posmlp.analysis.tables import plus_minus, shorten

MOST_ROWS = 60
LONGEST_NAME = 19  # so that "variant − against" leaves half the width to the intervals
ROW = 1.15 * LINE
PAD = 6  # points between the axes and the texts beside them
BAND_COLOUR = "#e9e9e9"
BESIDE = 0.24  # rows between the interval over seeds and that over seeds and images
OUTCOME = {
    "test_top1_difference": "difference",
    "test_top1_difference_half_width": "half_width",
    "test_top1_crossed_low": "crossed_low",
    "test_top1_crossed_high": "crossed_high",
}
FAR = 3  # interquartile ranges outside the middle half: beyond the axis


@figure_style()
def forest(summary: pd.DataFrame, margin: float | None) -> Figure:
    """Draw the difference in top-1 of every comparison, with its intervals.

    Args:
        margin: non-inferiority margin in points, drawn as a band; None: no band.
    """
    rows = _compared(summary)
    shown = rows[:MOST_ROWS].assign(margin=margin, title="")
    num_others = len(rows) - len(shown)
    return _draw(shown, f"Not shown: {num_others} more (see the table)." if num_others else "")


@figure_style()
def all_studies(studies: Sequence[tuple[dict[str, Any], pd.DataFrame]]) -> Figure:
    """Draw the main tables of the studies that ask questions; of all studies if none does.

    Args:
        studies: the content of study.json and of tables/main.csv of each.
    """
    asking = [study for study in studies if study[0]["questions"]] or studies
    blocks = [
        _compared(table).assign(margin=facts["margin"], title=facts["study"])
        for facts, table in asking
    ]
    if not any(map(len, blocks)):
        return nothing_to_show("No study has results yet.")
    shown = {facts["study"] for facts, _ in asking}
    others = [facts["study"] for facts, _ in studies if facts["study"] not in shown]
    left_out = f"Not shown, as they ask no question: {', '.join(others)}." if others else ""
    return _draw(pd.concat(blocks)[:MOST_ROWS], left_out)


def _compared(summary: pd.DataFrame) -> pd.DataFrame:
    """The comparisons, with their columns renamed by OUTCOME."""
    rows = summary.rename(columns=OUTCOME)
    return rows[rows["difference"].notna()]


def _draw(rows: pd.DataFrame, left_out: str) -> Figure:
    """Draw rows in blocks by title, each block with its margin."""
    rows = rows.reset_index(drop=True).astype({"margin": float})  # a study may have none
    starts = rows["title"] != rows["title"].shift()
    titled = starts & (rows["title"] != "")
    rows = rows.assign(y=np.arange(len(rows)) + titled.cumsum())
    num_lines = len(rows) + titled.sum()
    figure = Figure(figsize=(TWO_COLUMNS, 1.35 + ROW * num_lines), layout="constrained")
    axes = figure.add_subplot()
    figure.legend(handles=legend_handles(rows), loc="outside upper center", ncols=8)
    top = rows["y"].min() - titled.any()
    axes.set(xlim=axis_range(rows), ylim=(rows["y"].max() + 0.6, top - 0.6))
    axes.axvline(0, color=GREY, linewidth=0.6, zorder=0.5)
    for _, block in rows.groupby(starts.cumsum()):
        draw_margin(axes, block)
    for _, row in rows.iterrows():
        draw_row(axes, row)
    axes.set_xlabel("difference in top-1 accuracy (points)")
    name_rows(axes, rows, titled)
    add_caption(figure, *explanations(rows), left_out)
    return figure


def name_rows(axes: Axes, rows: pd.DataFrame, titled: pd.Series) -> None:
    """Write contrasts and block titles at the left, parameters removed at the right."""
    labels = dict(zip(rows["y"], contrast_names(rows), strict=True))
    titles = dict(zip(rows["y"][titled] - 1, rows["title"][titled], strict=True))
    axes.set_yticks([*labels, *titles], labels=[*labels.values(), *titles.values()])
    for label in axes.get_yticklabels()[len(labels) :]:
        label.set_fontweight("bold")
    right = axes.twinx()
    right.set_yticks(rows["y"], labels=[percentage(x) for x in rows["removed_fraction"]])
    right.set_ylim(axes.get_ylim())
    above = {"xytext": (PAD, 3), "textcoords": "offset points", "va": "bottom"}
    right.annotate("removed", (1, 1), xycoords="axes fraction", **above)
    for side in (axes, right):
        side.grid(False, axis="y")
        side.tick_params(axis="y", length=0, pad=PAD)
        side.spines["left"].set_visible(False)


def explanations(rows: pd.DataFrame) -> Iterator[str]:
    """Say what is compared, and what bars, band and arrows are."""
    references = ", ".join(rows["reference"].unique())
    yield f"Differences from the reference ({references}) unless another variant is named."
    yield "Thick: interval over seeds." if rows["n"].max() > 1 else "One seed each."
    if rows["crossed_low"].notna().any():
        yield "Thin: over seeds and test images."
    if len(margins := rows["margin"].dropna().unique()):
        yield f"Band: margin of {f'±{margins[0]:g} points' if len(margins) == 1 else 'the study'}."
    if not rows["difference"].between(*axis_range(rows)).all():
        yield "Arrows: beyond the axis."
    yield "Removed: parameters; +: added."


def axis_range(rows: pd.DataFrame) -> tuple[float, float]:
    """Ends of the axis: all intervals but those of outlying differences."""
    rows = rows.fillna({"margin": 0, "half_width": 0})
    low_Q, high_Q = rows["difference"].quantile([0.25, 0.75])
    reach = FAR * max(high_Q - low_Q, rows["margin"].max(), 1.0)
    near = rows[rows["difference"].between(low_Q - reach, high_Q + reach)]
    difference, half_width, margin = near["difference"], near["half_width"], near["margin"]
    low = pd.concat([difference - half_width, -margin, near["crossed_low"]]).min()
    high = pd.concat([difference + half_width, margin, near["crossed_high"]]).max()
    low, high = max(low, low_Q - 2 * reach), min(high, high_Q + 2 * reach)
    aside = 0.04 * (high - low) or 1.0
    return low - aside, high + aside


def draw_margin(axes: Axes, block: pd.DataFrame) -> None:
    """Draw the margin as a band behind a study's rows."""
    margin = block["margin"].iloc[0]
    if not np.isnan(margin):
        top, bottom = block["y"].min() - 0.5, block["y"].max() + 0.5
        box = Rectangle((-margin, top), 2 * margin, bottom - top, color=BAND_COLOUR, linewidth=0)
        axes.add_patch(box).set_zorder(0)


def draw_row(axes: Axes, row: pd.Series) -> None:
    """Draw one difference with its intervals, hollow where other settings differ."""
    look, (low, high) = gate_look(row["gate"]), axes.get_xlim()
    if not low <= row["difference"] <= high:
        left = row["difference"] < low
        end, side, mark, shift = (low, "left", "<", 7) if left else (high, "right", ">", -7)
        axes.plot(end, row["y"], marker=mark, color=look.colour, clip_on=False)
        text = plus_minus(row["difference"], row["half_width"], "+", 1)
        offset = dict(xytext=(shift, 0), textcoords="offset points", va="center", ha=side)
        axes.annotate(text, (end, row["y"]), color=look.colour, **offset)
        return
    hollow = "white" if row["other_settings"] else look.colour
    bar = axes.errorbar(
        row["difference"],
        row["y"],
        xerr=row["half_width"],
        **look.marked(4.5),
        linestyle="",
        markerfacecolor=hollow,
        markeredgewidth=0.8,
        elinewidth=1.4,
        label=row["variant"],
    )
    difference = plus_minus(row["difference"], row["half_width"], "+")
    name = f"{row['variant']} − {row['against']}"
    show_on_hover(bar.get_children(), f"{name}: {difference} points")
    ends = [row["crossed_low"], row["crossed_high"]]
    axes.plot(ends, [row["y"] + BESIDE] * 2, color=tint(look.colour, 0.35), linewidth=0.7)


def contrast_names(rows: pd.DataFrame) -> list[str]:
    """Name the variants, each with the one it is compared with unless that is the reference."""
    is_reference = rows["against"] == rows["reference"]
    longest = LONGEST_NAME * (2 if is_reference.all() else 1)
    variants, others = (shorten(rows[name], longest) for name in ("variant", "against"))
    named = zip(variants, others, is_reference, strict=True)
    return [variant if plain else f"{variant} − {other}" for variant, other, plain in named]


def percentage(fraction: float) -> str:
    """Format a fraction removed; one that is added gets a plus sign."""
    sign = "+" if fraction < -0.005 else ""
    return "" if np.isnan(fraction) else f"{sign}{abs(100 * fraction):.0f}%"
