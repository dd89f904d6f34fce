"""Losses of jobs on a cluster. Every test has a time limit: faults of the plugin are hangs."""

import os
import re
import signal
import time

import pytest
from lab import (
    LAB,
    bring_back,
    command,
    is_up,
    kill_daemon,
    node_of,
    power_off,
    shown,
    start_daemon,
    wait_for,
)

TRAIN = "--until", "train"


# First, because it takes the longest.
def test_a_run_longer_than_the_time_limit_goes_on_over_several_jobs(submit, checkout):
    checkout.edit("posmlp/progress/display.py", "BETWEEN_LINES = 60", "BETWEEN_LINES = 3")
    # The partition allows two minutes; Slurm warns 40 s before, or up to half a minute earlier.
    run = submit(*TRAIN, study="long", partition="short", warning_s=40)
    job = run.job_under_way()
    # The job requeues itself twice.
    wait_for(lambda: "Restarts=2" in shown(job) and run.trainers(), 400, "a third start")
    run.finish()
    assert run.metrics()["num_starts"] >= 3
    log = (run.checkout.path / "results/logs/long/train/sgu-seed0.log").read_text()
    assert "resuming at epoch" in log
    # The line of progress in the meantime.
    counts, left = "long: 0 of 1 runs finished, 1 in training", r"\d:\d\d:\d\d left"
    line = rf"\d\d:\d\d:\d\d {counts}; {left}; sgu seed 0 1/3 \d+\.\d\d %"
    assert re.search(f"^{line}$", run.output, re.MULTILINE), run.output


def test_a_cancelled_job_is_started_again(submit):
    run = submit(*TRAIN, study="long")
    command("scancel", run.job_under_way())
    run.finish()
    assert run.metrics()["num_starts"] == 2


def test_a_second_start_is_refused_and_once_the_first_was_killed_takes_over(submit):
    run = submit(*TRAIN, study="long")
    job = run.job_under_way()
    second = submit(*TRAIN, study="long")
    assert second.wait(60) == 1
    assert f"the study is running already: process {run.process.pid}" in second.output
    assert "Cancelled" not in second.output
    planned = run.checkout.snakemake("--dry-run", study="long")  # takes no lock
    assert planned.returncode == 0, planned.stdout
    run.process.kill()
    run.process.communicate()
    assert run.jobs() == {job: "RUNNING"}, "the job goes on without its Snakemake"
    second.start()
    wait_for(lambda: "CANCELLED" in shown(job), 120, "the end of the first start's job")
    second.finish()
    assert "Cancelled 1 job" in second.output
    assert second.metrics()["num_starts"] == 2


def test_jobs_of_another_study_are_left_alone(submit):
    other = submit(*TRAIN, study="long")
    job = other.job_under_way()
    other.process.kill()
    other.process.communicate()
    run = submit(*TRAIN)
    wait_for(lambda: len(run.jobs()) == 3, 120, "the other study's job and two of this")
    assert run.jobs()[job] == "RUNNING"


def test_a_pre_empted_job_goes_on_when_there_is_room(submit):
    run = submit(*TRAIN, study="long", partition="scavenge")
    job = run.job_under_way()
    stronger = ["-p", "owners", "--exclusive", "-t", "1", "-o", "/dev/null"]
    command("sbatch", *stronger, "--wrap", "sleep 3")
    wait_for(lambda: run.jobs().get(job) != "RUNNING", 60, "pre-emption")
    run.finish()
    assert run.metrics()["num_starts"] == 2
    assert run.submitted() == 1, run.output
    # SIGTERM reached the trainer: only a signal leaves a checkpoint within an epoch.
    log = (run.checkout.path / "results/logs/long/train/sgu-seed0.log").read_text()
    assert re.search(r"resuming at epoch \d+, step [1-9]", log), log


def test_a_node_daemon_that_is_killed_costs_nothing(submit):
    run = submit(*TRAIN, study="long", partition="fragile")
    node = node_of(run.job_under_way())
    kill_daemon(node)
    time.sleep(5)
    start_daemon(node)
    run.finish()
    assert run.metrics()["num_starts"] == 1


def test_a_run_whose_node_is_lost_goes_on_elsewhere(submit):
    run = submit(*TRAIN, study="long", partition="fragile")
    node = node_of(run.job_under_way())
    power_off(node)
    try:
        run.finish()
    finally:
        start_daemon(node)
        bring_back(node)
    assert run.metrics()["num_starts"] == 2


@pytest.mark.alone
def test_a_controller_that_restarts_and_accounting_that_is_gone_cost_nothing(submit):
    run = submit(*TRAIN, study="long")
    run.trainer()
    os.kill(int((LAB / "run/slurmctld.pid").read_text()), signal.SIGKILL)
    time.sleep(30)  # longer than the five attempts that the plugin itself makes
    command("slurmctld")
    wait_for(is_up, 60, "a controller that answers")
    os.kill(int((LAB / "run/slurmdbd.pid").read_text()), signal.SIGKILL)
    run.finish()
    assert run.metrics()["num_starts"] == 1
