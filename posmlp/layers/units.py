"""The gating units by name: what each is made of, and which settings it refuses."""

from dataclasses import dataclass

from torch import nn

from posmlp.layers.position import GQPE, LRPE, QPE, Quadratic


class SettingError(ValueError):
    """A setting of a unit or backbone that cannot work; `key` is the name of the argument."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


@dataclass(frozen=True)
class Gate:
    """What a gating unit is made of. A new unit is one encoding class and one row of GATES."""

    position: type[nn.Module] | None  # encoding that the map is derived from
    token_fc: bool  # a learnable N x N matrix in the map
    norm: bool = False  # LayerNorm on the gated half by default
    bias_init: float = 0.0


GATES = {
    "sgu": Gate(position=None, token_fc=True, norm=True, bias_init=1.0),
    "lrpe": Gate(position=LRPE, token_fc=False),
    "qpe": Gate(position=QPE, token_fc=False),
    "gqpe": Gate(position=GQPE, token_fc=False),
    "fc_lrpe": Gate(position=LRPE, token_fc=True),
    "fc_gqpe": Gate(position=GQPE, token_fc=True),
}


def gate_spec(gate: str) -> Gate:
    """Look a gating unit up by name."""
    if gate not in GATES:
        raise SettingError("gate", f"gate={gate!r} is unknown; allowed: {', '.join(GATES)}")
    return GATES[gate]


def check_groups(groups: int, gate_dim: int) -> None:
    """Refuse a number of groups that cannot split the gated channels evenly."""
    if isinstance(groups, bool) or not isinstance(groups, int) or groups < 1:
        raise SettingError("groups", f"groups={groups!r} must be an integer of at least 1")
    if gate_dim % groups:
        allowed = [s for s in range(1, gate_dim + 1) if gate_dim % s == 0]
        raise SettingError(
            "groups",
            f"groups={groups} does not divide the {gate_dim} gated channels; allowed: "
            + ", ".join(map(str, allowed)),
        )


def check_switches(gate: str, spec: Gate, softmax: bool | None, psd: bool | None) -> None:
    """Refuse a switch that would change nothing: two variants of a study must never be one."""
    if softmax is not None and spec.position is None:
        raise SettingError("softmax", f"softmax has no meaning for gate={gate!r}: it has no scores")
    if psd is not None and not (spec.position and issubclass(spec.position, Quadratic)):
        raise SettingError("psd", f"psd has no meaning for gate={gate!r}: it has no quadratic form")
