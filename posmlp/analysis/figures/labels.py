"""Place the labels of a scatter plot so that none covers a mark or another label.

Greedy: the most crowded point first; each label takes the cheapest spot on rings around its mark,
with a thin leader line where that is not next to the mark. Positions in here are pixels.

Shape letters: L labels, K candidate spots of a label, P points along a leader line, B boxes; a box
is (left, bottom, right, top).
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.text import Annotation, Text

RINGS = (2, 5, 9, 14, 21, 29, 38, 48, 60, 74, 90, 108, 128)  # gap of mark and label in points
NUM_ANGLES = 24
LEADER_GAP = 5  # labels farther away than this many points get a leader line
LEADER_POINTS = 16
# What a spot may cost, in points of distance that a label would rather go.
OVERLAP_COST, CROSSED_MARK_COST, CROSSED_LEADER_COST, BAR_COST = 1000, 25, 25, 10


def place_labels(
    axes: Axes,
    points_L2: np.ndarray,
    texts: Sequence[str],
    colours: Sequence[str],
    marks_L: np.ndarray,
    bars_L2: np.ndarray,
) -> list[Annotation]:
    """Write texts beside their points; call it last, when axes and limits are final.

    Args:
        points_L2: positions in data coordinates.
        colours: of the leader lines; the texts are a darker shade of them.
        marks_L: diameters of the marks in points.
        bars_L2: lower and upper end of each error bar in data coordinates, NaN where none is.

    Returns:
        One annotation a text. Where no free spot is left, it has the least bad one.
    """
    renderer = FigureCanvasAgg(axes.figure).get_renderer()
    axes.figure.draw_without_rendering()  # settles the layout, and with it the transforms
    scale = axes.figure.dpi / 72  # pixels a point
    centres_L2 = axes.transData.transform(points_L2)
    radii_L1 = np.asarray(marks_L)[:, None] / 2 * scale
    obstacles = Obstacles(
        frame_4=axes.get_window_extent(renderer).extents,
        marks_L4=np.hstack([centres_L2 - radii_L1, centres_L2 + radii_L1]),
        bars_B4=_bar_boxes(axes, points_L2[:, 0], bars_L2),
    )
    notes = [_annotate(axes, *label) for label in zip(points_L2, texts, colours, strict=True)]
    for i in _crowded_first(centres_L2):
        size_2 = Text.get_window_extent(notes[i], renderer).size + scale
        gaps_K, boxes_K4, lines_KP2 = _spots(centres_L2[i], radii_L1[i], size_2, scale)
        led_K = gaps_K > LEADER_GAP
        best = int(np.argmin(gaps_K + obstacles.cost(i, boxes_K4, lines_KP2, led_K)))
        obstacles.add(boxes_K4[best], lines_KP2[best] if led_K[best] else None)
        notes[i].arrow_patch.set_visible(bool(led_K[best]))
        middle_2 = boxes_K4[best].reshape(2, 2).mean(axis=0)
        notes[i].set_position((middle_2 - centres_L2[i]) / scale)
    return notes


class Obstacles:
    """What a label should not cover: edges, marks and error bars, and the labels placed so far."""

    def __init__(self, frame_4: np.ndarray, marks_L4: np.ndarray, bars_B4: np.ndarray) -> None:
        self.frame_4, self.marks_L4, self.bars_B4 = frame_4, marks_L4, bars_B4
        self.labels_B4, self.leaders_BP2 = np.empty((0, 4)), np.empty((0, LEADER_POINTS, 2))

    def add(self, box_4: np.ndarray, leader_P2: np.ndarray | None) -> None:
        """Take note of a label that has been placed, and of its leader line if it has one."""
        self.labels_B4 = np.vstack([self.labels_B4, box_4])
        if leader_P2 is not None:
            self.leaders_BP2 = np.concatenate([self.leaders_BP2, leader_P2[None]])

    def cost(
        self, label: int, boxes_K4: np.ndarray, lines_KP2: np.ndarray, led_K: np.ndarray
    ) -> np.ndarray:
        """Return what each spot for a label would cover; lines count only where led_K is true."""
        covered_K = _num_overlaps(boxes_K4, np.vstack([self.marks_L4, self.labels_B4]))
        covered_K += _crossings(self.leaders_BP2, boxes_K4).sum(axis=0)
        covered_K += _outside(boxes_K4, self.frame_4)
        covered_K += led_K * _crossings(lines_KP2, self.labels_B4).sum(axis=1)
        others_B4 = np.delete(self.marks_L4, label, axis=0)
        crossed_K = led_K * _crossings(lines_KP2, others_B4).sum(axis=1)
        return (
            OVERLAP_COST * covered_K
            + CROSSED_MARK_COST * crossed_K
            + CROSSED_LEADER_COST * led_K * _num_line_crossings(lines_KP2, self.leaders_BP2)
            + BAR_COST * _num_overlaps(boxes_K4, self.bars_B4)
        )


def _annotate(axes: Axes, point_2: np.ndarray, text: str, colour: str) -> Annotation:
    leader = {"arrowstyle": "-", "linewidth": 0.5, "color": colour, "alpha": 0.7}
    note = axes.annotate(
        text,
        point_2,
        xytext=(0, 0),
        textcoords="offset points",
        ha="center",
        va="center",
        color=[0.65 * channel for channel in to_rgb(colour)],
        arrowprops=leader | {"shrinkA": 0, "shrinkB": 2, "relpos": (0.5, 0.5)},
    )
    note.set_in_layout(False)
    return note


def _bar_boxes(axes: Axes, x_L: np.ndarray, bars_L2: np.ndarray) -> np.ndarray:
    """Return the boxes (B, 4) of the error bars that exist."""
    ends = [axes.transData.transform(np.column_stack([x_L, end_L])) for end_L in bars_L2.T]
    boxes_L4 = np.hstack([ends[0] - 1, ends[1] + 1])
    return boxes_L4[np.isfinite(boxes_L4).all(axis=1)]


def _crowded_first(centres_L2: np.ndarray) -> np.ndarray:
    """Order labels by how many marks are near: within some 30 pixels."""
    distances_LL = np.linalg.norm(centres_L2[:, None] - centres_L2[None], axis=-1)
    return np.argsort(-np.exp(-distances_LL / 30).sum(axis=1), kind="stable")


def _spots(
    centre_2: np.ndarray, radius: float, size_2: np.ndarray, scale: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the gap in points, the box and the leader line of every spot around a mark."""
    angles = np.linspace(0, 2 * np.pi, NUM_ANGLES, endpoint=False)
    directions_A2 = np.column_stack([np.cos(angles), np.sin(angles)])
    gaps_K = np.repeat(RINGS, NUM_ANGLES).astype(float)
    reach_K2 = radius + gaps_K[:, None] * scale + size_2 / 2
    middles_K2 = centre_2 + np.tile(directions_A2, (len(RINGS), 1)) * reach_K2
    boxes_K4 = np.hstack([middles_K2 - size_2 / 2, middles_K2 + size_2 / 2])
    along_P11 = np.linspace(0, 1, LEADER_POINTS)[:, None, None]
    lines_PK2 = centre_2 + along_P11 * (middles_K2 - centre_2)
    return gaps_K, boxes_K4, lines_PK2.swapaxes(0, 1)


def _num_overlaps(boxes_K4: np.ndarray, others_B4: np.ndarray) -> np.ndarray:
    """Count, for each box, the others that it overlaps."""
    starts_before = (boxes_K4[:, None, :2] < others_B4[None, :, 2:]).all(axis=-1)
    ends_after = (boxes_K4[:, None, 2:] > others_B4[None, :, :2]).all(axis=-1)
    return (starts_before & ends_after).sum(axis=1)


def _crossings(lines_KP2: np.ndarray, boxes_B4: np.ndarray) -> np.ndarray:
    """Tell (K, B) which lines run through which boxes."""
    x_KP1, y_KP1 = lines_KP2[..., 0, None], lines_KP2[..., 1, None]
    left_B, bottom_B, right_B, top_B = boxes_B4.T
    inside = (x_KP1 > left_B) & (x_KP1 < right_B) & (y_KP1 > bottom_B) & (y_KP1 < top_B)
    return inside.any(axis=1)


def _num_line_crossings(lines_KP2: np.ndarray, others_BP2: np.ndarray) -> np.ndarray:
    """Count, for each line, the other lines that it crosses (by the sides their ends lie on)."""
    a_K12, b_K12 = lines_KP2[:, None, 0], lines_KP2[:, None, -1]
    c_B2, d_B2 = others_BP2[None, :, 0], others_BP2[None, :, -1]
    return (
        (_side(a_K12, b_K12, c_B2) != _side(a_K12, b_K12, d_B2))
        & (_side(c_B2, d_B2, a_K12) != _side(c_B2, d_B2, b_K12))
    ).sum(axis=1)


def _side(start: np.ndarray, end: np.ndarray, point: np.ndarray) -> np.ndarray:
    """Tell whether a point lies left of the line from start to end."""
    along, across = end - start, point - start
    return along[..., 0] * across[..., 1] > along[..., 1] * across[..., 0]


def _outside(boxes_K4: np.ndarray, frame_4: np.ndarray) -> np.ndarray:
    """Tell which boxes stick out of the frame."""
    low = boxes_K4[:, :2] < frame_4[:2]
    high = boxes_K4[:, 2:] > frame_4[2:]
    return (low | high).any(axis=1)
