"""A fixed state on terminals of several sizes, and as a line."""

from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from posmlp.progress.state import Run
from posmlp.progress.view import line, screen

SCREEN = """\
digits: 2 of 6 runs finished, 2 in training, 1 failed, 1 waiting
━━━━━━━━━━━━━━━━━                             40%  0:01:02 elapsed, 0:02:10 left

in training      epoch  top-1 %  images/s     left
lrpe_s16 seed 0  12/40    88.50     5,312  0:00:14
lrpe_s16 seed 1   0/40

variant   finished  top-1 %, mean ± sd
sgu            2/2        97.50 ± 0.71
lrpe_s16       0/2
gqpe_s16       0/2
"""


def text(progress, width, height):
    out = StringIO()
    Console(file=out, width=width, height=height).print(screen(progress, height))
    return "".join(f"{row.rstrip()}\n" for row in out.getvalue().splitlines())


def test_a_terminal_of_80_columns(progress):
    assert text(progress, 80, 24) == SCREEN


def test_a_wide_terminal_has_both_tables_side_by_side(progress):
    rows = text(progress, 120, 24).splitlines()
    assert len(rows) == 7
    assert "left" in rows[3]
    assert rows[3].endswith("variant   finished  top-1 %, mean ± sd")


@pytest.mark.parametrize(("width", "height"), [(80, 24), (80, 14), (120, 12)])
def test_a_large_study_fits_and_shows_what_has_finished(progress, width, height):
    runs = [replace(run, name=f"{run.name}{k}") for k in range(20) for run in progress.runs]
    early = [Run(f"v{k} seed 0", f"v{k}", 40) for k in range(40)]
    progress.runs = [*early, *runs]
    rows = text(progress, width, height).splitlines()
    assert len(rows) < height
    assert sum(" more" in row for row in rows) >= 1
    assert any(row.endswith("97.50 ± 0.51") for row in rows)


def test_a_line(progress):
    assert line(progress) == (
        "digits: 2 of 6 runs finished, 2 in training, 1 failed, 1 waiting; 0:02:10 left; "
        "lrpe_s16 seed 0 12/40 88.50 %"
    )
