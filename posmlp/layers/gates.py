"""Gating units by name: components, parameter counts in closed form, and checks of settings."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from inspect import signature

from torch import nn

from posmlp.layers.position import GQPE, LRPE, QPE

Window = tuple[float, ...]  # tokens per axis; closed forms also hold between whole windows


class SettingError(ValueError):
    """An invalid setting of a unit or backbone; `key` is the name of the argument."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


@dataclass(frozen=True)
class Gate:
    """The components of a gating unit. A new unit is one encoding class and one row of GATES.

    Attributes:
        position: positional encoding of the map; None: only a free matrix.
        num_position: parameters of the encoding in closed form, from window and groups. Every start
            of a study compares layers with it, so derive it from the equation, not from the class.
        token_fc: whether the map has a learnable N x N matrix.
        norm: whether the mixed half has a LayerNorm by default.
        bias_init: initial value of the bias.
    """

    position: type[nn.Module] | None
    num_position: Callable[[Window, int], float]
    token_fc: bool = False
    norm: bool = False
    bias_init: float = 0.0

    @property
    def options(self) -> set[str]:
        """Settings that affect the map: softmax, and the arguments of the encoding."""
        taken = {"softmax", *signature(self.position).parameters} if self.position else set()
        return taken - {"window", "groups"}

    def map_parameters(self, window: Window, groups: int = 1) -> float:
        """Parameters of the map in closed form (paper, section on complexity).

        A free matrix has N^2; without an encoding, there is one matrix per group.
        """
        matrices = groups if self.position is None else 1
        matrix = matrices * math.prod(window) ** 2 if self.token_fc else 0
        return self.num_position(window, groups) + matrix

    def layer_parameters(self, window: Window, groups: int = 1, bias: bool = True) -> float:
        """Parameters of a token-mixing layer: those of the map, and N for the bias."""
        return self.map_parameters(window, groups) + (math.prod(window) if bias else 0)


def table(window: Window, groups: int) -> float:
    """One parameter per group and relative offset: s(2h - 1)(2w - 1)."""
    return groups * math.prod(2 * length - 1 for length in window)


def isotropic(window: Window, groups: int) -> float:
    """A centre and one width: 3 per group for images."""
    return groups * (len(window) + 1)


def general(window: Window, groups: int) -> float:
    """A centre and a spread matrix: 6 per group for images."""
    return groups * (len(window) + len(window) ** 2)


GATES = {
    "sgu": Gate(None, lambda window, groups: 0, token_fc=True, norm=True, bias_init=1.0),
    "lrpe": Gate(LRPE, table),
    "qpe": Gate(QPE, isotropic),
    "gqpe": Gate(GQPE, general),
    "fc_lrpe": Gate(LRPE, table, token_fc=True),
    "fc_gqpe": Gate(GQPE, general, token_fc=True),
}


def find_gate(name: str) -> Gate:
    """Look a gating unit up by name."""
    if name not in GATES:
        raise SettingError("gate", f"gate={name!r} is unknown; allowed: {', '.join(GATES)}")
    return GATES[name]


def check_positive(key: str, *values: float, whole: bool = True) -> None:
    """Refuse values that are not positive numbers (integers if `whole`)."""
    for value in values:
        number = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
        if not number or not 0 < value < math.inf:
            kind = "an integer of at least 1" if whole else "a number above 0"
            raise SettingError(key, f"{key}: found {value!r}; it must be {kind}")


def check_groups(groups: int, gate_dim: int) -> None:
    """Refuse a number of groups that does not divide the gated channels."""
    check_positive("groups", groups)
    if gate_dim % groups:
        allowed = [s for s in range(1, gate_dim + 1) if gate_dim % s == 0]
        raise SettingError(
            "groups",
            f"groups={groups} does not divide the {gate_dim} gated channels; allowed: "
            + ", ".join(map(str, allowed)),
        )


def check_options(name: str, **options: object) -> None:
    """Refuse settings without effect: two variants of a study must never be the same network.

    Args:
        options: settings of the map; None: not set.
    """
    taken = find_gate(name).options
    for key, value in options.items():
        if value is not None and key not in taken:
            allowed = ", ".join(other for other, gate in GATES.items() if key in gate.options)
            raise SettingError(
                key, f"{key} has no effect with gate={name!r}; it has one with: {allowed}"
            )


def check_number(key: str, value: float | None, least: float = -math.inf) -> None:
    """Refuse anything but a finite number of at least `least`; None means not set."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if value is not None and not (number and least <= value < math.inf):
        bound = "finite" if least == -math.inf else f"at least {least:g}"
        raise SettingError(key, f"{key}: found {value!r}; it must be a number, {bound}")
