"""A released state dict to our network: its architecture read from names and shapes."""

import math
import re
from collections import Counter
from collections.abc import Mapping

import torch
from torch import Tensor

from posmlp.models import PosMlp
from posmlp.released.convert import (
    OFFSETS,
    ReleasedError,
    convert_network,
    unit_groups,
    unit_settings,
)
from posmlp.released.export import export_network

OPTIONAL = (*OFFSETS, "num_batches_tracked")  # written by the release, follow from the rest
NUM_NAMED = 3  # tensors that an error names


def released_network(state: Mapping[str, Tensor], options: Mapping) -> PosMlp:
    """Build our network for a released one and load its weights.

    Args:
        options: keyword arguments of the released PosMLP. Only those that shapes don't tell are
            read: img_size, symmetric, use_softmax, absolute_bias.

    Raises:
        ReleasedError: tensors are missing, unknown, of a wrong shape, or not finite.
    """
    arguments = architecture(state, options)
    check_layout(state, arguments)
    model = PosMlp(**arguments).to(state["head.weight"].dtype)
    ours = convert_network(state, arguments["windows"], dict(options))
    counters = {k: v for k, v in model.state_dict().items() if k.endswith("num_batches_tracked")}
    model.load_state_dict(counters | ours)
    return model.eval()


def architecture(state: Mapping[str, Tensor], options: Mapping) -> dict:
    """Read the arguments of PosMlp from a released network's names and shapes."""
    stages = range(1 + max(numbers(state, r"levels\.(\d+)\..+")))
    levels = [rf"levels\.{stage}\.encoder" for stage in stages]
    depths = tuple(1 + max(numbers(state, rf"{level}\.(\d+)\..+")) for level in levels)
    wide = r"\.\d+\.(norm\.\w+|proj_c_s\.bias)"  # all as long as the stage is wide
    dims = tuple(usual_shape(state, level + wide)[0] for level in levels)
    hidden = [usual_shape(state, rf"{level}\.\d+\.proj_c_e\.bias")[0] for level in levels]
    units = [unit_shapes(state, i) for i in stages]
    return dict(
        num_classes=usual_shape(state, r"head\.weight")[0],
        img_size=tuple(options.get("img_size", (224, 224))),
        in_chans=usual_shape(state, r"patch_embed\.projs\.0\.weight")[1],
        dims=dims,
        depths=depths,
        windows=tuple(window_side(unit, i) for i, unit in enumerate(units)),
        mlp_ratios=tuple(channels / dim for channels, dim in zip(hidden, dims, strict=True)),
        groups=tuple(unit_groups(unit) for unit in units),
        **unit_settings(units[0], dict(options)),
    )


def numbers(state: Mapping[str, Tensor], pattern: str) -> list[int]:
    """The number in every name that matches; at least one must."""
    found = [int(match[1]) for name in state if (match := re.fullmatch(pattern, name))]
    if not found:
        raise missing(pattern)
    return found


def usual_shape(state: Mapping[str, Tensor], pattern: str) -> torch.Size:
    """The most frequent shape of tensors whose name matches, so that a wrong one is outvoted."""
    shapes = Counter(value.shape for name, value in state.items() if re.fullmatch(pattern, name))
    shapes.pop(torch.Size(), None)
    if not shapes:
        raise missing(pattern)
    return shapes.most_common(1)[0][0]


def missing(pattern: str) -> ReleasedError:
    """The error for a pattern that no name matches, with an example of a name."""
    name = re.sub(r"\((.*)\|.*\)", r"\1", pattern).replace(r"\w+", "weight")
    for sign, example in (("(\\d+)", "0"), ("\\d+", "0"), ("\\", ""), (".+", "...")):
        name = name.replace(sign, example)
    return ReleasedError(f"no tensor is named like {name}")


def unit_shapes(state: Mapping[str, Tensor], stage: int) -> dict[str, Tensor]:
    """A gating unit of the stage as most of its blocks have it, on the meta device."""
    prefix = rf"levels\.{stage}\.encoder\.\d+\.gate_unit\."
    names = {name[match.end() :] for name in state if (match := re.match(prefix, name))}
    if not names:
        raise missing(f"{prefix}.+")
    shapes = {name: usual_shape(state, prefix + re.escape(name)) for name in names}
    return {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}


def window_side(unit: Mapping[str, Tensor], stage: int) -> int:
    """Tokens per side of a unit's square window."""
    if "proj_list.0.weight" in unit:
        num_tokens = unit["proj_list.0.weight"].shape[0]
    elif "pos.token_proj_n_bias" in unit:
        num_tokens = unit["pos.token_proj_n_bias"].shape[1]
    else:
        raise ReleasedError(
            f"the gating units of stage {stage} are neither SGU (proj_list) nor PoSGU (pos)"
        )
    if math.isqrt(num_tokens) ** 2 != num_tokens:
        raise ReleasedError(f"stage {stage}: {num_tokens} tokens do not make a square window")
    return math.isqrt(num_tokens)


def check_layout(state: Mapping[str, Tensor], arguments: Mapping) -> None:
    """Compare names and shapes with those that the release writes for this network."""
    with torch.device("meta"):
        expected = {k: v.shape for k, v in export_network(PosMlp(**arguments)).items()}
    problems = {
        "missing": [k for k in expected if k not in state and not k.endswith(OPTIONAL)],
        "unknown": [k for k in state if k not in expected],
        "of a wrong shape": [
            f"{k} {list(v.shape)} instead of {list(expected[k])}"
            for k, v in state.items()
            if k in expected and v.shape != expected[k]
        ],
        "with NaN or infinity": [
            k for k, v in state.items() if v.is_floating_point() and not v.isfinite().all()
        ],
    }
    texts = []
    for problem, names in problems.items():
        more = f" and {len(names) - NUM_NAMED} more" if len(names) > NUM_NAMED else ""
        if names:
            texts.append(f"{len(names)} {problem}: {', '.join(names[:NUM_NAMED])}{more}")
    if texts:
        raise ReleasedError("the tensors are not those of the released PosMLP: " + "; ".join(texts))
