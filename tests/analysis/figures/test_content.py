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
def test_a_study_gets_the_figures_that_show_something(study, without):
    shown = figures_from("study", load_study(study, ROOT / "config/studies"))
    assert {entry.name for entry in figures_from("study")} - {e.name for e in shown} == without


UNITS = """\
variant\tclaim\tagainst\tmodel.gate\tmodel.groups\trecipe.epochs\trecipe.position_lr
sgu\tbaseline\t\tsgu\t\t\t
gqpe_s4\tplain\t\tgqpe\t4\t\t
gqpe_s1\tfewer groups\t\tgqpe\t1\t\t
gqpe_s4_fast\tmore than the unit\t\tgqpe\t4\t\t5
lrpe_long\tmore epochs\t\tlrpe\t1\t30\t
lrpe_fast\tnone plain\t{against}\tlrpe\t1\t\t5
"""


@pytest.mark.parametrize(
    ("against", "expected"),
    [("sgu", ["sgu", "gqpe_s4", "lrpe_fast"]), ("none", ["sgu", "gqpe_s4"])],
)
def test_a_unit_is_the_variant_with_most_groups_or_the_one_that_is_compared(
    against, expected, study
):
    study.files[1].write_text(UNITS.format(against=against))
    assert units(load_study(study.files[0])) == expected


def test_a_setting_may_change_its_schedule_and_differ_by_stage():
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
