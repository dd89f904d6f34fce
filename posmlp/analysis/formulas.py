"""Learnable numbers of one token-mixing layer, in closed form (paper, section on complexity).

A window of h x w tokens has N = h w of them and (2h - 1)(2w - 1) relative offsets; s is the number
of channel groups, each with a table or a quadratic form of its own.
"""


def map_parameters(gate: str, window: tuple[float, float], groups: int) -> float:
    """Return the learnable numbers of a unit's map; its bias is N more.

    The formulas hold between whole windows too, where they are drawn as lines.
    """
    h, w = window
    matrix, table = (h * w) ** 2, (2 * h - 1) * (2 * w - 1)
    return {
        "sgu": groups * matrix,
        "lrpe": groups * table,
        "qpe": groups * 3,
        "gqpe": groups * 6,
        "fc_lrpe": matrix + groups * table,
        "fc_gqpe": matrix + groups * 6,
    }[gate]
