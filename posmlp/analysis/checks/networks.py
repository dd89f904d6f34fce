"""Checks of what the networks cost, against closed forms rather than a second count."""

import inspect
import json
from collections.abc import Iterator
from functools import cache

from posmlp.analysis.checks.check import Results, check, names
from posmlp.study import RunConfig

SWITCHES = ("softmax", "psd", "bias", "gate_norm")  # none changes where tokens are mixed
COSTS = ("params", "token_mixing_params", "token_mixing_params_per_layer", "macs")


@check(
    "The parameters of every token-mixing layer are those of the closed form for its gate, groups "
    "and window",
    "compare the closed form in posmlp/layers/gates.py with the layer; one is wrong; train again",
)
def params_follow_the_formula(results: Results) -> Iterator[str]:
    for variant, rows in results.finished.groupby("variant", sort=False):
        expected = expected_params(results.study.configs[variant])
        wrong = rows["token_mixing_params_per_layer"] != json.dumps(expected)
        wrong |= rows["token_mixing_params"] != sum(expected)
        if wrong.any():
            first = rows[wrong].iloc[0]
            yield (
                f"{names(rows[wrong])}: {first['token_mixing_params_per_layer']}, in all "
                f"{first['token_mixing_params']:g}; by formula {expected}, in all {sum(expected)}"
            )


@check(
    "All seeds of a variant cost the same: parameters and multiply-accumulates",
    "a network's size must not depend on the seed: fix posmlp/models and train again",
)
def costs_do_not_depend_on_the_seed(results: Results) -> Iterator[str]:
    by_variant = results.finished.groupby("variant", sort=False)
    for cost in COSTS:
        distinct = by_variant[cost].nunique()
        for variant in distinct.index[distinct > 1]:
            found = by_variant.get_group(variant)[cost].unique()
            yield f"{variant}: {cost} is {' or '.join(map(str, found))}"


def expected_params(config: RunConfig) -> list[int]:
    """Learnable numbers of each token-mixing layer by the closed form of its gate."""
    from posmlp.layers import GATES  # not before it is needed: torch takes seconds

    gate, layers = token_mixers(config)
    bias = config.model.get("bias", True)
    return [GATES[gate].layer_parameters(window, groups, bias) for window, groups in layers]


def token_mixers(config: RunConfig) -> tuple[str, list[tuple[tuple[int, ...], int]]]:
    """Return the gate that the settings name and the window and groups of every layer."""
    arguments = {k: v for k, v in config.model_arguments().items() if k not in SWITCHES}
    default_gate, layers = _layers(json.dumps(arguments))
    return config.model.get("gate", default_gate), layers


@cache
def _layers(arguments: str) -> tuple[str, list[tuple[tuple[int, ...], int]]]:
    """Build a network without memory; return its default gate and where it mixes tokens."""
    import timm
    import torch

    import posmlp.models  # noqa: F401  (registers our models)
    from posmlp.layers import TokenMixing

    with torch.device("meta"):
        model = timm.create_model(**json.loads(arguments))
    mixers = [module for module in model.modules() if isinstance(module, TokenMixing)]
    gate = inspect.signature(type(model)).parameters.get("gate")
    return gate.default if gate else "", [(mixer.window, mixer.groups) for mixer in mixers]
