"""How every figure looks: one colour and one mark per gating unit, and byte-stable files."""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import matplotlib.style
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

ONE_COLUMN, TWO_COLUMNS = 3.4, 7.0  # widths of a printed page's columns in inches
FONT_SIZE = 7
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
    "pdf.fonttype": 42,  # letters stay text that an editor can search
    "svg.hashsalt": "posmlp",  # otherwise the ids in an SVG are random
    "savefig.dpi": 300,
}
SCREEN_DPI = 150
FILE_METADATA = {
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "svg": {"Date": None, "Creator": None},
    "png": {"Software": None},
}


@dataclass(frozen=True)
class GateLook:
    """Colour and mark of a gating unit, the scale that makes marks look equally large, and how the
    unit's map grows with N tokens, position bias aside (an entry of GROWTH_ORDER; "" unknown)."""

    colour: str
    mark: str
    growth: str
    scale: float = 1.0


# Okabe and Ito's palette: told apart with any common colour blindness.
GATE_LOOKS = {
    "sgu": GateLook("#000000", "s", "N²"),
    "lrpe": GateLook("#0072B2", "o", "N"),
    "qpe": GateLook("#009E73", "^", "1", 1.1),
    "gqpe": GateLook("#D55E00", "D", "1", 0.9),
    "fc_lrpe": GateLook("#56B4E9", "v", "N²", 1.1),
    "fc_gqpe": GateLook("#CC79A7", "P", "N²", 1.2),
}
OTHER_LOOK = GateLook("#999999", "X", "", 1.2)
GROWTH_ORDER = ("1", "N", "N²")


def gate_look(gate: str) -> GateLook:
    """Return the look of a gating unit; units without a row of their own share one in grey."""
    return GATE_LOOKS.get(gate, OTHER_LOOK)


def tint(colour: str, whiteness: float) -> tuple[float, ...]:
    """Return a colour mixed with a share of white."""
    return tuple(channel + whiteness * (1 - channel) for channel in to_rgb(colour))


def in_gate_order(gates: Iterable[str]) -> list[str]:
    """Return the distinct gating units in the order of every legend."""
    distinct = list(dict.fromkeys(gates))
    return [g for g in GATE_LOOKS if g in distinct] + [g for g in distinct if g not in GATE_LOOKS]


def figure_style() -> AbstractContextManager:
    """Return the context (or decorator) figures are drawn in, whatever the user's matplotlibrc."""
    return matplotlib.style.context(["default", STYLE])


def save(figure: Figure, folder: str | Path, name: str) -> list[Path]:
    """Write folder/name.{pdf,svg,png}; saving an equal figure again gives equal bytes."""
    paths = [Path(folder) / f"{name}.{ending}" for ending in FILE_METADATA]
    Path(folder).mkdir(parents=True, exist_ok=True)
    with figure_style():
        if figure.get_layout_engine():
            figure.draw_without_rendering()
            figure.set_layout_engine("none")  # laid out once, not anew for each file
        for path, metadata in zip(paths, FILE_METADATA.values(), strict=True):
            figure.savefig(path, metadata=metadata)
    return paths


def save_for_screen(figure: Figure, path: str | Path) -> None:
    """Write a PNG at half the resolution of print, which is quick."""
    with figure_style():
        figure.savefig(path, metadata=FILE_METADATA["png"], dpi=SCREEN_DPI)
