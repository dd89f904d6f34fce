"""Check before the first job that every network of a study can be built."""

import json
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from posmlp.code_version import training_code_digest
from posmlp.study.run_config import RunConfig, digest
from posmlp.study.studies import Study
from posmlp.study.study_error import StudyError, did_you_mean
from posmlp.study.variant_sheet import Variant

if TYPE_CHECKING:
    from torch import nn


def check_models(study: Study, passed: Path | None = None) -> None:
    """Build each distinct network on the meta device; imports torch and timm.

    Args:
        passed: folder that records successful checks, which are not repeated with the same code.

    Raises:
        StudyError: names the settings that failed.
    """
    networks: dict[str, list[Variant]] = {}  # by what is checked
    for variant in study.variants:
        config = study.configs[variant.name]
        checked = json.dumps([config.model_arguments(), config.recipe.position_lr != 1])
        networks.setdefault(checked, []).append(variant)
    code = [version("torch"), version("timm"), training_code_digest()]
    mark = passed / digest([*networks, *code]) if passed else None
    if mark and mark.exists():
        return
    problems = []
    for variants in networks.values():
        config = study.configs[variants[0].name]
        if reason := _why_not(config):
            arguments = json.dumps(config.model_arguments())
            rows = ", ".join(f"{variant.row} ({variant.name})" for variant in variants)
            where = f"{study.files[0]}, {study.files[-1].name} row {rows}"
            problems.append(f"{where}: {reason}; the model: {arguments}")
    if problems:
        raise StudyError(problems)
    if mark:
        passed.mkdir(parents=True, exist_ok=True)
        mark.touch()


def _why_not(config: RunConfig) -> str | None:
    """Why the network cannot be built or trained; None if it can."""
    import timm
    import torch

    from posmlp.models.gated_mlp import positional_parameters

    arguments, name = config.model_arguments(), config.model["name"]
    if not timm.is_model(name):
        hint = did_you_mean(name, timm.list_models())
        return f"model.name: no model {name!r}; {hint}timm.list_models() lists them all"
    try:
        with torch.device("meta"):
            model = timm.create_model(**arguments)
    except Exception as error:  # models of timm also fail with AssertionError or KeyError
        key = getattr(error, "key", None)
        return f"model.{key}: {error}" if key else f"model: {type(error).__name__}: {error}"
    if config.recipe.position_lr != 1 and not positional_parameters(model, bias=False):
        reason = "has no effect on a network without a positional encoding; set it to 1"
        return f"recipe.position_lr: {config.recipe.position_lr:g} {reason}"
    return _wrong_count(model)


def _wrong_count(model: "nn.Module") -> str | None:
    """Compare the parameters of each token-mixing layer with the closed form of its gate."""
    from posmlp.layers import GATES, TokenMixing

    gates = {(gate.position, gate.token_fc): gate for gate in GATES.values()}
    for name, layer in model.named_modules():
        if isinstance(layer, TokenMixing):
            gate = gates[layer.position and type(layer.position), layer.weight is not None]
            bias = layer.bias is not None or layer.position_bias is not None
            expected = gate.layer_parameters(layer.window, layer.groups, bias)
            built = sum(parameter.numel() for parameter in layer.parameters())
            if built != expected:
                return (
                    f"model.gate: {name} has {built} parameters but its closed "
                    f"form gives {expected:g}; correct num_position in "
                    "posmlp/layers/gates.py, or the encoding"
                )
    return None
