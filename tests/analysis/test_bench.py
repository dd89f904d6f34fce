"""docs/performance.md: what was measured, and in plain words what was not."""

import json
import re

import pytest

from posmlp.analysis.bench import bench_tables, study_tables

ROW = dict(name="a step", device="CPU", dtype="bf16", target=1.6)


@pytest.fixture
def results(tmp_path):
    rows = [
        ROW | dict(ratio=1.7, low=1.5, high=1.9, met=True, share=0.85),
        ROW | dict(ratio=1.2, low=1.1, high=1.3, met=False),
        ROW | dict(name="large", target=None, ratio=None, met=None, ours_s=0.25),
        ROW | dict(name="no target", target=None, ratio=1.3, low=1.2, high=1.4, met=None),
    ]
    content = dict(hardware="A machine", torch="2.0", full=False, rows=rows)
    content |= dict(matmul_gflops={"bf16": 200.0}, copy_gb_s=20.0, decoded_images_s=250)
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench/a-machine.json").write_text(json.dumps(content))
    return tmp_path


def unpadded(text):
    return [re.sub(r"-+", "-", re.sub(r" +", " ", line)) for line in text.splitlines()]


def test_every_row_says_what_was_measured_and_whether_it_is_enough(results):
    lines = unpadded(bench_tables(results))
    assert lines[1].startswith("**A machine**, torch 2.0, small batches.")
    assert lines[-1] == "**GPUs: not measured.**"
    assert lines[-7:-3] == [
        "| a step | CPU bf16 | 1.70 | 1.50 to 1.90 | 1.60 | met | 85 % | 2.00 |",
        "| a step | CPU bf16 | 1.20 | 1.10 to 1.30 | 1.60 | missed | | |",
        "| large | CPU bf16 | 0.25 s | | | | | |",
        "| no target | CPU bf16 | 1.30 | 1.20 to 1.40 | | | | |",
    ]


def test_a_study_is_slower_than_its_training_by_so_much(tmp_path):
    times = dict(low=1.9, high=2.1, ours_s=100.04, other_s=50)
    rows = [
        dict(name="a study", ratio=2.0, target=1.25, met=False, **times),
        dict(name="a part of it", ratio=1.95, target=None, met=None, **times),
        dict(name="a dry run", ratio=2.0, target=2.5, met=True, **times),
    ]
    (tmp_path / "bench/study").mkdir(parents=True)
    content = json.dumps(dict(hardware="A machine", rows=rows))
    (tmp_path / "bench/study/a-machine.json").write_text(content)
    assert unpadded(study_tables(tmp_path))[1:] == [
        "**A machine**.",
        "",
        "| what | times as long | spread | at most | | takes (s) | against (s) |",
        "|:-|-:|-:|-:|:-|-:|-:|",
        "| a study | 2.00 | 1.90 to 2.10 | 1.25 | missed | 100.0 | 50.0 |",
        "| a part of it | 1.95 | 1.90 to 2.10 | | | 100.0 | 50.0 |",
        "| a dry run | 2.00 | 1.90 to 2.10 | 2.50 | met | 100.0 | 50.0 |",
    ]
    assert bench_tables(tmp_path).strip() == "**GPUs: not measured.**"  # the other benchmark
