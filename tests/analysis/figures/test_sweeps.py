import pandas as pd
import pytest

from posmlp.analysis.figures.sweeps import lines_of, sweeps
from posmlp.analysis.statistics import summarise


@pytest.fixture
def summary(runs_of):
    """Two units with 100 and 1,000 images, more epochs for the fewer, and a lone variant."""
    frames = [
        runs_of({f"{gate}{end}": [90.0, 91.0]}, gate=gate, num_train=num)
        for gate in ("sgu", "gqpe")
        for end, num in (("", 1_000), ("_few", 100))
    ]
    frames[3]["against"] = "sgu_few"
    return summarise(pd.concat([*frames, runs_of({"wide": [92.0, 93.0]}, gate="gqpe")]), "sgu")


@pytest.fixture
def settings():
    few = {"data.train_fraction": 0.1, "recipe.epochs": 20, "recipe.lr": 0.01}
    all_images = {"data.train_fraction": 1.0, "recipe.epochs": 2, "recipe.lr": 0.01}
    return {
        f"{gate}{end}": {"model.gate": gate, **rest}
        for gate in ("sgu", "gqpe")
        for end, rest in (("", all_images), ("_few", few))
    } | {"wide": all_images | {"model.gate": "gqpe", "model.name": "wide"}}


def test_a_line_joins_variants_that_differ_in_one_setting_and_its_schedule(summary, settings):
    lines = list(lines_of(summary, settings, "data.train_fraction"))
    assert [line.label for line in lines] == ["sgu", "gqpe"]
    assert [line.rows["x"].tolist() for line in lines] == [[100, 1_000]] * 2
    for key in ("recipe.lr", "recipe.epochs", "model.groups"):  # epochs alone differ nowhere
        assert list(lines_of(summary, settings, key)) == []


def test_panels_have_ticks_at_the_trained_values(summary, settings):
    accuracy, gap, loss = sweeps(summary, settings).axes
    assert [tick.get_text() for tick in loss.get_xticklabels()] == ["100", "1,000"]
    assert loss.get_xlabel() == "training images"
    assert len(accuracy.containers) == len(loss.containers) == 2
    of_gqpe = gap.containers[1].lines[0].get_ydata()
    assert of_gqpe.tolist() == pytest.approx([0.0, 0.0])  # from sgu trained on as many images
