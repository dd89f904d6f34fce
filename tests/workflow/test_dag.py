"""The DAG of a finished study: all results exist, and a change remakes what depends on it."""

import json
import os
import re
import shutil
import time
from contextlib import contextmanager

import pandas as pd
import pytest
from checkout import PARTS, Checkout

from posmlp.analysis.figures.catalogue import FIGURES

pytestmark = pytest.mark.xdist_group("workflow")
NOT_SHOWN = "sweeps", "learning"  # two variants after one epoch
ROW = "gqpe\tA form\tgqpe\t4\n"


@contextmanager
def edited(checkout, name, old, new):
    """Change a file, and restore content and dates."""
    path = checkout.path / name
    before, stat = path.read_bytes(), path.stat()
    checkout.edit(name, old, new)
    try:
        yield
    finally:
        path.write_bytes(before)
        os.utime(path, (stat.st_atime, stat.st_mtime))


def test_everything_comes_out(finished):
    here = finished.results / "tiny"
    runs = pd.read_csv(here / "runs.csv")
    assert list(zip(runs.variant, runs.seed, strict=True)) == [("sgu", 0), ("gqpe", 0)]
    for entry in (e for e in FIGURES if e.source != "studies" and e.name not in NOT_SHOWN):
        each = entry.source == "network"
        name = f"{entry.name}/gqpe" if each else entry.name
        for kind in ("png",) if each else ("png", "pdf"):
            assert (here / f"figures/{name}.{kind}").stat().st_size > 1000
    assert "sgu" in (here / "results.md").read_text()
    assert "gqpe seed 0: top-1" in (here / "runs.html").read_text()
    page = (here / "report.html").read_text()
    assert "<title>gqpe − sgu: " in page
    assert 'alt="gqpe"' in page  # its learned maps
    assert set(pd.read_csv(here / "granularity.csv").variant) == {"sgu", "gqpe"}
    assert "All 7 passed" in (here / "checks.md").read_text()
    for kind in ("csv", "md", "tex"):
        assert "gqpe" in (here / f"tables/main.{kind}").read_text()
    metrics = json.loads((finished.results / "runs/tiny/gqpe/seed0/metrics.json").read_text())
    assert runs.test_top1[1] == pytest.approx(metrics["test_top1"])
    assert json.loads((here / "tracked.json").read_text())["finished"] == 2


def test_a_second_start_does_nothing(finished):
    assert finished.planned() == {}


def test_only_what_belongs_there_is_beside_the_results(finished):
    """An unquoted name in a shell command would leave a file called by its first word."""
    ours = {*PARTS, finished.results.name, ".snakemake", "data"}
    assert {path.name for path in finished.path.iterdir()} <= ours
    assert {path.name for path in finished.path.parent.iterdir()} == {"checkout"}
    assert "images/s" in (finished.results / "logs/tiny/calibrate.log").read_text()
    assert (finished.results / "tiny/calibration.csv").exists()
    assert "20,925,538" in (finished.results / "audit/audit.html").read_text()


def test_a_job_of_all_runs_trains_what_is_missing(finished, tmp_path):
    """After a changed row and a deleted folder; other runs stay untouched."""
    copy = tmp_path / "copy"
    shutil.copytree(finished.path, copy)
    other, runs = Checkout(copy, fresh=False), copy / finished.results.name / "runs/tiny"
    other.edit("config/config.yaml", "runs_per_job: 1", "runs_per_job: null")
    other.edit("config/studies/tiny.tsv", "gqpe\t4", "gqpe\t8")
    kept = (runs / "sgu/seed0/metrics.json").stat()
    done = other.snakemake("--until", "collect")
    assert done.returncode == 0, done.stdout
    log = copy / finished.results.name / "logs/tiny/train-1.log"
    assert "1 of 2 runs to train" in log.read_text()
    assert (runs / "sgu/seed0/metrics.json").stat().st_mtime_ns == kept.st_mtime_ns
    assert other.planned("--until", "collect") == {}
    shutil.rmtree(runs / "sgu/seed0")
    assert other.planned("--until", "collect") == {"train": 1, "collect": 1}
    other.edit("config/studies/tiny.tsv", "sgu\tThe reference\t\t\n", "")
    other.edit("config/studies/tiny.yaml", "reference: sgu", "reference: gqpe")
    other.edit("config/studies/tiny.yaml", "[sgu, gqpe]", "[gqpe]")
    assert other.planned("--until", "collect") == {"collect": 1}


def test_a_clone_with_the_committed_results_trains(finished, tmp_path):
    copy = tmp_path / "clone"
    ignored = shutil.ignore_patterns(".snakemake*", "logs", "*.html", "*.json", "mlflow*")
    shutil.copytree(finished.path, copy, ignore=ignored)
    shutil.rmtree(copy / finished.results.name / "runs")
    assert (copy / finished.results.name / "tiny/runs.csv").exists()
    assert Checkout(copy, fresh=False).planned()["train"] == 2


@pytest.mark.parametrize(
    ("name", "old", "new", "number"),
    [
        # the job of gqpe with seed 0 has another number, and will find nothing to train
        ("config/studies/tiny.yaml", "seeds: [0]", "seeds: [0, 1]", 3),
        ("posmlp/training/engine.py", "\nimport ", "\nCHANGED = 1\nimport ", 2),
    ],
)
def test_a_change_trains_what_depends_on_it_alone(finished, name, old, new, number):
    with edited(finished, name, old, new):
        assert finished.planned()["train"] == number


def test_a_comment_a_claim_or_a_date_retrains_nothing(finished):
    with (
        edited(finished, "posmlp/layers/position.py", "\nimport ", "\n# a comment\nimport "),
        edited(finished, "config/studies/tiny.yaml", "title:", "# a comment\ntitle:"),
    ):
        assert finished.planned() == {}
    with edited(finished, "config/studies/tiny.tsv", "A form", "Another claim"):
        planned = finished.planned()
        assert "train" not in planned
        assert planned["tables"] == 1
    rule = "reference: sgu\nlevel: 0.01"
    with edited(finished, "config/studies/tiny.yaml", "reference: sgu", rule):
        again = ("tables", "figures", "studies_figures", "pages", "sync", "all")
        assert finished.planned() == dict.fromkeys(again, 1)
    prepared = finished.results / "tiny/prepared.json"
    names = ("posmlp/layers/gating.py", "config/studies/tiny.yaml", prepared)
    paths = [finished.path / name for name in names]
    dates = [path.stat() for path in paths]
    later = time.time() + 100
    for path in paths:
        os.utime(path, (later, later))
    assert "train" not in finished.planned()
    for path, stat in zip(paths, dates, strict=True):
        os.utime(path, (stat.st_atime, stat.st_mtime))


def test_new_runs_are_trained_whatever_else_has_changed(finished):
    with (
        edited(finished, "config/studies/tiny.tsv", ROW, f"{ROW}lrpe\tA table\tlrpe\t1\n"),
        edited(finished, "config/studies/tiny.yaml", "title: Tiny", "title: Another"),
    ):
        elsewhere = "data_root=elsewhere", "tracking=false"
        done = finished.snakemake("--dry-run", "--config", "study=tiny", *elsewhere, study="")
        assert re.search(r"^train +1$", done.stdout, re.MULTILINE), done.stdout
        assert not re.search(r"^sync ", done.stdout, re.MULTILINE), done.stdout


def test_a_colour_redraws_the_figures_and_retrains_nothing(finished):
    path = "posmlp/analysis/figures/style.py"
    with edited(finished, path, "\nimport ", "\nCHANGED = 1\nimport "):
        planned = finished.planned()
        assert "train" not in planned
        assert planned["figures"] == planned["network_figures"] == planned["tables"] == 1


def test_results_that_fail_a_check_are_not_finished_and_say_why(finished, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(finished.path, copy)
    other = Checkout(copy, fresh=False)
    metrics = copy / finished.results.name / "runs/tiny/gqpe/seed0/metrics.json"
    metrics.write_text(metrics.read_text().replace('"code_version": "', '"code_version": "0ther'))
    done = other.snakemake("checks", "tables")
    assert done.returncode != 0
    assert "Training" not in done.stdout
    assert "study tiny is not finished: 1 of 7 checks of its results failed." in done.stdout
    assert "Failed: All runs were trained with one version of the code." in done.stdout
    assert "gqpe seed 0\n    To do: train these runs again" in done.stdout
    assert "Traceback" not in done.stdout
    here = copy / finished.results.name / "tiny"
    assert not (here / "checks.md").exists()
    assert (here / "tables/main.md").exists()


def test_a_store_that_does_not_answer_fails_nothing(finished, tmp_path):
    other = Checkout(shutil.copytree(finished.path, tmp_path / "copy"), fresh=False)
    done = other.snakemake(MLFLOW_TRACKING_URI="http://127.0.0.1:9")
    assert done.returncode == 0, done.stdout
    assert "warning: MLflow" in done.stdout
    assert "Training" not in done.stdout  # another address is another store, no other run


def test_the_audit_follows_the_runs(finished):
    assert finished.planned("audit") == {}
    runs = finished.results / "imagenet_posmlp/runs.csv"
    runs.parent.mkdir()
    runs.write_text("variant,seed,top1\n")
    assert finished.planned("audit") == {"audit": 1}
    shutil.rmtree(runs.parent)


def test_the_archive_is_one_file_with_report_logs_networks_and_code(finished, tmp_path):
    path = tmp_path / "archive.html"
    done = finished.snakemake("--report", str(path))
    assert done.returncode == 0, done.stdout
    text = path.read_text()
    assert not re.search(r'(?:src|href)="(?:https?:)?//', text)  # opens offline
    shown = set(re.findall(r'"name": "([a-z_]+\.(?:html|png))"', text))
    assert {"report.html", "runs.html", "sgu.png", "gqpe.png"} <= shown
    for words in ("Does the workflow do what it says?", "variant gqpe has"):
        assert words in text
    assert str(finished.path) not in text
