import pytest
from committed import ROOT

from posmlp.analysis.figures.catalogue import figures_from
from posmlp.analysis.figures.content import families, units
from posmlp.study import load_study


@pytest.mark.parametrize(
    ("study", "without"),
    [
        ("digits", set()),
        ("digits_shift", set()),
        ("digits_switches", {"sweeps", "learning"}),  # one unit, no number
        ("digits_shift_tuning", {"forest", "accuracy_vs_params", "learning"}),  # no comparison
    ],
)
def test_a_study_gets_the_figures_that_it_has_something_for(study, without):
    shown = figures_from("study", load_study(study, ROOT / "config/studies"))
    assert {entry.name for entry in figures_from("study")} - {e.name for e in shown} == without


def test_a_unit_is_the_variant_with_most_groups_or_the_one_that_is_compared():
    shared = {"recipe.epochs": 10, "recipe.position_lr": 1.0}
    settings = {
        "sgu": shared | {"model.gate": "sgu"},
        "gqpe_s4": shared | {"model.gate": "gqpe", "model.groups": 4},
        "gqpe_s1": shared | {"model.gate": "gqpe", "model.groups": 1},
        "gqpe_s4_fast": shared | {"model.gate": "gqpe", "recipe.position_lr": 5.0},
        "lrpe_long": shared | {"model.gate": "lrpe", "recipe.epochs": 30},
        "lrpe_fast": shared | {"model.gate": "lrpe", "recipe.position_lr": 5.0},
    }
    against = dict.fromkeys(settings, "sgu")
    assert units(settings, against, "sgu") == ["sgu", "gqpe_s4", "lrpe_fast"]
    assert units(settings, against | {"lrpe_fast": "none"}, "sgu") == ["sgu", "gqpe_s4"]


def test_a_number_may_bring_its_schedule_along_and_differ_by_stage():
    epochs = {"recipe.epochs": 20, "recipe.eval_every": 1}
    settings = {
        "all": {"data.train_fraction": 1.0} | epochs,
        "few": {"data.train_fraction": 0.1, "recipe.epochs": 200, "recipe.eval_every": 10},
        "stages": {"model.groups": [2, 8], "recipe.epochs": 20},
        "one": {"model.groups": 1, "recipe.epochs": 20},
    }
    assert families(settings, "data.train_fraction") == [{"all": 1.0, "few": 0.1}]
    assert families(settings, "model.groups") == [{"stages": pytest.approx(4.0), "one": 1}]
    assert families(settings, "recipe.epochs") == []
