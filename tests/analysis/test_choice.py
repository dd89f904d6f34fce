"""The choice of a run: by validation images, whatever the test images say."""

import json

import pytest

from posmlp.analysis.choice import RULE, choose, model_card, write_choice
from posmlp.analysis.collect import find_runs, runs_frame
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
    evidence = finish_all(validated, finish_run, accuracies)
    choice, reason = choose(evidence)
    assert (choice["variant"], choice["seed"]) == (second, validated.seeds[-1])
    assert choice["test_top1"] == pytest.approx(100 - choice["val_top1"])
    assert reason == RULE
    card = model_card(evidence, choice)
    assert f"# {second} of the study" in card
    assert f"| validation, this run | {choice['val_top1']:.2f} |" in card
    assert "Test images play no part" in card


def test_of_equals_the_one_with_fewer_parameters_then_the_first(validated, finish_run):
    choice, _ = choose(finish_all(validated, finish_run, {}))
    assert (choice["variant"], choice["seed"]) == (validated.variants[0].name, validated.seeds[0])


def test_without_validation_images_nothing_is_chosen_and_it_says_why(study, finish_run, tmp_path):
    write_choice(finish_all(study, finish_run, {}), tmp_path)
    written = json.loads((tmp_path / "study.json").read_text())
    assert written["choice"] is None
    assert "data.validation is 0 for" in written["reason"]
    assert written["reason"] in (tmp_path / "model_card.md").read_text()


def test_what_is_written_is_strict_json(validated, finish_run, tmp_path):
    write_choice(finish_all(validated, finish_run, {}), tmp_path)
    written = json.loads((tmp_path / "study.json").read_text(), parse_constant=pytest.fail)
    assert written["title"] == validated.title
    assert written["seeds"] == list(validated.seeds)
    assert written["choice"]["variant"] == validated.variants[0].name
    assert len((tmp_path / "model_card.md").read_text()) < 5000  # what MLflow takes
