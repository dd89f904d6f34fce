"""The audit that is committed is fresh and complete."""

import pytest
from committed import ROOT

from posmlp.analysis.audit import Line, audit, write
from posmlp.published import RESOURCES

pytestmark = pytest.mark.xdist_group("audit")  # counting takes seconds: once is enough


@pytest.fixture(scope="module")
def lines() -> list[Line]:
    return audit(ROOT / "results", ROOT / RESOURCES)


@pytest.mark.parametrize("ending", ["csv", "md", "html"])
def test_the_committed_audit_is_not_stale(lines, ending, tmp_path):
    write.write_audit(lines, tmp_path)
    committed = ROOT / f"results/audit/audit.{ending}"
    assert committed.read_text() == (tmp_path / committed.name).read_text(), "make audit"


def test_the_count_of_equal_numbers_is_kept(lines):
    assert write.summary(lines).startswith("90 numbers: 26 equal, 20 explained, 2 different, ")
