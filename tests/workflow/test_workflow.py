"""The DAG as a user meets it: it runs, it stands still, and it retrains exactly what changed."""

import json
import os
import shutil
import time
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest
from conftest import Checkout

SHIPPED = sorted(
    p.stem for p in Path(__file__).parents[2].joinpath("config/studies").glob("*.yaml")
)
pytestmark = pytest.mark.xdist_group("workflow")


@contextmanager
def edited(checkout, name, old, new):
    """Change a file and put it back, dates too."""
    path = checkout.path / name
    before, stat = path.read_bytes(), path.stat()
    checkout.edit(name, old, new)
    yield
    path.write_bytes(before)
    os.utime(path, (stat.st_atime, stat.st_mtime))


def test_everything_comes_out(finished):
    here = finished.path / "results/tiny"
    runs = pd.read_csv(here / "runs.csv")
    assert list(zip(runs.variant, runs.seed, strict=True)) == [("sgu", 0), ("gqpe", 0)]
    for name in ("accuracy_vs_params", "accuracy_vs_groups", "training_curves", "maps/gqpe"):
        for kind in ("pdf", "svg", "png"):
            assert (here / f"figures/{name}.{kind}").stat().st_size > 1000
    assert "All 13 passed" in (here / "checks.md").read_text()
    for kind in ("csv", "md", "tex"):
        assert "gqpe" in (here / f"tables/main.{kind}").read_text()
    metrics = json.loads((finished.path / "results/runs/tiny/gqpe/seed0/metrics.json").read_text())
    assert runs.top1[1] == pytest.approx(metrics["top1"])
    assert json.loads((here / "tracked.json").read_text())["finished"] == 2


def test_a_second_start_does_nothing(finished):
    assert finished.planned() == {}


def test_a_new_seed_or_row_trains_only_what_is_missing(finished):
    with edited(finished, "config/studies/tiny.yaml", "seeds: [0]", "seeds: [0, 1]"):
        assert finished.planned()["train"] == 2
    row = "gqpe\tA form\tgqpe\t4\n"
    with edited(finished, "config/studies/tiny.tsv", row, row + "lrpe\tA table\tlrpe\t1\n"):
        assert finished.planned()["train"] == 1


def test_a_changed_row_retrains_its_runs_alone(finished):
    with edited(finished, "config/studies/tiny.tsv", "gqpe\t4", "gqpe\t8"):
        done = finished.snakemake("--dry-run")
        assert "Training gqpe, seed 0" in done.stdout
        assert "Training sgu, seed 0" not in done.stdout


def test_a_changed_setting_retrains_what_depends_on_it(finished):
    with edited(finished, "config/studies/tiny.yaml", "lr: 1e-2", "lr: 2e-2"):
        assert finished.planned()["train"] == 2


@pytest.mark.parametrize(
    "name", ["posmlp/layers/position.py", "posmlp/training/engine.py", "posmlp/data/digits.py"]
)
def test_changed_training_code_retrains(finished, name):
    with edited(finished, name, "\nimport ", "\nCHANGED = 1\nimport "):
        assert finished.planned()["train"] == 2


def test_a_comment_a_claim_or_a_date_retrains_nothing(finished):
    with edited(finished, "posmlp/layers/position.py", "\nimport ", "\n# a comment\nimport "):
        assert finished.planned() == {}
    with edited(finished, "config/studies/tiny.yaml", "title:", "# a comment\ntitle:"):
        assert finished.planned() == {}
    with edited(finished, "config/studies/tiny.tsv", "A form", "Another claim"):
        planned = finished.planned()
        assert "train" not in planned
        assert planned["tables"] == 1
    rule = "reference: sgu\nbetter: {level: 0.01}"
    with edited(finished, "config/studies/tiny.yaml", "reference: sgu", rule):
        assert finished.planned() == {"tables": 1, "all": 1}
    for name in ("posmlp/layers/gating.py", "results/tiny/data.json", "results/tiny/store.json"):
        path = finished.path / name
        stat = path.stat()
        later = time.time() + 100
        os.utime(path, (later, later))
        assert "train" not in finished.planned()
        os.utime(path, (stat.st_atime, stat.st_mtime))


def test_a_colour_redraws_the_figures_and_retrains_nothing(finished):
    path = "posmlp/analysis/style.py"
    with edited(finished, path, "\nimport ", "\nCHANGED = 1\nimport "):
        planned = finished.planned()
        assert "train" not in planned
        assert planned["accuracy_vs_params"] == planned["tables"] == 1


def test_results_of_other_code_are_not_taken_for_these(finished, tmp_path):
    """Without Snakemake's own notes nothing says that a run is stale, except its key."""
    copy = tmp_path / "copy"
    shutil.copytree(finished.path, copy, ignore=shutil.ignore_patterns(".snakemake"))
    other = Checkout(copy, fresh=False)
    other.edit("config/studies/tiny.yaml", "lr: 1e-2", "lr: 2e-2")
    done = other.snakemake("--forcerun", "collect", "--until", "collect")
    assert done.returncode != 0
    assert "trained with other settings or code" in done.stdout


def test_results_that_fail_a_check_are_not_finished_and_say_why(finished, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(finished.path, copy)
    other = Checkout(copy, fresh=False)
    metrics = copy / "results/runs/tiny/gqpe/seed0/metrics.json"
    metrics.write_text(metrics.read_text().replace('"code_version": "', '"code_version": "0ther'))
    done = other.snakemake()
    assert done.returncode != 0
    assert "Training" not in done.stdout
    assert "study tiny is not finished: 1 of 13 checks of its results failed." in done.stdout
    assert "Not true: All runs were trained by one version of the code." in done.stdout
    assert "gqpe seed 0\n    To do: train these runs again" in done.stdout
    assert "Traceback" not in done.stdout
    assert not (copy / "results/tiny/checks.md").exists()
    assert (copy / "results/tiny/tables/main.md").exists()


@pytest.mark.parametrize("study", SHIPPED)
def test_every_shipped_study_passes_a_dry_run(checkout, study):
    done = checkout.snakemake("--dry-run", "--quiet", study=study)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("name", "old", "new", "words"),
    [
        ("tiny.yaml", "weight_decay", "weight_deacy", ["recipe.weight_deacy", "weight_decay"]),
        ("tiny.yaml", "seeds: [0]", "seeds: [0]\nseeds: [1]", ["seeds", "twice"]),
        ("tiny.tsv", "gqpe\t4", "gpqe\t4", ["model.gate", "allowed: sgu"]),
        ("tiny.tsv", "gqpe\t4", "gqpe\t7", ["model.groups", "allowed: 1, 2, 4"]),
        ("tiny.tsv", "gqpe\tA", "g/pe\tA", ["g/pe", "letters, digits"]),
        ("tiny.yaml", "name: gmlp_posgu_xs1_8", "name: posmlp_xs_28", ["img_size", "works"]),
    ],
)
def test_a_users_mistake_is_named_and_nothing_is_written(checkout, name, old, new, words):
    checkout.edit(f"config/studies/{name}", old, new)
    done = checkout.snakemake()
    assert done.returncode != 0
    for word in [name, *words]:
        assert word in done.stdout
    assert "Traceback" not in done.stdout
    assert not (checkout.path / "results").exists()


def test_an_unknown_key_of_the_command_line_is_named(checkout):
    done = checkout.snakemake("--dry-run", "--config", "study=tiny", "reslts=x", study="")
    assert done.returncode != 0
    assert "reslts" in done.stdout
    assert "results" in done.stdout


def test_missing_data_is_reported_before_any_training(checkout):
    done = checkout.snakemake(study="imagenet_gmlp")
    assert done.returncode != 0
    assert "data_root" in done.stdout
    assert not (checkout.path / "results/runs").exists()


def test_a_failed_run_does_not_stop_the_others_and_goes_on_when_mended(checkout):
    checkout.edit(
        "posmlp/training/engine.py",
        "check_finite(total, epoch, trainer)\n    return",
        "if trainer.config.variant == 'gqpe': total += float('nan')\n"
        "    check_finite(total, epoch, trainer)\n    return",
    )
    done = checkout.snakemake()
    assert done.returncode != 0
    assert "training has diverged" in done.stdout
    assert (checkout.path / "results/runs/tiny/sgu/seed0/metrics.json").exists()
    assert not (checkout.path / "results/runs/tiny/gqpe/seed0/metrics.json").exists()


def test_a_store_that_does_not_answer_fails_nothing(checkout):
    done = checkout.snakemake(MLFLOW_TRACKING_URI="http://127.0.0.1:9")
    assert done.returncode == 0, done.stdout
    assert "warning: MLflow" in done.stdout
    assert (checkout.path / "results/tiny/tables/main.csv").exists()
