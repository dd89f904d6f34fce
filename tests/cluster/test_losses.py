"""What clusters do to jobs. Every test has a time limit: the plugin's faults are hangs."""

import os
import re
import signal
import subprocess
import time

import pytest
from lab import (
    LAB,
    bring_back,
    command,
    kill_daemon,
    node_of,
    power_off,
    shown,
    start_daemon,
    wait_for,
)

TRAIN = "--until", "train"


def test_a_cancelled_job_is_started_again(submit):
    run = submit(*TRAIN, study="long")
    command("scancel", run.job_under_way())
    assert run.wait(400) == 0, run.output
    assert run.metrics()["num_starts"] == 2


def test_a_second_start_takes_over_from_one_that_was_killed(submit):
    run = submit(*TRAIN, study="long")
    trainer = run.trainer()
    run.process.kill()
    run.process.communicate()
    assert trainer.is_running(), "the job goes on without its Snakemake"
    (orphan,) = run.jobs()
    run.start()
    assert run.wait(400) == 0, run.output
    assert "Cancelled 1 job" in run.output
    assert "CANCELLED" in shown(orphan)
    metrics = run.metrics()
    assert metrics["num_starts"] == 2
    assert metrics["epochs"] == 10


def test_a_second_start_is_refused_and_cancels_nothing(submit):
    run = submit(*TRAIN, study="long")
    job = run.job_under_way()
    second = submit(*TRAIN, study="long")
    assert second.wait(60) == 1
    assert f"the study is running already: process {run.process.pid}" in second.output
    assert "Cancelled" not in second.output
    planned = run.checkout.snakemake("--dry-run", study="long")  # a look takes no lock
    assert planned.returncode == 0, planned.stdout
    assert run.jobs() == {job: "RUNNING"}
    assert run.wait(400) == 0, run.output
    assert run.metrics()["num_starts"] == 1


def test_jobs_of_another_study_are_left_alone(submit):
    other = submit(*TRAIN, study="long")
    other.trainer()
    other.process.kill()
    other.process.communicate()
    run = submit(*TRAIN)
    assert run.wait(400) == 0, run.output
    assert "Cancelled" not in run.output
    wait_for(lambda: not run.jobs(), 180, "the end of the other study's job")
    assert other.metrics()["num_starts"] == 1


@pytest.mark.alone
def test_a_pre_empted_job_goes_on_when_there_is_room(submit):
    run = submit(*TRAIN, study="long", partition="scavenge")
    job = run.job_under_way()
    node = node_of(job)
    stronger = ["-p", "gpu", "-w", node, "--exclusive", "-t", "1", "-o", "/dev/null"]
    command("sbatch", *stronger, "--wrap", "sleep 8")
    wait_for(lambda: run.jobs().get(job) != "RUNNING", 60, "pre-emption")
    assert run.wait(450) == 0, run.output
    assert run.metrics()["num_starts"] == 2
    assert run.submitted() == 1, run.output
    # SIGTERM reached the trainer: only a signal leaves a checkpoint within an epoch.
    log = (run.checkout.path / "results/logs/long/train/sgu-seed0.log").read_text()
    assert re.search(r"resuming at epoch \d+, step [1-9]", log), log


@pytest.mark.alone
def test_a_node_daemon_that_is_killed_costs_nothing(submit):
    run = submit(*TRAIN, study="long")
    node = node_of(run.job_under_way())
    kill_daemon(node)
    time.sleep(5)
    start_daemon(node)
    assert run.wait(400) == 0, run.output
    assert run.metrics()["num_starts"] == 1


@pytest.mark.alone
def test_a_run_whose_node_is_lost_goes_on_elsewhere(submit):
    run = submit(*TRAIN, study="long")
    node = node_of(run.job_under_way())
    power_off(node)
    try:
        assert run.wait(450) == 0, run.output
    finally:
        start_daemon(node)
        bring_back(node)
    assert run.metrics()["num_starts"] == 2


@pytest.mark.alone
def test_a_controller_that_restarts_is_waited_for(submit):
    run = submit(*TRAIN, study="long")
    run.trainer()
    os.kill(int((LAB / "run/slurmctld.pid").read_text()), signal.SIGKILL)
    time.sleep(30)  # the profile's status checks fall into this time
    command("slurmctld")
    assert run.wait(450) == 0, run.output
    assert run.metrics()["epochs"] == 10


@pytest.mark.alone
def test_accounting_that_is_away_is_not_missed(submit):
    run = submit(*TRAIN, study="long")
    run.trainer()
    os.kill(int((LAB / "run/slurmdbd.pid").read_text()), signal.SIGKILL)
    try:
        assert run.wait(400) == 0, run.output
    finally:
        subprocess.run(["slurmdbd"], check=True)
    assert run.metrics()["num_starts"] == 1
