"""The tables of docs/performance.md, with what was not measured."""

import json
import re

import pytest

from posmlp.analysis.bench import bench_tables

ROW = dict(name="a step", device="CPU", dtype="bf16", target=1.6)


@pytest.fixture
def results(tmp_path):
    rows = [
        ROW | dict(ratio=1.7, low=1.5, high=1.9, met=True, share=0.85),
        ROW | dict(ratio=1.2, low=1.1, high=1.3, met=False),
        ROW | dict(name="no target", target=None, ratio=1.3, low=1.2, high=1.4, met=None),
    ]
    content = dict(hardware="A machine", torch="2.0", full=False, rows=rows)
    content |= dict(matmul_gflops={"bf16": 200.0}, copy_gb_s=20.0, decoded_images_s=250)
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench/a-machine.json").write_text(json.dumps(content))
    return tmp_path


def unpadded(text):
    return [re.sub(r"-+", "-", re.sub(r" +", " ", line)) for line in text.splitlines()]


def test_every_row_has_its_measurement_and_whether_it_meets_the_target(results):
    lines = unpadded(bench_tables(results))
    assert lines[1].startswith("**A machine**, torch 2.0, small batches.")
    assert lines[-1] == "**GPUs: not measured.**"
    assert lines[-6:-3] == [
        "| a step | CPU bf16 | 1.70 | 1.50 to 1.90 | 1.60 | met | 85 % | 2.00 |",
        "| a step | CPU bf16 | 1.20 | 1.10 to 1.30 | 1.60 | missed | | |",
        "| no target | CPU bf16 | 1.30 | 1.20 to 1.40 | | | | |",
    ]
