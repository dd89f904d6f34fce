"""Names beside the marks of a scatter plot, where there is room.

Each name takes the nearest free spot around its mark, in the order given. A name without one is
left out, so that none covers another, a mark or a line. Positions in here are pixels.
Shape letters: L labels, B boxes, each (left, bottom), (right, top).
"""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.lines import Line2D
from matplotlib.path import Path
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox

from posmlp.analysis.figures.style import tint

GAPS = (2, 4, 7, 11, 16, 22, 29, 37)  # points between a mark and its name
LEADER_GAP = 5  # points; a name further away gets a line to its mark
NUM_ANGLES = 16
PADDING = 1.5  # points around a name


def name_marks(
    axes: Axes,
    points_L2: np.ndarray,
    names: Sequence[str],
    colours: Sequence[str],
    diameters_L: np.ndarray,
    line: Line2D,
) -> None:
    """Write names beside their marks; call it last, as it fixes the figure's layout.

    Args:
        points_L2: marks in data coordinates, the most important first.
        diameters_L: their diameters in points.
        line: never covered, unlike error bars, which are where there is no other room.
    """
    figure, renderer = axes.figure, FigureCanvasAgg(axes.figure).get_renderer()
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    frame, point = axes.get_window_extent(renderer), figure.dpi / 72
    centres_L2 = axes.transData.transform(points_L2)
    radii_L1 = diameters_L[:, None] / 2 * point
    boxes_B22 = np.stack([centres_L2 - radii_L1, centres_L2 + radii_L1], axis=1)
    lines = [line.get_transform().transform_path(line.get_path())]  # later the leaders as well
    bars = [bar for drawn in axes.containers for bar in drawn.lines[2][0].get_segments()]
    bars = [Path(axes.transData.transform(bar)) for bar in bars if len(bar)]  # of one seed: none
    for i, (name, colour) in enumerate(zip(names, colours, strict=True)):
        note = _annotate(axes, points_L2[i], name, colour)
        size_2 = Text.get_window_extent(note, renderer).size + 2 * PADDING * point
        spots = list(_spots(centres_L2[i], radii_L1[i, 0], size_2, point, frame))
        others_B22 = np.delete(boxes_B22, i, axis=0)
        tried = itertools.product(([*lines, *bars], lines), spots)
        free = (spot for kept, spot in tried if not _covers(*spot, boxes_B22, others_B22, kept))
        if not (found := next(free, None)):
            note.remove()
            continue
        box, leader = found
        note.arrow_patch.set_visible(leader is not None)
        note.set_position(((box.min + box.max) / 2 - centres_L2[i]) / point)
        boxes_B22 = np.concatenate([boxes_B22, [box.get_points()]])
        lines += [leader] if leader else []


def _annotate(axes: Axes, point_2: np.ndarray, name: str, colour: str) -> Annotation:
    leader = dict(arrowstyle="-", linewidth=0.5, color=tint(colour, 0.3))
    leader |= dict(shrinkA=0, shrinkB=2, relpos=(0.5, 0.5))
    dark = tuple(0.65 * channel for channel in to_rgb(colour))
    look = dict(ha="center", va="center", color=dark, arrowprops=leader)
    return axes.annotate(name, point_2, xytext=(0, 0), textcoords="offset points", **look)


def _spots(
    centre_2: np.ndarray, radius: float, size_2: np.ndarray, point: float, frame: Bbox
) -> Iterator[tuple[Bbox, Path | None]]:
    """Yield boxes around a mark within the frame, each with its leader line, nearest first."""
    angles = np.linspace(0, 2 * np.pi, NUM_ANGLES, endpoint=False)
    for gap in GAPS:
        for direction_2 in np.column_stack([np.cos(angles), np.sin(angles)]):
            middle_2 = centre_2 + direction_2 * (radius + gap * point + size_2 / 2)
            box = Bbox([middle_2 - size_2 / 2, middle_2 + size_2 / 2])
            if frame.contains(*box.min) and frame.contains(*box.max):
                yield box, Path([centre_2, middle_2]) if gap > LEADER_GAP else None


def _covers(
    box: Bbox, leader: Path | None, boxes_B22: np.ndarray, others_B22: np.ndarray, paths: list[Path]
) -> bool:
    """Whether a name covers a box or a path, or its leader the box of another mark or name."""
    if box.count_overlaps(boxes_B22) or any(p.intersects_bbox(box, filled=False) for p in paths):
        return True
    others = map(Bbox, others_B22)
    return leader is not None and any(leader.intersects_bbox(o, filled=False) for o in others)
