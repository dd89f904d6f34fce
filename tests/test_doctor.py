"""`posmlp doctor`: verdicts that a user can act on, without what only studies need."""

import json
import subprocess
import sys

import pytest
import torch

from posmlp.doctor import machine, precision, processes, speed, training
from posmlp.doctor.findings import Finding, Verdict, examine
from posmlp.layers import GATES, GatingUnit

CPU = torch.device("cpu")
WITHOUT_STUDIES = """
import sys
for name in ("pydantic", "pydantic_core", "ruamel", "ruamel.yaml", "snakemake", "mlflow", "pandas"):
    sys.modules[name] = None  # importing it fails
import torch
from posmlp.cli import main
from posmlp.doctor import checks, training
print(checks.training.exact_resume(torch.device("cpu")).advice)
quick = {name: checks.CHECKS[name] for name in ("versions", "GPUs", "cores")}
checks.CHECKS.clear()
checks.CHECKS.update(quick)
sys.exit(main(["doctor", "--device", "cpu"]))
"""


def test_it_needs_neither_pydantic_nor_snakemake_nor_mlflow():
    command = [sys.executable, "-c", WITHOUT_STUDIES]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("pip install pydantic ruamel.yaml\n")
    assert "`posmlp train` also needs pydantic, ruamel.yaml" in done.stdout
    assert "not checked GPUs" in done.stdout


def test_findings_are_told_and_written_and_a_failure_stops_nothing(tmp_path, capsys):
    def broken(device):
        raise RuntimeError("no kernel image\nand its traceback")

    checks = {"broken": broken, "fine": lambda device: Finding(Verdict.OK, "3 GPUs")}
    assert not examine(checks, CPU, tmp_path / "doctor.json")
    said = capsys.readouterr().out.splitlines()
    assert said[1].split() == ["FAILED", "broken", "RuntimeError:", "no", "kernel", "image"]
    assert said[2].split()[0] == "->"
    assert said[-1] == "1 ok, 1 FAILED"
    found = json.loads((tmp_path / "doctor.json").read_text())["findings"]
    assert [(f["check"], f["verdict"]) for f in found] == [("broken", "FAILED"), ("fine", "ok")]


def test_units_and_networks_agree_with_float64_and_every_unit_is_among_them(monkeypatch):
    finding = precision.compare("float32", CPU)
    assert finding.verdict == Verdict.OK
    assert {name.split()[0] for name in finding.values} == {*GATES, *precision.NETWORKS}


def test_a_wrong_gradient_is_found(monkeypatch):
    unit = GatingUnit(8, (2, 2), "lrpe")
    halves = [torch.randn(4, 2, 4) for _ in range(2)]
    monkeypatch.setattr(precision, "modules", lambda: [("unit", unit, halves)])
    passes = precision.passes

    def wrong(module, inputs, device, kind):
        found = passes(module, inputs, device, kind)
        if kind == "float32":
            found["gradient of proj.position_bias"][0] = float("nan")
        return found

    monkeypatch.setattr(precision, "passes", wrong)
    finding = precision.compare("float32", CPU)
    assert finding.verdict == Verdict.FAILED
    assert "inf (unit, gradient of proj.position_bias)" in finding.text


def test_a_training_resumes_exactly_and_a_difference_is_a_failure(monkeypatch):
    finding = training.exact_resume(CPU)
    assert finding.verdict == Verdict.OK, finding.text
    assert not torch.are_deterministic_algorithms_enabled()
    pair = {"model.a": torch.ones(2)}, {"model.a": torch.zeros(2)}
    monkeypatch.setattr(training, "train_twice", lambda root, device: pair)
    assert "1 of 1 tensors differ, such as model.a" in training.exact_resume(CPU).text


@pytest.mark.parametrize(
    ("gains", "verdict"),
    [((0.5, 1.05, 2.0, 4.0), Verdict.OK), ((0.5, 1.3, 2.0, 4.0), Verdict.WARNING)],
)
def test_a_crossover_elsewhere_is_told(monkeypatch, gains, verdict):
    by_side = dict(zip(speed.SIDES, gains, strict=True))
    monkeypatch.setattr(speed, "gain_of_convolution", lambda side, device: by_side[side])
    finding = speed.long_windows(CPU)
    assert finding.verdict == verdict
    assert ("does not suit this machine at 784 tokens" in finding.advice) == bool(finding.advice)


def test_processes_train_as_one(monkeypatch):
    monkeypatch.setattr(processes, "num_cores", lambda: 2)
    finding = processes.several_devices(CPU)
    assert finding.verdict == Verdict.OK, finding.text


def test_versions_that_are_too_old_are_named(monkeypatch):
    monkeypatch.setattr(machine.metadata, "version", lambda name: "1.0.9")
    finding = machine.versions(CPU)
    assert finding.verdict == Verdict.FAILED
    assert "pip install 'timm>=1.0.31' 'torch>=2.11'" in finding.advice


@pytest.mark.parametrize(
    ("kernels", "free", "advice"),
    [
        (["sm_80", "sm_90a"], 79e9, ""),
        (["sm_80", "sm_90a"], 40e9, "GPU 0 is in use: 40 GB are free"),
        (["sm_80", "sm_100"], 79e9, "this torch has no kernels for GPU 0"),
    ],
)
def test_a_gpu_that_is_in_use_or_too_new_is_told(monkeypatch, kernels, free, advice):
    facts = dict(device_count=1, get_device_name="H100", get_device_capability=(9, 0))
    facts |= dict(mem_get_info=(free, 80e9), get_arch_list=kernels)
    for name, value in facts.items():
        monkeypatch.setattr(torch.cuda, name, lambda *_, value=value: value)
    finding = machine.gpus(torch.device("cuda"))
    assert finding.text == "H100, 80 GB"
    assert finding.advice.startswith(advice)
    assert finding.verdict == (Verdict.WARNING if advice else Verdict.OK)
