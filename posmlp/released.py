"""Read what the authors' code wrote: parameters, checkpoints and golden cases of the release.

Released code: github.com/Zhicaiwww/PosMLP at 654f020. It differs from ours in three conventions:
axes (its first offset axis points right, its second up; ours point down and right), groups
(channel c belongs to group c mod s; ours are contiguous) and halves (the first half is mixed; as
in timm, ours mixes the second). `python -m posmlp.released verify FILE.npz ...` shows that with
these accounted for the two compute the same.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from posmlp.layers import GatingUnit
from posmlp.models import PosMlp

# An offset is (right, up) in the release and (down, right) here: ours @ TURN.T == released.
TURN = [[0.0, 1.0], [-1.0, 0.0]]


class ReleasedError(ValueError):
    """A file that does not have the released layout, or uses what the release cannot do."""


def group_order(channels: int, groups: int) -> Tensor:
    """Return which released channel stands at each of our places (contiguous groups)."""
    return torch.arange(channels).reshape(-1, groups).T.flatten()


def half_order(channels: int, groups: int) -> Tensor:
    """Return the same for both halves of a unit's input, with the halves exchanged."""
    order = group_order(channels // 2, groups)
    return torch.cat([order + channels // 2, order])


def convert_unit(params: Mapping[str, Tensor], window: tuple[int, int], options: dict) -> dict:
    """Turn a released gating unit's parameters into a state dict of `GatingUnit`.

    Differentiable, so that gradients flow back to the released parameters.

    Args:
        params: `pos.attention_centers`, `pos.token_proj_n_bias`, ... as in a released block.
        options: keyword arguments of the released unit that were not the default.
    """
    if "proj_list.0.weight" in params:
        ours = {"proj.weight": params["proj_list.0.weight"]}
        ours |= {f"norm.{name}": params[f"norm_list.0.{name}"] for name in ("weight", "bias")}
        if "proj_list.0.bias" in params:
            ours["proj.bias"] = params["proj_list.0.bias"]
        return ours
    ours = {}
    if has_bias(params, options):
        ours["proj.position_bias"] = params["pos.token_proj_n_bias"][0]
    if "pos.window_relative_position_bias_table" in params:
        table_OS = params["pos.window_relative_position_bias_table"]
        shape = (-1, 2 * window[0] - 1, 2 * window[1] - 1)
        ours["proj.position.table"] = table_OS.T.reshape(shape).flip(1, 2)  # released: query - key
        if not options.get("pos_only", True):
            ours["proj.weight"] = params["token_proj_n_weight"][0]
        return ours
    return ours | convert_quadratic(params, options)


def convert_quadratic(params: Mapping[str, Tensor], options: dict) -> dict[str, Tensor]:
    """Turn centres and spreads of the released QuaMap (posmlp2D.py:54-94) into ours."""
    center_SD, spread = params["pos.attention_centers"], params["pos.attention_spreads"]
    turn = torch.tensor(TURN, dtype=center_SD.dtype)
    if spread.ndim == 1:  # QPE: the released width scales the centre, nothing else
        center_SD = spread.square()[:, None] * center_SD
        return {
            "proj.position.center": center_SD @ turn,
            "proj.position.spread": torch.ones_like(spread),
        }
    spread = turn.T @ spread if options.get("symmetric", True) else turn.T @ spread @ turn
    return {"proj.position.center": center_SD @ turn, "proj.position.spread": spread}


def has_bias(params: Mapping[str, Tensor], options: dict) -> bool:
    """Say whether the released unit adds its bias; its LRPE does so whatever it is told."""
    return options.get("absolute_bias", True) or "pos.window_relative_position_bias_table" in params


def unit_settings(params: Mapping[str, Tensor], options: dict) -> dict:
    """Return the arguments of `GatingUnit` that make the released unit."""
    if "proj_list.0.weight" in params:
        if "proj_list.1.weight" in params:
            raise ReleasedError("SGU with more than two chunks has no counterpart here")
        return dict(gate="sgu", bias="proj_list.0.bias" in params)
    bias = has_bias(params, options)
    if "pos.window_relative_position_bias_table" in params:
        return dict(gate="lrpe" if options.get("pos_only", True) else "fc_lrpe", bias=bias)
    gate = "gqpe" if params["pos.attention_spreads"].ndim == 3 else "qpe"
    psd = options.get("symmetric", True) if gate == "gqpe" else True
    return dict(gate=gate, bias=bias, psd=psd, softmax=options.get("use_softmax", True))


def unit_groups(params: Mapping[str, Tensor]) -> int:
    """Read the number of groups from the shapes."""
    if "pos.attention_centers" in params:
        return params["pos.attention_centers"].shape[0]
    table_OS = params.get("pos.window_relative_position_bias_table")
    return 1 if table_OS is None else table_OS.shape[1]


STEM = {"projs": (0, 3, 6), "norms": (1, 4, 7)}  # places in our stem's Sequential
BLOCK = {"norm": "norm", "proj_c_e": "mlp_channels.fc1", "proj_c_s": "mlp_channels.fc2"}


def convert_network(state: Mapping[str, Tensor], windows: list[int], options: dict) -> dict:
    """Turn a released PosMLP state dict into one of `posmlp.models.PosMlp`.

    Raises:
        ReleasedError: a name that the released layout does not have.
    """
    ours, units = {}, {}
    for name, value in state.items():
        parts = name.split(".")
        if parts[-1] in ("rel_indices", "window_relative_position_index"):
            continue  # tables of offsets, no parameters
        if parts[0] == "patch_embed" and parts[1] in STEM:
            ours[f"stem.{STEM[parts[1]][int(parts[2])]}.{parts[3]}"] = value
        elif parts[0] == "norm":
            ours[name] = value
        elif parts[0] == "head":
            ours[f"head.fc.{parts[1]}"] = value
        elif parts[0] == "levels" and parts[2] == "pool":
            ours[f"stages.{parts[1]}.downsample.{'.'.join(parts[3:])}"] = value
        elif parts[0] == "levels" and parts[2] == "encoder" and parts[4] == "gate_unit":
            units.setdefault((int(parts[1]), int(parts[3])), {})[".".join(parts[5:])] = value
        elif parts[0] == "levels" and parts[2] == "encoder" and parts[4] in BLOCK:
            ours[f"stages.{parts[1]}.blocks.{parts[3]}.{BLOCK[parts[4]]}.{parts[5]}"] = value
        else:
            raise ReleasedError(f"{name!r} is not a name of the released PosMLP")
    for (stage, block), params in units.items():
        window = (windows[stage], windows[stage])
        prefix = f"stages.{stage}.blocks.{block}.mlp_channels"
        for name, value in convert_unit(params, window, options).items():
            ours[f"{prefix}.gate.{name}"] = value
        fc1, fc2 = f"{prefix}.fc1", f"{prefix}.fc2.weight"
        order = half_order(len(ours[f"{fc1}.bias"]), unit_groups(params))
        ours[f"{fc1}.weight"] = ours[f"{fc1}.weight"][order]
        ours[f"{fc1}.bias"] = ours[f"{fc1}.bias"][order]
        ours[fc2] = ours[fc2][:, order[len(order) // 2 :]]
    return ours


def released_network(state: Mapping[str, Tensor], options: dict) -> PosMlp:
    """Build our network for a released one and load its weights.

    Args:
        options: keyword arguments of the released PosMLP constructor.
    """
    windows = options.get("win_size", (14, 14, 14, 7))
    prefix = "levels.0.encoder.0.gate_unit."
    first = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    model = PosMlp(
        num_classes=len(state["head.weight"]),
        img_size=tuple(options.get("img_size", (224, 224))),
        in_chans=state["patch_embed.projs.0.weight"].shape[1],
        dims=tuple(options.get("embed_dims", (96, 192, 384, 768))),
        depths=tuple(options.get("depths", (2, 2, 18, 2))),
        windows=tuple(windows),
        mlp_ratios=tuple(options.get("mlp_ratio", (4, 4, 4, 2))),
        groups=stage_groups(state),
        **unit_settings(first, options),
    )
    model.to(state["head.weight"].dtype)
    model.load_state_dict(with_counters(convert_network(state, windows, options), model))
    return model.eval()


def stage_groups(state: Mapping[str, Tensor]) -> tuple[int, ...]:
    """Read every stage's groups from the shapes of its first block."""
    groups = []
    while any(name.startswith(f"levels.{len(groups)}.encoder.0.") for name in state):
        prefix = f"levels.{len(groups)}.encoder.0.gate_unit."
        groups.append(unit_groups({k.removeprefix(prefix): v for k, v in state.items()}))
    return tuple(groups)


def with_counters(ours: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Add BatchNorm's step counters where a file leaves them out; they change no output."""
    counters = {k: v for k, v in model.state_dict().items() if k.endswith("num_batches_tracked")}
    return counters | ours


class GoldenCase:
    """One .npz written with the released code; comparing takes every array it holds."""

    def __init__(self, path: Path) -> None:
        with np.load(path, allow_pickle=False) as arrays:
            self.arrays = {name: arrays[name] for name in arrays.files}
        self.name = path.stem
        self.meta = json.loads(str(self.arrays.pop("meta")))
        self.compared = set()

    def take(self, name: str) -> Tensor:
        """Return an array as float64 and note that it was used."""
        self.compared.add(name)
        return torch.from_numpy(self.arrays[name]).double()

    def take_all(self, prefix: str) -> dict[str, Tensor]:
        """Return all arrays under a prefix by the rest of their names."""
        return {n.removeprefix(prefix): self.take(n) for n in self.arrays if n.startswith(prefix)}

    def differences(self) -> dict[str, float]:
        """Return the largest absolute difference of every stored result."""
        return self.network() if "logits" in self.arrays else self.unit()

    def network(self) -> dict[str, float]:
        model = released_network(self.take_all("state/"), self.meta)
        with torch.no_grad():
            logits = model(self.take("input"))
        return {"logits": largest(logits - self.take("logits"))}

    def unit(self) -> dict[str, float]:
        params = {k: v.requires_grad_() for k, v in self.take_all("param/").items()}
        window, groups = (self.meta["window"],) * 2, unit_groups(params)
        input_BWNC = self.take("input").requires_grad_()
        unit = GatingUnit(
            input_BWNC.shape[-1], window, groups=groups, **unit_settings(params, self.meta)
        ).double()
        ours = convert_unit(params, window, self.meta)
        order = half_order(input_BWNC.shape[-1], groups)
        tensors = dict(unit.named_buffers()) | ours
        output = functional_call(unit, tensors, input_BWNC[..., order], strict=True)
        output = output[..., group_order(output.shape[-1], groups).argsort()]
        found = {"output": output, "grad_input": None}
        if "posmap" in self.arrays:
            found["posmap"] = self.map(unit, ours)
        names, leaves = ["grad_input"], [input_BWNC]
        for name, param in params.items():
            names.append(f"grad/{name}")
            leaves.append(param)
        grads = torch.autograd.grad(output, leaves, self.take("cotangent"), allow_unused=True)
        for name, leaf, grad in zip(names, leaves, grads, strict=True):
            found[name] = torch.zeros_like(leaf) if grad is None else grad
        return {n: largest(v - self.take(n)) for n, v in found.items() if n in self.arrays}

    def map(self, unit: GatingUnit, ours: dict[str, Tensor]) -> Tensor:
        """Return the positional map in the stored layout: groups last for QuaMap, else first."""
        mixing = {k.removeprefix("proj."): v for k, v in ours.items() if k.startswith("proj.")}
        with torch.no_grad():
            unit.proj.load_state_dict(mixing)
            map_SNN = unit.proj.position_map()
        quadratic = self.arrays["posmap"].ndim == 4
        return map_SNN.permute(1, 2, 0)[None] if quadratic else map_SNN


def largest(difference: Tensor) -> float:
    """Return the largest magnitude; NaN anywhere is infinitely wrong."""
    return float(difference.detach().abs().nan_to_num(torch.inf).max())


def verify(paths: list[Path], tolerance: float) -> bool:
    """Print a line per case and say whether all agree and nothing was left uncompared."""
    passed = True
    for path in paths:
        try:
            case = GoldenCase(path)
            differences = case.differences()
        except Exception as error:  # whatever is wrong with a file, the others are compared
            print(f"FAIL {path}: cannot be compared: {type(error).__name__}: {error}")
            passed = False
            continue
        left = sorted(set(case.arrays) - case.compared)
        good = not left and all(d <= tolerance for d in differences.values())
        figures = "  ".join(f"{name} {value:.1e}" for name, value in differences.items())
        rest = f"  NOT COMPARED: {', '.join(left)}" if left else ""
        print(f"{'ok  ' if good else 'FAIL'} {case.name}: {figures}{rest}")
        passed &= good
    return passed


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m posmlp.released", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("verify", help="compare golden cases of the released code")
    command.add_argument("files", nargs="+", type=Path, metavar="FILE.npz")
    command.add_argument("--tolerance", type=float, default=1e-9, help="largest difference allowed")
    arguments = parser.parse_args()
    return 0 if verify(arguments.files, arguments.tolerance) else 1


if __name__ == "__main__":
    sys.exit(main())
