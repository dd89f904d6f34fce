"""The choice of a variant: by validation images, whatever the test images say."""

import json

import pytest

from posmlp.analysis.collect import find_runs, runs_frame
from posmlp.analysis.comparison import RULE, compare, model_card, write_comparison
from posmlp.analysis.statistics import Evidence
from posmlp.study import load_study


@pytest.fixture
def validated(tmp_path, study):
    """The study of the other tests, with validation images."""
    path = study.files[0]
    path.write_text(path.read_text().replace("data: {", "data: {validation: 0.2, "))
    return load_study(path)


def finish_all(study, finish_run, validation):
    """Every run: validation accuracy by (variant, seed), test accuracy the other way round."""
    for run in study.runs():
        accuracy = validation.get((run.variant, run.seed), 50.0)
        finish_run(run, val_top1=accuracy, test_top1=100 - accuracy, num_val=259)
    runs = runs_frame(study, find_runs(study, study.files[0].parent / "results"))
    return Evidence(study, runs)


def test_the_highest_mean_on_validation_images_is_chosen_and_its_best_seed(validated, finish_run):
    second = validated.variants[1].name
    accuracies = {(second, seed): 90.0 + seed for seed in validated.seeds}
    comparison = compare(finish_all(validated, finish_run, accuracies))
    choice = comparison["choice"]
    assert (choice["variant"], choice["seed"]) == (second, validated.seeds[-1])
    assert choice["test_top1"] == pytest.approx(100 - choice["val_top1"])
    assert comparison["reason"] == RULE
    card = model_card(validated, comparison)
    assert f"# {second} of the study" in card
    assert f"| validation, this run | {choice['val_top1']:.2f} |" in card
    assert "Test images play no part" in card


def test_of_equals_the_one_with_fewer_parameters_then_the_first(validated, finish_run):
    assert compare(finish_all(validated, finish_run, {}))["choice"]["variant"] == (
        validated.variants[0].name
    )


def test_without_validation_images_nothing_is_chosen_and_it_says_why(study, finish_run):
    comparison = compare(finish_all(study, finish_run, {}))
    assert comparison["choice"] is None
    assert "data.validation is 0 for" in comparison["reason"]
    assert comparison["reason"] in model_card(study, comparison)


def test_what_is_written_is_strict_json(validated, finish_run, tmp_path):
    write_comparison(finish_all(validated, finish_run, {}), tmp_path)
    written = json.loads((tmp_path / "comparison.json").read_text(), parse_constant=pytest.fail)
    assert [v["variant"] for v in written["variants"]] == [v.name for v in validated.variants]
    assert [v["claim"] for v in written["variants"]] == [v.claim for v in validated.variants]
    assert written["title"] == validated.title
    assert written["seeds"] == list(validated.seeds)
    top1 = written["variants"][0]["metrics"]["test_top1"]
    assert (top1["mean"], top1["n"], top1["low"] <= 50 <= top1["high"]) == (50.0, 3, True)
    assert len((tmp_path / "model_card.md").read_text()) < 5000  # what MLflow takes
