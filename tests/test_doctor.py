"""`posmlp doctor`: verdicts and advice, without the dependencies of studies."""

import subprocess
import sys
import time

import pytest
import torch

from posmlp.doctor import diagnose, machine, precision, speed, training
from posmlp.doctor.findings import Finding, Verdict
from posmlp.doctor.timing import Comparison
from posmlp.layers import GATES, GatingUnit

CPU = torch.device("cpu")
WITHOUT_STUDIES = """
import sys
for name in ("pydantic", "pydantic_core", "ruamel", "ruamel.yaml", "snakemake", "mlflow", "pandas"):
    sys.modules[name] = None  # importing it fails
from posmlp.cli import main
from posmlp.doctor.diagnose import CHECKS
for name in set(CHECKS) - {"versions", "GPUs", "training and resume"}:
    del CHECKS[name]
sys.exit(main(["doctor", "--device", "cpu"]))
"""


def test_doctor_needs_neither_pydantic_nor_snakemake_nor_mlflow():
    command = [sys.executable, "-c", WITHOUT_STUDIES]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "-> pip install pydantic ruamel.yaml\n" in done.stdout
    assert done.stdout.endswith("1 ok, 2 not checked\n")


def test_all_checks_run_even_if_some_fail(monkeypatch, capsys):
    def broken(device):
        raise RuntimeError("no kernel image\nand its traceback")

    found = {"broken": broken, "stuck": lambda device: time.sleep(9)}
    found["fine"] = lambda device: Finding(Verdict.OK, "3 GPUs", "buy more")
    monkeypatch.setattr(diagnose, "CHECKS", found)
    monkeypatch.setattr(diagnose, "LIMIT_S", 1)
    assert not diagnose.diagnose("cpu")
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[1] == ["FAILED", "broken", "RuntimeError:", "no", "kernel", "image"]
    assert lines[2][0] == "->"
    assert ["FAILED", "stuck", "not", "finished", "after", "1", "s"] in lines
    assert lines[-2:] == [["ok", "fine", "3", "GPUs"], ["1", "ok,", "2", "FAILED"]]


def test_every_unit_and_both_networks_agree_with_float64():
    finding = precision.compare("float32", CPU)
    assert finding.verdict == Verdict.OK
    names = {name.split()[0] for name, _, _ in precision.modules()}
    assert names == {*GATES, *precision.NETWORKS}


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


def test_exact_resume_passes_and_a_different_tensor_fails(monkeypatch):
    finding = training.exact_resume(CPU)
    assert finding.verdict == Verdict.OK, finding.text
    assert not torch.are_deterministic_algorithms_enabled()
    pair = {"model.a": torch.ones(2)}, {"model.a": torch.zeros(2)}
    monkeypatch.setattr(training, "train_twice", lambda root, device: pair)
    finding = training.exact_resume(CPU)
    assert finding.verdict == Verdict.FAILED
    assert finding.text.startswith("1 of 1 tensors differ")
    assert "(for example model.a)" in finding.text


@pytest.mark.parametrize(
    ("gains", "verdict"),
    [((0.5, 1.2, 2.0, 4.0), Verdict.OK), ((0.5, 1.3, 2.0, 4.0), Verdict.WARNING)],
)
def test_a_wrong_threshold_for_convolutions_is_a_warning(monkeypatch, gains, verdict):
    found = iter([(gain, gain / 1.1, gain * 1.1) for gain in gains])
    monkeypatch.setattr(speed, "compare", lambda *_: Comparison(*next(found), 0, 0))
    monkeypatch.setattr(speed, "rate", lambda *_: 1.0)
    finding = speed.long_windows(CPU)
    assert finding.verdict == verdict
    assert ("at 784 tokens" in finding.advice) == (verdict == Verdict.WARNING)


def test_gradients_of_two_processes_match_those_of_one(monkeypatch):
    monkeypatch.setattr(training, "num_cores", lambda: 2)
    finding = training.several_devices(CPU)
    assert finding.verdict == Verdict.OK, finding.text


@pytest.mark.parametrize(
    ("free", "capability", "advice"),
    [
        (79e9, (9, 0), ""),
        (40e9, (9, 0), "GPU 0 is in use: only 40 GB are free"),
        (79e9, (7, 0), "GPU 0 is slow in bfloat16"),
    ],
)
def test_a_gpu_in_use_or_slow_in_bf16_is_a_warning(monkeypatch, free, capability, advice):
    facts = dict(device_count=1, get_device_name="H100", get_device_capability=capability)
    facts |= dict(mem_get_info=(free, 80e9))
    for name, value in facts.items():
        monkeypatch.setattr(torch.cuda, name, lambda *_, value=value: value)
    finding = machine.gpus(torch.device("cuda"))
    assert finding.text == "H100, 80 GB"
    assert finding.advice.startswith(advice)
    assert finding.verdict == (Verdict.WARNING if advice else Verdict.OK)
