"""Learnable numbers of one token-mixing layer, in closed form (paper, section on complexity).

Independent of the code that builds the layers. A window of h x w tokens has N = h w of them and
(2h - 1)(2w - 1) relative offsets; s is the number of channel groups, each with a table or a
quadratic form of its own. A sequence has a window of one length.
"""

import math
from collections.abc import Callable

Window = tuple[float, ...]


def matrix(window: Window) -> float:
    """N^2: one weight for every query and key."""
    return math.prod(window) ** 2


def table(window: Window) -> float:
    """(2h - 1)(2w - 1): one number for every relative offset (LRPE)."""
    return math.prod(2 * length - 1 for length in window)


def isotropic_form(window: Window) -> float:
    """3 for images: a centre and one width (QPE)."""
    return len(window) + 1


def general_form(window: Window) -> float:
    """6 for images: a centre and a spread matrix (GQPE)."""
    return len(window) + len(window) ** 2


MAPS: dict[str, Callable[[Window, int], float]] = {
    "sgu": lambda window, s: s * matrix(window),
    "lrpe": lambda window, s: s * table(window),
    "qpe": lambda window, s: s * isotropic_form(window),
    "gqpe": lambda window, s: s * general_form(window),
    "fc_lrpe": lambda window, s: matrix(window) + s * table(window),
    "fc_gqpe": lambda window, s: matrix(window) + s * general_form(window),
}


def map_parameters(gate: str, window: Window, groups: int = 1) -> float:
    """Return the learnable numbers of a unit's map; its bias is N more.

    The formulas hold between whole windows too, where they can be drawn as lines.

    Raises:
        KeyError: no closed form is known for this gate; MAPS is the place for it.
    """
    return MAPS[gate](window, groups)


def layer_parameters(gate: str, window: Window, groups: int = 1, bias: bool = True) -> float:
    """Return the learnable numbers of a whole token-mixing layer."""
    return map_parameters(gate, window, groups) + (math.prod(window) if bias else 0)
