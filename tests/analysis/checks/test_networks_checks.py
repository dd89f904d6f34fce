from pathlib import Path

import pytest
import timm
import torch

from posmlp.analysis.checks import Results, networks
from posmlp.study import load_study
from posmlp.training.cost import token_mixing_parameters

CONFIG = Path(__file__).parents[3] / "config/studies"


def test_parameters_that_differ_from_the_formula_are_named(results, problems):
    check = networks.params_follow_the_formula
    assert problems(check) == []
    runs = results.runs.copy()
    runs.loc[3:4, "token_mixing_params_per_layer"] = "[88, 88, 89]"
    runs.loc[8, "token_mixing_params"] = 265
    assert problems(check, Results(results.study, runs, None)) == [
        "gqpe_s4 seed 0, gqpe_s4 seed 1: [88, 88, 89], in all 264; by formula [88, 88, 88], "
        "in all 264",
        "gqpe_s4_nosoftmax seed 2: [88, 88, 88], in all 265; by formula [88, 88, 88], in all 264",
    ]


@pytest.mark.parametrize("cost", networks.COSTS)
def test_costs_that_depend_on_the_seed_are_named(results, problems, cost):
    check = networks.costs_do_not_depend_on_the_seed
    assert problems(check) == []
    runs = results.runs.copy()
    was = runs.loc[1, cost]
    runs.loc[1, cost] = "[1]" if isinstance(was, str) else 1
    now = runs.loc[1, cost]
    assert problems(check, Results(results.study, runs, None)) == [f"sgu: {cost} is {was} or {now}"]


@pytest.mark.parametrize("name", ["digits", "digits_switches", "fashion", "imagenet_posmlp"])
def test_formulas_and_layers_agree_on_the_shipped_studies(name):
    study = load_study(name, CONFIG)
    for config in study.configs.values():
        with torch.device("meta"):
            model = timm.create_model(**config.model_arguments())
        assert networks.expected_params(config) == token_mixing_parameters(model)


def test_networks_of_other_origin_mix_no_tokens(study):
    config = study.configs["sgu"].model_copy(update={"model": {"name": "mixer_s32_224"}})
    config = config.model_copy(update={"data": config.data.model_copy(update={"image_size": 224})})
    assert networks.expected_params(config) == []
