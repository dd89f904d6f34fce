"""`snakemake --profile slurm` on a working cluster: requests and results."""

import json
import os
import re
import shlex
import signal
import sys
import time
from pathlib import Path

import pytest
from lab import command, planned, shown, train_here, wait_for

TRAIN = "--until", "train"


def test_a_study_comes_out_as_on_one_machine(submit, checkout):
    cluster = submit()
    cluster.finish()
    results = checkout.path / "results/tiny"
    assert "All 7 passed" in (results / "checks.md").read_text()
    assert (results / "figures/accuracy_vs_params.pdf").exists()
    train_here(checkout, "tiny", results="elsewhere")
    for variant in ("sgu", "gqpe"):
        path = checkout.path / f"elsewhere/runs/tiny/{variant}/seed0/metrics.json"
        local, there = json.loads(path.read_text()), cluster.metrics(variant)
        for name in ("key", "test_top1", "test_loss", "train_loss", "data_digest", "num_threads"):
            assert there[name] == local[name], name


def test_a_training_gets_the_gpu_that_it_asks_for_and_a_readable_name(submit, checkout):
    run = submit(*TRAIN, study="long", gpu_type="h200", cpus=2, mem_gb=3, hours=0.5)
    trainer = wait_for(run.trainers, 240, "a trainer")[0]
    (job,) = run.jobs()
    text = shown(job)
    for asked in ("gres/gpu=1", "Partition=gpu", "CPUs/Task=2", "MinMemoryNode=3000M"):
        assert asked in text, text
    assert "TimeLimit=00:30:00" in text
    assert "Requeue=1" in text
    assert "TresPerNode=gres:gpu:h200:1" in text
    assert "JobName=long/sgu/seed0\n" in text
    assert f"Comment={checkout.path}/results" in text
    assert f"StdOut={checkout.path}/results/logs/slurm/rule_train/1/{job}.log" in text
    assert trainer.environ()["CUDA_VISIBLE_DEVICES"] in "0123"
    assert trainer.environ()["SLURM_JOB_ID"] == job


def test_two_runs_train_on_one_gpu_at_once(submit, checkout):
    """Side by side in one job."""
    for key in ("runs_per_job", "runs_at_once"):
        checkout.edit("slurm/site.yaml", f"{key}: 1", f"{key}: 2")
        checkout.edit("config/config.yaml", f"{key}: null", f"{key}: 2")
    checkout.edit("config/studies/tiny.yaml", "epochs: 1", "epochs: 9")
    run = submit(*TRAIN, cpus=2, mem_gb=4)
    trainers = wait_for(lambda: len(run.trainers()) == 2 and run.trainers(), 240, "two trainers")
    held = {(t.environ()["SLURMD_NODENAME"], t.environ()["CUDA_VISIBLE_DEVICES"]) for t in trainers}
    assert len(held) == 1
    (job,) = run.jobs()
    assert {trainer.environ()["SLURM_JOB_ID"] for trainer in trainers} == {job}
    asked = ("JobName=tiny/sgu/seed0+1", "TresPerNode=gres:gpu:1", "MinMemoryNode=4000M")
    for words in (*asked, "CPUs/Task=2"):
        assert words in shown(job), shown(job)
    run.finish()
    assert run.metrics("gqpe")["epochs"] == run.metrics("sgu")["epochs"] == 9
    plan = planned(checkout, cpus=2, mem_gb=4)
    assert "with 16 runs at once (8 GPUs in partition gpu;" in plan


def test_two_gpus_of_two_nodes_train_one_run(submit, checkout):
    study = "config/studies/long.yaml"
    checkout.edit(study, "epochs: 3, batch_size: 8", "epochs: 1, batch_size: 32")
    for suffix in (".yaml", ".tsv"):
        file = (checkout.path / study).with_suffix(suffix)
        file.with_stem("one").write_text(file.read_text())
    checkout.edit(study, "seeds: [0]", "seeds: [0]\ngpus: 2\nnodes: 2")
    run = submit(*TRAIN, study="long")
    wait_for(lambda: "RUNNING" in run.jobs().values(), 120, "a training that runs")
    (job,) = run.jobs()
    assert "NumNodes=2 " in shown(job)
    assert "gres/gpu=2" in shown(job)
    run.finish()
    metrics = run.metrics()
    assert metrics["num_processes"] == 2
    train_here(checkout, "one")
    local = checkout.path / "results/runs/one/sgu/seed0/metrics.json"
    assert metrics["train_loss"] == pytest.approx(json.loads(local.read_text())["train_loss"], 1e-4)


@pytest.mark.parametrize(
    ("site", "said"),
    [
        ({"partition": "nope"}, "partitions of this cluster: cpu, gpu"),
        ({"gpu_type": "a100"}, "gpu:h200:4"),
        ({"qos": "scarce"}, "Invalid qos specification"),
        ({"account": "nope"}, "slurm/site.yaml: The given account nope"),
    ],
    ids=["partition", "gpu_type", "qos", "account"],
)
def test_what_slurm_would_refuse_is_said_before_anything_is_submitted(submit, site, said):
    run = submit(**site)
    assert run.wait(60) == 1
    assert said in run.output
    assert len(re.findall("^error: ", run.output, re.MULTILINE)) == 1, run.output
    assert run.submitted() == 0
    assert "Traceback" not in run.output


def test_a_run_at_fault_is_reported_with_its_log_and_the_others_go_on(submit, checkout):
    sheet = checkout.path / "config/studies/tiny.tsv"
    sheet.write_text(
        "variant\tclaim\trecipe.lr\trecipe.weight_decay\n"
        "sgu\tIt runs\t\t\nworse\tIts weights explode\t10.0\t10.0\n"
    )
    checkout.edit("config/studies/tiny.yaml", "epochs: 1", "epochs: 30")
    checkout.edit("config/studies/tiny.yaml", "may_not_learn: [sgu, gqpe]", "may_not_learn: [sgu]")
    run = submit(*TRAIN)
    run.slow.unlink()
    assert run.wait(400) == 1
    assert run.metrics("sgu")["epochs"] == 30
    log = "results/logs/tiny/train/worse-seed0.log"
    failed = rf"failed: worse-seed0: the training loss is nan .* \(log: {log}\)"
    assert re.search(f"{failed}\ntiny: 1 of 2 runs finished, 1 failed\n", run.output), run.output
    assert "error: the training loss is nan" in (checkout.path / log).read_text()
    assert run.submitted() == 2, run.output
    assert len(run.output.splitlines()) < 20, run.output


def test_ctrl_c_cancels_what_was_submitted_however_often_it_is_pressed(submit):
    run = submit(*TRAIN, study="long")
    run.trainer()
    os.killpg(run.process.pid, signal.SIGINT)
    time.sleep(0.2)
    os.killpg(run.process.pid, signal.SIGINT)
    assert run.wait(100) == 1
    assert "Stopping: please wait while runs write checkpoints" in run.output
    assert not run.jobs()
    checkpoint = next(run.run_folder().glob("checkpoint-*.pt"))
    assert checkpoint.stat().st_size > 0


def test_a_plan_costs_one_short_job(submit, checkout):
    measured = submit("calibrate")
    measured.finish()
    assert measured.submitted() == 1
    plan = planned(checkout)
    for said in (
        "Plan of tiny: 2 runs in 2 jobs, 0 done, 2 to do",
        "with 8 runs at once (8 GPUs in partition gpu; at most 50 jobs in the queue)",
        "job time limit 2 h: one job",
    ):
        assert said in plan
    assert "Not measured" not in plan


def test_snakemake_itself_can_be_a_job(submit, checkout):
    """For login nodes that forbid long processes; see docs/cluster.md."""
    run = submit(*TRAIN, study="long", start=False)
    snakemake = Path(sys.executable).with_name("snakemake")
    words = f"exec {snakemake} {shlex.join(run.arguments)}"
    options = ["--parsable", "--partition=cpu", "--mem=4G", "--signal=B:INT@300"]
    options += ["--chdir", str(checkout.path), "--output", str(checkout.path / "snakemake.log")]
    options += [f"--export=ALL,PYTHONPATH={checkout.path}"]
    job = command("sbatch", *options, "--wrap", words).strip()
    run.trainer()
    command("scancel", "--signal=INT", "--full", job)
    wait_for(lambda: not run.jobs(), 200, "an empty queue")
    output = (checkout.path / "snakemake.log").read_text()
    assert "Stopping: please wait while runs write checkpoints" in output
    assert "long: 0 of 1 runs finished" in output
