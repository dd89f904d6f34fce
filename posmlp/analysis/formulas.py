"""Closed forms of what token mixing costs, independent of the code that builds the layers.

Written from the paper's definitions: N = h w tokens of a window, s channel groups.
"""

import math
from collections.abc import Callable

Window = tuple[float, ...]  # tokens a side; figures draw the formulas between whole windows too


def free_matrix(window: Window) -> int:
    """N^2: one weight for every query and key."""
    return math.prod(window) ** 2


def offset_table(window: Window) -> int:
    """(2h-1)(2w-1): one number for every relative offset (LRPE)."""
    return math.prod(2 * length - 1 for length in window)


def isotropic_form(window: Window) -> int:
    """3 for images: centre and one width (QPE)."""
    return len(window) + 1


def general_form(window: Window) -> int:
    """6 for images: centre and a spread matrix (GQPE)."""
    return len(window) + len(window) ** 2


# Numbers of a map without its bias, by gate, from the window and the groups s.
MAPS: dict[str, Callable[[Window, int], int]] = {
    "sgu": lambda window, s: s * free_matrix(window),
    "lrpe": lambda window, s: s * offset_table(window),
    "qpe": lambda window, s: s * isotropic_form(window),
    "gqpe": lambda window, s: s * general_form(window),
    "fc_lrpe": lambda window, s: free_matrix(window) + s * offset_table(window),
    "fc_gqpe": lambda window, s: free_matrix(window) + s * general_form(window),
}


def token_mixing_params(gate: str, window: Window, groups: int = 1, bias: bool = True) -> int:
    """Return the learnable numbers of one token-mixing layer, its N biases included.

    Raises:
        KeyError: no closed form is known for this gate; MAPS is the place for it.
    """
    return MAPS[gate](window, groups) + (math.prod(window) if bias else 0)
