"""The audit that is committed: fresh, complete, and red where it must be."""

import csv
import io
import re

import pytest
from committed import ROOT

from posmlp.analysis.audit import Cell, Line, Ours, audit, write
from posmlp.published import RESOURCES, Counterpart, Published

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


@pytest.fixture
def made() -> list[Line]:
    """A line with a number of every status."""

    def number(value: str, quantity: str, unit: str, **more) -> Published:
        fields = dict(source="code", model="<A & B>", confidence="verbatim", where='"table"')
        return Published(value=value, quantity=quantity, unit=unit, **fields, **more)

    cells = (
        Cell("params", number("21", "params", "M", note="wrong"), Ours(30e6)),
        Cell("macs", number("5.0", "macs", "G", known_difference=-(10**9)), Ours(6e9)),
        Cell("fvcore", number("5.0", "fvcore", "G"), Ours(5e9)),
        Cell("top1", None, None),
    )
    counterpart = Counterpart(model="<A & B>", network="n", match="inferred", note="guess")
    return [Line("code", "<A & B>", "", counterpart, cells)]


def test_the_page_is_red_where_ours_differs(made, tmp_path):
    write.write_audit(made, tmp_path)
    page = (tmp_path / "audit.html").read_text()
    assert "<strong>30,000,000 = 30M ≠</strong>" in page
    assert page.count("<strong>") == 1
    assert "td strong { background: #c62828" in page
    assert re.search(r"&(lt|#60);A &amp; B", page)


def test_csv_has_every_number_and_its_source(made):
    rows = list(csv.DictReader(io.StringIO(write.to_csv(made))))
    assert [row["status"] for row in rows] == ["different", "explained", "equal", "unknown"]
    assert rows[0]["difference"] == "9000000"
    assert rows[0]["where"] == '"table"'
    assert (rows[3]["published"], rows[3]["ours"], rows[3]["where"]) == ("unknown", "not run", "")
