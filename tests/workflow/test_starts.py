"""Starts that fail, are interrupted or run twice: messages and remaining files."""

import json
import os
import re
import signal
import time

import pytest

BANNERS = (
    *("Building DAG", "Job stats", "Select jobs", "rule train:", "Finished jobid", "steps"),
    *("Error in rule", "RuleException", "Config file"),
)
TYPO = ("tiny.yaml", "weight_decay", "weight_deacy")
BAD_NAME = ("tiny.tsv", "gqpe\tA", "g/pe\tA")
NETWORK = ("tiny.yaml", "name: gmlp_posgu_xs1_8", "name: posmlp_xxs_28")


@pytest.mark.parametrize(
    ("edits", "words"),
    [
        ([TYPO, BAD_NAME], ["recipe.weight_deacy", "weight_decay", "g/pe", "letters, digits"]),
        ([NETWORK], ["model.windows", "that work"]),
    ],
)
def test_users_mistakes_are_named_and_nothing_is_written(checkout, edits, words):
    for name, old, new in edits:
        checkout.edit(f"config/studies/{name}", old, new)
    done = checkout.snakemake()
    assert done.returncode != 0
    for word in [*(name for name, _, _ in edits), *words]:
        assert word in done.stdout
    assert "Traceback" not in done.stdout
    assert not (checkout.path / "results").exists()


def test_missing_data_is_reported_before_any_training(checkout):
    checkout.check_networks("imagenet_gmlp")
    done = checkout.snakemake(study="imagenet_gmlp")
    assert done.returncode != 0
    assert "data_root" in done.stdout
    assert "Nothing has been started" in done.stdout
    left = checkout.path.glob("results/runs/imagenet_gmlp/*")
    assert [path.name for path in left] == [".lock"]


def test_a_failed_run_does_not_stop_the_others_and_goes_on_when_mended(checkout):
    fault = "loss.detach() * (float('nan') if config.variant == 'gqpe' else 1)"
    engine = "posmlp/training/engine.py"
    checkout.edit(engine, "trainer.loss_sum += loss.detach()", f"trainer.loss_sum += {fault}")
    done = checkout.snakemake()
    assert done.returncode != 0
    log = "results/logs/tiny/train/gqpe-seed0.log"
    summary = rf"failed: gqpe-seed0: the training loss is nan .* \(log: {log}\)"
    assert re.search(f"{summary}\ntiny: 1 of 2 runs finished, 1 failed\n", done.stdout), done.stdout
    assert json.loads((checkout.path / "results/runs/tiny/sgu/seed0/metrics.json").read_text())
    assert "error: the training loss is nan" in (checkout.path / log).read_text()
    for banner in BANNERS:
        assert banner not in done.stdout
    assert len(done.stdout.splitlines()) < 18, done.stdout
    assert "Error in rule train" in next((checkout.path / ".snakemake/log").iterdir()).read_text()
    checkout.edit(engine, fault, "loss.detach()")
    seen = checkout.on_terminal("--until", "train")
    assert "tiny: 0 of 2 runs finished, 2 waiting" in plain(seen)  # the code has changed
    assert re.search(r"variant +finished +top-1", plain(seen))
    assert seen.index("\x1b[?25l") < seen.index("\x1b[?25h")  # the cursor is back
    assert "tiny: 2 of 2 runs finished" in plain(seen)[-400:]
    for banner in BANNERS:
        assert banner not in seen


def plain(screen):
    """Output on a terminal without control sequences."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen)


@pytest.fixture
def long(checkout):
    """A checkout with two long runs, and the folder of one of them."""
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


def test_an_interrupted_study_leaves_checkpoints(long):
    checkout, folder = long
    study = checkout.start("--until", "train")  # another job may be where Python itself starts
    wait_until_it_trains(folder, study)
    os.kill(study.pid, signal.SIGINT)
    output, _ = study.communicate(timeout=120)
    assert study.returncode != 0
    assert "Stopping: please wait while runs write checkpoints" in output
    assert "tiny: 0 of 2 runs finished" in output
    assert "Traceback" not in output
    assert list(folder.glob("checkpoint-*.pt"))
    assert not (folder / "metrics.json").exists()


def test_a_second_start_of_a_study_is_refused_and_says_who_runs_it(long):
    checkout, folder = long
    checkout.edit("config/studies/tiny.yaml", "epochs: 60", "epochs: 1200")  # longer than the test
    checkout.audit_one_network()
    study = checkout.start("--until", "train")
    wait_until_it_trains(folder, study)
    second = checkout.snakemake()
    assert second.returncode == 1
    assert f"the study is running already: process {study.pid} on" in second.stdout
    assert second.stdout.endswith("Nothing has been started.\n")
    for looks in (["--dry-run"], ["audit"]):
        done = checkout.snakemake(*looks)
        assert done.returncode == 0, done.stdout
    os.killpg(study.pid, signal.SIGKILL)
    study.communicate()
    log = checkout.path / "results/logs/tiny/train/gqpe-seed0.log"
    log.unlink()
    third = checkout.start("--until", "train")  # after a kill nothing has to be unlocked
    deadline = time.monotonic() + 120
    while not log.exists() or "resuming at epoch" not in log.read_text():
        assert third.poll() is None, third.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.1)
    os.killpg(third.pid, signal.SIGINT)  # Ctrl-C in a terminal, which reaches the trainers too
    output, _ = third.communicate(timeout=100)
    assert "running already" not in output
    assert "Stopping: please wait while runs write checkpoints" in output
    assert "tiny: 0 of 2 runs finished" in output
    assert "Traceback" not in output


def test_a_results_folder_that_cannot_be_written_is_named(checkout):
    (checkout.path / "file").write_text("not a folder")
    done = checkout.snakemake("--config", "study=tiny", "results=file", study="")
    assert done.returncode == 1
    assert "file/runs: cannot be written: Not a directory" in done.stdout
    assert "Traceback" not in done.stdout


def test_the_profile_says_where_slurm_is_missing(checkout):
    nowhere = checkout.path / "bin"
    nowhere.mkdir()
    for name in ("bash", "which"):
        (nowhere / name).symlink_to(f"/usr/bin/{name}")
    done = checkout.snakemake("--profile", "slurm", PATH=str(nowhere))
    assert done.returncode == 1
    assert "login node" in done.stdout
    assert "Traceback" not in done.stdout
