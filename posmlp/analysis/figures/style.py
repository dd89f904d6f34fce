"""The look of every figure: sizes in print, a colour and a mark per gating unit, stable files."""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.style
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

ONE_COLUMN, TWO_COLUMNS = 3.33, 7.0  # inches: widths of a printed page's columns
FONT_SIZE = 8  # points
CHARACTERS = 15  # that fit into an inch
LINE = 0.14  # inches per line of text
MAX_LAYERS = 7  # side by side
GREY = "#555555"  # of captions and keys
STYLE = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same letters everywhere
    "font.size": FONT_SIZE,
    "axes.titlesize": FONT_SIZE,
    "axes.labelsize": FONT_SIZE,
    "xtick.labelsize": FONT_SIZE,
    "ytick.labelsize": FONT_SIZE,
    "legend.fontsize": FONT_SIZE,
    "figure.labelsize": FONT_SIZE,
    "figure.titlesize": FONT_SIZE,
    "legend.frameon": False,
    "legend.handlelength": 1.6,
    "lines.linewidth": 1.0,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "pdf.fonttype": 42,  # text stays searchable
    "savefig.dpi": 200,
}
FILE_METADATA = {
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


@dataclass(frozen=True)
class GateLook:
    """Colour and mark of a gating unit, and a scale with which all marks look equally large."""

    colour: str
    mark: str
    scale: float = 1.0

    def marked(self, size: float) -> dict[str, Any]:
        """Arguments of a line with marks of a size in points."""
        return {"marker": self.mark, "markersize": size * self.scale, "color": self.colour}


# Okabe and Ito's palette, distinct under common colour blindness.
GATE_LOOKS = {
    "sgu": GateLook("#000000", "s"),
    "lrpe": GateLook("#0072B2", "o"),
    "qpe": GateLook("#009E73", "^", 1.1),
    "gqpe": GateLook("#D55E00", "D", 0.9),
    "fc_lrpe": GateLook("#56B4E9", "v", 1.1),
    "fc_gqpe": GateLook("#CC79A7", "P", 1.2),
}
OTHER_LOOK = GateLook("#999999", "X", 1.2)


def width_of_layers(num_layers: int) -> float:
    """Width of a figure with layers side by side."""
    return ONE_COLUMN if num_layers <= 3 else TWO_COLUMNS


def gate_look(gate: str) -> GateLook:
    """Look up a gating unit; unknown ones share a grey mark."""
    return GATE_LOOKS.get(gate, OTHER_LOOK)


def tint(colour: str, whiteness: float) -> tuple[float, ...]:
    """Mix a colour with a fraction of white."""
    return tuple(channel + whiteness * (1 - channel) for channel in to_rgb(colour))


def figure_style() -> AbstractContextManager:
    """Context manager or decorator: draw in STYLE whatever the user's matplotlibrc says."""
    return matplotlib.style.context(["default", STYLE])


def save(figure: Figure, folder: str | Path, name: str, endings: Iterable[str]) -> None:
    """Write folder/name.ending for each ending; equal figures give equal bytes."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    with figure_style():
        if figure.get_layout_engine():
            figure.draw_without_rendering()
            figure.set_layout_engine("none")  # laid out once, not again for each file
        for ending in endings:
            path = Path(folder) / f"{name}.{ending}"
            figure.savefig(path, metadata=FILE_METADATA[ending])
