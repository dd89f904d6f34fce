"""Equality with the released code; the comparison can fail."""

from pathlib import Path

import pytest
from golden_case import GoldenCase

CASES = sorted(Path(__file__).parents[1].joinpath("golden").glob("*.npz"))


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_equal_to_the_release(case):
    golden = GoldenCase(case)
    assert max(golden.differences().values()) < 1e-9
    assert not golden.arrays  # all were compared


@pytest.mark.parametrize("name", ["output", "posmap", "grad_input", "grad/pos.attention_spreads"])
def test_any_wrong_array_is_seen(name):
    golden = GoldenCase(next(case for case in CASES if case.stem == "gqpe-s4"))
    golden.arrays[name] = golden.arrays[name] + 1e-6
    assert max(golden.differences().values()) > 1e-7
