"""The DAG as a user meets it: it runs, it stands still, and it retrains exactly what changed."""

import json
import os
import re
import shutil
import signal
import time
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest
from checkout import Checkout

from posmlp.analysis.figures.registry import FIGURES

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
    for entry in FIGURES:
        folder = here.parent if entry.source == "project" else here
        name = f"{entry.name}/gqpe" if entry.each_variant else entry.name
        for kind in ("pdf", "svg", "png"):
            if entry.name != "token_maps":  # gqpe has no second part
                assert (folder / f"figures/{name}.{kind}").stat().st_size > 1000
    assert "sgu" in (here / "results.md").read_text()
    assert "gqpe-seed0" in (here / "pages/runs.html").read_text()
    assert set(pd.read_csv(here / "granularity.csv").variant) == {"sgu", "gqpe"}
    assert "All 13 passed" in (here / "checks.md").read_text()
    for kind in ("csv", "md", "tex"):
        assert "gqpe" in (here / f"tables/main.{kind}").read_text()
    metrics = json.loads((finished.path / "results/runs/tiny/gqpe/seed0/metrics.json").read_text())
    assert runs.top1[1] == pytest.approx(metrics["test_top1"])
    assert json.loads((here / "tracked.json").read_text())["finished"] == 2


def test_a_second_start_does_nothing(finished):
    assert finished.planned() == {}


def test_a_clone_with_the_committed_results_trains(finished, tmp_path):
    copy = tmp_path / "clone"
    kept = shutil.ignore_patterns(".snakemake*", "runs", "logs", "pages", "*.json", "mlflow*")
    shutil.copytree(finished.path, copy, ignore=kept)
    assert (copy / "results/tiny/runs.csv").exists()
    clone = Checkout(copy, fresh=False)
    for tracking in ("live", "sync", "none"):
        done = clone.snakemake(
            "--dry-run", "--config", "study=tiny", f"tracking={tracking}", study=""
        )
        assert re.search(r"^train +2$", done.stdout, re.MULTILINE), done.stdout


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
    rule = "reference: sgu\nlevel: 0.01"
    with edited(finished, "config/studies/tiny.yaml", "reference: sgu", rule):
        again = ("tables", "comparison", "pages", "sync", "all")
        assert finished.planned() == dict.fromkeys(again, 1)
    prepared = "results/tiny/prepared.json"
    for name in ("posmlp/layers/gating.py", "config/studies/tiny.yaml", prepared):
        path = finished.path / name
        stat = path.stat()
        later = time.time() + 100
        os.utime(path, (later, later))
        assert "train" not in finished.planned()
        os.utime(path, (stat.st_atime, stat.st_mtime))


def test_who_tracks_is_no_part_of_a_run(finished):
    without = ("--config", "study=tiny", "tracking=none")
    done = finished.snakemake("--dry-run", *without, study="")
    assert done.returncode == 0, done.stdout
    assert not re.search(r"^(train|models|sync) ", done.stdout, re.MULTILINE), done.stdout


def test_new_runs_are_trained_whatever_else_has_changed(finished):
    row = "gqpe\tA form\tgqpe\t4\n"
    with (
        edited(finished, "config/studies/tiny.tsv", row, row + "lrpe\tA table\tlrpe\t1\n"),
        edited(finished, "config/studies/tiny.yaml", "title: Tiny", "title: Another"),
    ):
        elsewhere = "data_root=elsewhere", "tracking=sync"
        done = finished.snakemake("--dry-run", "--config", "study=tiny", *elsewhere, study="")
        assert re.search(r"^train +1$", done.stdout, re.MULTILINE), done.stdout


def test_a_colour_redraws_the_figures_and_retrains_nothing(finished):
    path = "posmlp/analysis/figures/style.py"
    with edited(finished, path, "\nimport ", "\nCHANGED = 1\nimport "):
        planned = finished.planned()
        assert "train" not in planned
        assert planned["figures"] == planned["network_figures"] == planned["tables"] == 1


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
        "trainer.loss_sum += loss.detach()",
        "trainer.loss_sum += loss.detach() * (float('nan') if config.variant == 'gqpe' else 1)",
    )
    done = checkout.snakemake("--retries", "2")  # as on a cluster
    assert done.returncode != 0
    assert "training has diverged" in done.stdout
    assert done.stdout.count("error: not tried again before the next start") == 2
    log = (checkout.path / "results/logs/tiny/train/gqpe-seed0.log").read_text()
    assert "training has diverged" in log
    assert (checkout.path / "results/runs/tiny/sgu/seed0/metrics.json").exists()
    assert not (checkout.path / "results/runs/tiny/gqpe/seed0/metrics.json").exists()
    again = checkout.snakemake("--until", "train")
    assert "training has diverged" in again.stdout
    assert "Trying to restart" not in again.stdout


@pytest.fixture
def long(checkout):
    """A checkout whose two runs take a while, and the folder of one of them."""
    checkout.edit("config/studies/tiny.yaml", "epochs: 1", "epochs: 60")
    return checkout, checkout.path / "results/runs/tiny/gqpe/seed0"


def wait_until_it_trains(folder, study):
    """Wait for the first rows of a run's history; return the trainer's process id."""
    deadline = time.monotonic() + 120
    while not (folder / "history.csv").exists():
        assert study.poll() is None, study.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return json.loads((folder / ".lock").read_text())["pid"]


def test_a_stopped_run_is_started_again_and_goes_on(long):
    checkout, folder = long
    study = checkout.start()
    os.kill(wait_until_it_trains(folder, study), signal.SIGTERM)
    output, _ = study.communicate(timeout=300)
    assert study.returncode == 0, output
    assert json.loads((folder / "metrics.json").read_text())["num_starts"] == 2
    assert (
        "going on at epoch"
        in (checkout.path / "results/logs/tiny/train/gqpe-seed0.log").read_text()
    )


def test_an_interrupted_study_goes_on_at_the_next_start(long):
    checkout, folder = long
    study = checkout.start("--until", "train")  # another job may be where Python itself starts
    wait_until_it_trains(folder, study)
    os.killpg(study.pid, signal.SIGINT)  # Ctrl-C
    output, _ = study.communicate(timeout=120)
    assert study.returncode != 0
    assert "Traceback" not in output
    assert list(folder.glob("checkpoint-*.pt"))
    assert not (folder / "metrics.json").exists()
    done = checkout.snakemake()
    assert done.returncode == 0, done.stdout
    metrics = json.loads((folder / "metrics.json").read_text())
    assert (metrics["num_starts"], metrics["epochs"]) == (2, 60)


def test_a_checkout_in_a_folder_with_spaces_and_letters_of_all_kinds(tmp_path):
    checkout = Checkout(tmp_path / "résultats d'été 数据" / "checkout")
    done = checkout.snakemake()
    assert done.returncode == 0, done.stdout
    assert (checkout.path / "results/tiny/tables/main.csv").exists()


def test_a_store_that_does_not_answer_fails_nothing(checkout):
    done = checkout.snakemake(MLFLOW_TRACKING_URI="http://127.0.0.1:9")
    assert done.returncode == 0, done.stdout
    assert "warning: MLflow" in done.stdout
    assert (checkout.path / "results/tiny/tables/main.csv").exists()


def test_the_report_is_one_file_with_everything_in_it(finished, tmp_path):
    path = tmp_path / "report.html"
    done = finished.snakemake("--report", str(path))
    assert done.returncode == 0, done.stdout
    text = path.read_text()
    assert not re.search(r'(?:src|href)="(?:https?:)?//', text)  # opens offline
    shown = set(re.findall(r'"name": "([a-z_]+\.(?:html|png))"', text))
    assert {
        f"{page}.html" for page in ("study", "results", "checks", "provenance", "runs")
    } <= shown
    assert {f"{entry.name}.png" for entry in FIGURES if not entry.each_variant} <= shown
    assert {"sgu.png", "gqpe.png"} <= shown
    for words in (
        "Does the workflow do what it says?",
        "Where the groups look.",
        "variant gqpe has",
    ):
        assert words in text
    assert str(finished.path) not in text
