"""The gated channel MLP that both backbones share."""

from collections.abc import Callable

import torch
from torch import Tensor, fx, nn
from torch.nn.modules import module as global_hooks

from posmlp.layers import GATES, GatingUnit, SettingError, TokenMixing
from posmlp.layers.gates import check_positive

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


class GatedMlp(nn.Module):
    """Expand, gate, project: equal to timm's GatedMlp in names and outputs, in a different layout.

    Between the two linear layers the channels come first, so the gating unit needs no copies. As in
    timm, the second half is mixed.

    Args:
        dim, hidden_dim: channels of the tokens, and of both halves of the gating unit together.
        drop: dropout rate of the output.
        unit: keyword arguments of GatingUnit.
    """

    def __init__(
        self, dim: int, hidden_dim: int, act_layer: type[nn.Module], drop: float, unit: dict
    ) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden_dim)
        self.act = act_layer()
        self.gate = GatingUnit(hidden_dim, **unit)
        self.fc2 = nn.Linear(hidden_dim // 2, dim)
        self.drop = nn.Dropout(drop)

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens (..., N, dim) to the same shape."""
        if not torch.jit.is_scripting() and self.fc1_is_plain(x):
            u, v = self.halves(x)
        else:
            u, v = self.act(self.fc1(x)).movedim(-1, 0).chunk(2)
        columns = self.gate(u, v).flatten(1)
        return self.drop(self.fc2(columns.mT).view(x.shape))

    @torch.jit.unused
    def halves(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Compute both halves of act(fc1(x)) with the channels first: (C, ..., N).

        One product per half reads x without a copy and writes the layout of the gate. Moving the
        channels of fc1(x) to the front instead makes training steps 13 to 36 % slower on a CPU.
        """
        columns, shape = x.flatten(0, -2).mT, x.shape[:-1]
        parameters = zip(self.fc1.weight.chunk(2), self.fc1.bias[:, None].chunk(2), strict=True)
        u, v = (self.act(torch.addmm(b, weight, columns)) for weight, b in parameters)
        return u.unflatten(1, shape), v.unflatten(1, shape)

    @torch.jit.unused
    def fc1_is_plain(self, x: Tensor) -> bool:
        """Whether calling fc1 would only compute its matrix product.

        Adapters and quantisation replace the layer, profilers hook it, and tracers record its call.
        """
        hooks = [getattr(self.fc1, h) or getattr(global_hooks, f"_global{h}") for h in HOOKS]
        recorded = isinstance(x, fx.Proxy) or torch.jit.is_tracing()
        return type(self.fc1) is nn.Linear and not any(hooks) and not recorded


def gated_mlp(unit: dict) -> Callable[..., GatedMlp]:
    """Make the mlp_layer of timm's SpatialGatingBlock; timm's own gate layer is ignored."""

    def build(dim: int, hidden_dim: int, act_layer: type[nn.Module], drop: float, **_) -> GatedMlp:
        return GatedMlp(dim, hidden_dim, act_layer, drop, unit)

    return build


def check_ratio(key: str, ratio: float, dim: int) -> None:
    """Refuse an MLP expansion whose hidden channels cannot be split in two."""
    check_positive(key, ratio, whole=False)
    hidden = int(dim * ratio)
    if hidden < 2 or hidden % 2:
        raise SettingError(
            key, f"{key}={ratio} makes {hidden} hidden channels of {dim}; it must be an even number"
        )


def default_groups(gate: str, grouped):
    """Default number of groups: `grouped`, or 1 for a free matrix, as in gMLP."""
    return grouped if gate not in GATES or GATES[gate].position else 1


def positional_parameters(model: nn.Module, *, bias: bool = True) -> set[str]:
    """Names of all parameters of positional encodings (tables, centres, spreads).

    Args:
        bias: include the position biases.
    """
    start = "position" if bias else "position."
    mixers = [(n, m) for n, m in model.named_modules() if isinstance(m, TokenMixing)]
    return {
        f"{prefix}.{name}"
        for prefix, mixer in mixers
        for name, _ in mixer.named_parameters()
        if name.startswith(start)
    }
