"""Golden cases: results of the released code, compared with ours on the same parameters."""

import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call

from posmlp.layers import GatingUnit
from posmlp.released.convert import (
    convert_unit,
    group_order,
    half_order,
    released_network,
    unit_groups,
    unit_settings,
)


class GoldenCase:
    """One .npz written with the released code; `arrays` holds those not compared yet."""

    def __init__(self, path: Path) -> None:
        with np.load(path, allow_pickle=False) as arrays:
            self.arrays = {name: arrays[name] for name in arrays.files}
        self.name = path.stem
        self.meta = json.loads(str(self.arrays.pop("meta")))

    def take(self, name: str) -> Tensor:
        """Take an array out, as float64."""
        return torch.from_numpy(self.arrays.pop(name)).double()

    def take_all(self, prefix: str) -> dict[str, Tensor]:
        """All arrays under a prefix by the rest of their names."""
        names = [name for name in self.arrays if name.startswith(prefix)]
        return {name.removeprefix(prefix): self.take(name) for name in names}

    def differences(self) -> dict[str, float]:
        """The largest absolute difference of every stored result."""
        if "logits" not in self.arrays:
            return self._unit()
        model = released_network(self.take_all("state/"), self.meta)
        with torch.no_grad():
            logits = model(self.take("input"))
        return {"logits": largest(logits - self.take("logits"))}

    def _unit(self) -> dict[str, float]:
        params = {k: v.requires_grad_() for k, v in self.take_all("param/").items()}
        window, groups = (self.meta["window"],) * 2, unit_groups(params)
        input_BWNC = self.take("input").requires_grad_()
        unit = GatingUnit(
            input_BWNC.shape[-1], window, groups=groups, **unit_settings(params, self.meta)
        ).double()
        ours = convert_unit(params, window, self.meta)
        order = half_order(input_BWNC.shape[-1], groups)
        tensors = dict(unit.named_buffers()) | ours
        halves = input_BWNC[..., order].movedim(-1, 0).chunk(2)
        output = functional_call(unit, tensors, halves, strict=True).movedim(0, -1)
        output = output[..., group_order(output.shape[-1], groups).argsort()]
        found = {"output": output}
        if "posmap" in self.arrays:
            found["posmap"] = self._map(unit, ours)
        leaves = {"grad_input": input_BWNC} | {f"grad/{k}": v for k, v in params.items()}
        grads = torch.autograd.grad(
            output, list(leaves.values()), self.take("cotangent"), materialize_grads=True
        )
        found |= zip(leaves, grads, strict=True)
        return {n: largest(v - self.take(n)) for n, v in found.items() if n in self.arrays}

    def _map(self, unit: GatingUnit, ours: dict[str, Tensor]) -> Tensor:
        """The positional map in the stored layout: groups last for QuaMap, else first."""
        mixing = {k.removeprefix("proj."): v for k, v in ours.items() if k.startswith("proj.")}
        with torch.no_grad():
            unit.proj.load_state_dict(mixing)
            map_SNN = unit.proj.position_map()
        quadratic = self.arrays["posmap"].ndim == 4
        return map_SNN.permute(1, 2, 0)[None] if quadratic else map_SNN


def largest(difference: Tensor) -> float:
    """The largest magnitude; infinite if there is a NaN."""
    return float(difference.detach().abs().nan_to_num(torch.inf).max())
