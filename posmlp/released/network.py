"""A released state dict to our network: what it is by its shapes, and whether it is all there."""

import math
import re
from collections import Counter
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from posmlp.models import PosMlp
from posmlp.released.convert import (
    OFFSETS,
    ReleasedError,
    convert_network,
    unit_groups,
    unit_settings,
)
from posmlp.released.export import export_network

# Written by the release and implied by the rest: files may leave them out.
IMPLIED = (*OFFSETS, "num_batches_tracked")
NUM_NAMED = 3  # tensors that an error names


def released_network(state: Mapping[str, Tensor], options: Mapping) -> PosMlp:
    """Build our network for a released one and load its weights.

    Args:
        options: keyword arguments of the released PosMLP; only those that no shape tells are read:
            img_size, symmetric, use_softmax, absolute_bias.

    Raises:
        ReleasedError: tensors are missing, surplus, of another shape, or not finite.
    """
    arguments = architecture(state, options)
    check_layout(state, arguments)
    model = PosMlp(**arguments).to(state["head.weight"].dtype)
    ours = convert_network(state, arguments["windows"], dict(options))
    model.load_state_dict(with_counters(ours, model))
    return model.eval()


def architecture(state: Mapping[str, Tensor], options: Mapping) -> dict:
    """Read the arguments of PosMlp from a released network's names and shapes."""
    stages = range(1 + max(numbers(state, r"levels\.(\d+)\..+")))
    levels = [rf"levels\.{stage}\.encoder" for stage in stages]
    depths = tuple(1 + max(numbers(state, rf"{level}\.(\d+)\..+")) for level in levels)
    same = r"\.\d+\.(norm\.\w+|proj_c_s\.bias)"  # all as long as the stage is wide
    dims = tuple(usual(state, level + same)[0] for level in levels)
    hidden = [usual(state, rf"{level}\.\d+\.proj_c_e\.bias")[0] for level in levels]
    units = [unit_shapes(state, i) for i in stages]
    return dict(
        num_classes=usual(state, r"head\.weight")[0],
        img_size=tuple(options.get("img_size", (224, 224))),
        in_chans=usual(state, r"patch_embed\.projs\.0\.weight")[1],
        dims=dims,
        depths=depths,
        windows=tuple(window_side(unit, i) for i, unit in enumerate(units)),
        mlp_ratios=tuple(wide / dim for wide, dim in zip(hidden, dims, strict=True)),
        groups=tuple(unit_groups(unit) for unit in units),
        **unit_settings(units[0], dict(options)),
    )


def numbers(state: Mapping[str, Tensor], pattern: str) -> list[int]:
    """Return the number in every name that fits; at least one must."""
    found = [int(match[1]) for name in state if (match := re.fullmatch(pattern, name))]
    if not found:
        raise ReleasedError(f"no tensor is named like {readable(pattern)}")
    return found


def usual(state: Mapping[str, Tensor], pattern: str) -> torch.Size:
    """Return the most frequent shape among the tensors whose name fits: one wrong is outvoted."""
    shapes = Counter(value.shape for name, value in state.items() if re.fullmatch(pattern, name))
    shapes.pop(torch.Size(), None)
    if not shapes:
        raise ReleasedError(f"no tensor is named like {readable(pattern)}")
    return shapes.most_common(1)[0][0]


def readable(pattern: str) -> str:
    """Write a pattern as an example of a name."""
    pattern = re.sub(r"\((.*)\|.*\)", r"\1", pattern).replace(r"\w+", "weight")
    return (
        pattern.replace("(\\d+)", "0").replace("\\d+", "0").replace("\\", "").replace(".+", "...")
    )


def unit_shapes(state: Mapping[str, Tensor], stage: int) -> dict[str, Tensor]:
    """Return a gating unit of the stage as most of its blocks have it, without memory."""
    prefix = rf"levels\.{stage}\.encoder\.\d+\.gate_unit\."
    names = Counter(name[match.end() :] for name in state if (match := re.match(prefix, name)))
    if not names:
        raise ReleasedError(f"no tensor is named like {readable(prefix)}...")
    return {
        name: torch.empty(usual(state, prefix + re.escape(name)), device="meta") for name in names
    }


def window_side(unit: Mapping[str, Tensor], stage: int) -> int:
    """Return the tokens per side of a unit's square window."""
    if "proj_list.0.weight" in unit:
        num_tokens = unit["proj_list.0.weight"].shape[0]
    elif "pos.token_proj_n_bias" in unit:
        num_tokens = unit["pos.token_proj_n_bias"].shape[1]
    else:
        raise ReleasedError(
            f"the gating units of stage {stage} are neither SGU (proj_list) nor PoSGU (pos)"
        )
    if math.isqrt(num_tokens) ** 2 != num_tokens:
        raise ReleasedError(f"the {num_tokens} tokens of stage {stage} are no square window")
    return math.isqrt(num_tokens)


def check_layout(state: Mapping[str, Tensor], arguments: Mapping) -> None:
    """Compare names and shapes with those that the release writes for this network."""
    with torch.device("meta"):
        expected = {k: v.shape for k, v in export_network(PosMlp(**arguments)).items()}
    missing = [k for k in expected if k not in state and not k.endswith(IMPLIED)]
    surplus = [k for k in state if k not in expected]
    wrong = [
        f"{k} {list(v.shape)} instead of {list(expected[k])}"
        for k, v in state.items()
        if k in expected and v.shape != expected[k]
    ]
    infinite = [k for k, v in state.items() if v.is_floating_point() and not v.isfinite().all()]
    kinds = {"missing": missing, "surplus": surplus, "of another shape": wrong}
    problems = [
        f"{len(names)} {kind}: {', '.join(names[:NUM_NAMED])}"
        + (f" and {len(names) - NUM_NAMED} more" if len(names) > NUM_NAMED else "")
        for kind, names in (kinds | {"with NaN or infinity": infinite}).items()
        if names
    ]
    if problems:
        raise ReleasedError("tensors do not fit the released PosMLP: " + "; ".join(problems))


def with_counters(ours: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Add BatchNorm's step counters where a file leaves them out; they change no output."""
    counters = {k: v for k, v in model.state_dict().items() if k.endswith("num_batches_tracked")}
    return counters | ours
