"""Equality with the released code, and that its check can fail."""

from pathlib import Path

import numpy as np
import pytest

from posmlp.cli import DIFFERENT, main
from posmlp.released.golden import GoldenCase, verify

CASES = sorted(Path(__file__).parents[1].joinpath("golden").glob("*.npz"))


def altered(case, tmp_path, **arrays):
    with np.load(case) as stored:
        path = tmp_path / case.name
        np.savez(path, **{**stored, **arrays})
    return path


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_equal_to_the_release(case):
    golden = GoldenCase(case)
    assert max(golden.differences().values()) < 1e-9
    assert not golden.arrays  # all were compared


@pytest.mark.parametrize("name", ["output", "posmap", "grad_input", "grad/pos.attention_spreads"])
def test_verify_fails_on_any_wrong_array(name, tmp_path, capsys):
    case = CASES[[path.stem for path in CASES].index("gqpe-s4")]
    wrong = np.load(case)[name] + 1e-6
    assert not verify([altered(case, tmp_path, **{name: wrong})])
    assert "FAIL gqpe-s4" in capsys.readouterr().out


def test_verify_fails_on_an_array_that_it_does_not_know(tmp_path, capsys):
    path = altered(CASES[0], tmp_path, surprise=np.zeros(3))
    assert not verify([path])
    assert "NOT COMPARED: surprise" in capsys.readouterr().out


def test_the_command_reports_broken_and_missing_files_and_goes_on(tmp_path, capsys):
    broken = tmp_path / "broken.npz"
    broken.write_bytes(b"PK\x03\x04 cut off")
    files = [broken, tmp_path / "missing.npz", CASES[0]]
    assert main(["released", "verify", *map(str, files)]) == DIFFERENT
    assert [line[:4] for line in capsys.readouterr().out.splitlines()] == ["FAIL", "FAIL", "ok  "]
