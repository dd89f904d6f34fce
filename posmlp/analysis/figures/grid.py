"""A grid of small square panels with a title per column and a colour bar under each.

Placed by arithmetic: a layout engine takes seconds for what is known beforehand.
"""

import textwrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from posmlp.analysis.figures.style import CHARACTERS, LINE, ONE_COLUMN, TWO_COLUMNS

MAX_COLUMNS = 7
COLUMNS_OF_NARROW = 3  # at most, in the width of one column of print
LARGEST_CELL = 1.2  # inches
DIVERGING = "RdBu_r"  # the map of colours around a middle
LABELS, GAP, TITLE, BAR = 0.22, 0.06, 0.2, 0.3  # inches: row labels, gaps, titles, colour bars


class Grid:
    """A figure with `panels` (rows, columns), in the middle of one or two columns of print.

    Args:
        title: over the grid, wrapped.
        titles_in_rows: leave room for titles over every row, not over the first alone.
        below: inches under the colour bars for plots of the caller's own.
    """

    def __init__(
        self,
        num_rows: int,
        num_columns: int,
        title: str,
        *,
        titles_in_rows: bool = False,
        below: float = 0.0,
    ) -> None:
        width = ONE_COLUMN if num_columns <= COLUMNS_OF_NARROW else TWO_COLUMNS
        self.cell = min(LARGEST_CELL, (width - LABELS) / num_columns - GAP)
        self.width = num_columns * (self.cell + GAP) - GAP  # of all panels
        self.left = (width + LABELS - GAP - self.width) / 2
        lines = textwrap.wrap(title, int(width * CHARACTERS))
        step = self.cell + (TITLE if titles_in_rows else GAP)
        self.foot = BAR + below
        height = LINE * len(lines) + 0.05 + TITLE + (num_rows - 1) * step + self.cell + self.foot
        self.figure = Figure(figsize=(width, height))
        self.figure.text(0.5, 1 - 0.04 / height, "\n".join(lines), ha="center", va="top")
        self.panels = np.empty((num_rows, num_columns), dtype=object)
        for row, column in np.ndindex(num_rows, num_columns):
            bottom = self.foot + (num_rows - 1 - row) * step
            self.panels[row, column] = self.add_axes(column, bottom, self.cell, self.cell)
            self.panels[row, column].set(xticks=[], yticks=[], frame_on=False)

    def add_axes(
        self, column: int, bottom: float, width: float, height: float, indent: float = 0.0
    ) -> Axes:
        """Add axes in a column; all in inches."""
        total_2 = self.figure.get_size_inches()
        left = self.left + column * (self.cell + GAP) + indent
        return self.figure.add_axes(
            (left / total_2[0], bottom / total_2[1], *((width, height) / total_2))
        )

    def draw_bar(self, image: ScalarMappable, column: int | None = None) -> None:
        """Draw the colour bar of a column, or of all, with a number at each end."""
        width = self.width if column is None else self.cell
        axes = self.add_axes(column or 0, self.foot - 0.1, width, 0.05)
        bar = self.figure.colorbar(image, cax=axes, orientation="horizontal")
        low, high = image.get_clim()
        if image.cmap.name == DIVERGING:
            middle = (low + high) / 2
            bar.set_ticks([middle], labels=[f"{middle:g} ± {high - middle:.2g}"])
        else:
            bar.set_ticks([low, high], labels=[f"{low:.2g}", f"{high:.2g}"])
            for label, side in zip(bar.ax.get_xticklabels(), ("left", "right"), strict=True):
                label.set_horizontalalignment(side)
        bar.ax.tick_params(length=2, pad=1)
        bar.outline.set_linewidth(0.4)


def colours_of(values: np.ndarray) -> dict:
    """Arguments of imshow: from zero up, or diverging from zero where values are negative."""
    limit = float(np.abs(values).max()) or 1.0
    signed = values.min() < 0
    norm = Normalize(-limit if signed else 0.0, limit)
    return {"cmap": DIVERGING if signed else "cividis", "norm": norm}


def draw_ring(axes: Axes, row: float, col: float) -> None:
    """Mark a token, visible on any colour."""
    for colour, linewidth in (("white", 1.8), ("black", 0.8)):
        ring = {"markerfacecolor": "none", "markeredgewidth": linewidth, "color": colour}
        axes.plot(col, row, marker="o", markersize=4, **ring)


def evenly_spaced(length: int, most: int) -> list[int]:
    """At most `most` positions below length, from first to last."""
    return np.linspace(0, length - 1, min(most, length)).round().astype(int).tolist()
