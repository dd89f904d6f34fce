"""docs/performance.md: what was measured, and in plain words what was not."""

import json

import pytest

from posmlp.analysis.bench import bench_tables
from posmlp.analysis.documents import BENCH, renew

ROW = dict(name="a step", device="CPU", dtype="bf16", target=1.6)


@pytest.fixture
def results(tmp_path):
    rows = [
        ROW | dict(ratio=1.7, low=1.5, high=1.9, met=True, share=0.85),
        ROW | dict(ratio=1.2, low=1.1, high=1.3, met=False),
        ROW | dict(device="GPU", ratio=None, met=None),
        ROW | dict(name="large", target=None, ratio=None, met=None, ours_s=0.25),
    ]
    content = dict(hardware="A machine", torch="2.0", full=False, rows=rows)
    content |= dict(matmul_gflops={"bf16": 200.0}, copy_gb_s=20.0, decoded_images_s=250)
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench/a-machine.json").write_text(json.dumps(content))
    return tmp_path


def test_every_row_says_what_was_measured_and_whether_it_is_enough(results):
    lines = bench_tables(results).splitlines()
    assert lines[1].startswith("**A machine**, torch 2.0, small batches.")
    assert lines[-4:] == [
        "| a step | CPU bf16 | 1.70 | 1.50 to 1.90 | 1.60 | met | 85 % | 2.00 |",
        "| a step | CPU bf16 | 1.20 | 1.10 to 1.30 | 1.60 | missed |  |  |",
        "| a step | GPU bf16 | not measured |  | 1.60 |  |  |  |",
        "| large | CPU bf16 | 0.25 s |  |  |  |  |  |",
    ]


def test_the_page_is_renewed_and_refuses_unknown_parts(results):
    text = "".join(f"<!-- results:bench:{part} -->old<!-- /results -->" for part in BENCH)
    new = renew(text, results, results)
    assert "old" not in new
    assert "A machine" in new
    with pytest.raises(ValueError, match="allowed: tables"):
        renew("<!-- results:bench:table --><!-- /results -->", results, results)


def test_without_a_measurement_it_says_so(tmp_path):
    assert "Nothing has been measured" in bench_tables(tmp_path)
