import re

import pandas as pd
import pytest

from posmlp.analysis.tables import Column, Table, shorten
from posmlp.markup import escape_latex


@pytest.fixture
def table() -> Table:
    frame = pd.DataFrame({"name": ["a_1", "b|2"], "value": [1 / 3, 2.0], "hidden": [1e-8, 5.0]})
    columns = (
        Column("Name", lambda row: row["name"], "Name: what it is called", align="left"),
        Column("Value (%)", lambda row: f"{row['value']:.2f}"),
        Column("Twice", lambda row: f"{2 * row['value']:.1f}", "Twice: of Value", spare=1),
    )
    return Table("Half & half: 50 % of #1_a", frame, columns)


def test_every_format_holds_the_same_cells(table):
    cells = [table.headers, *table.cells()]
    assert cells == [["Name", "Value (%)", "Twice"], ["a_1", "0.33", "0.7"], ["b|2", "2.00", "4.0"]]
    lines = [line for line in table.to_markdown().splitlines() if line.startswith("|")]
    assert lines[1] == "|:---------|----------:|------:|"
    markdown = [re.split(r" *\| *", line)[1:-1] for line in (lines[0], *lines[2:])]
    assert [[cell.replace("&#124;", "|") for cell in row] for row in markdown] == cells
    latex = [line for line in table.to_latex().splitlines() if line.endswith(r"\\") and "&" in line]
    split = [re.split(r" *(?<!\\)& *", line.removesuffix(r"\\").strip()) for line in latex]
    assert split == [[escape_latex(cell) for cell in row] for row in cells]
    assert [line.split() for line in table.to_text().splitlines()[2:4]] == cells[1:]


def test_csv_has_all_columns_unrounded(table):
    assert table.to_csv() == "name,value,hidden\na_1,0.333333333,1e-08\nb|2,2,5\n"


def test_a_narrow_terminal_drops_columns_then_shortens_names(table):
    wide = Column("Wide", lambda row: "x" * 75)
    spared = Table("", table.frame, (*table.columns, wide))
    lines = spared.to_text().splitlines()
    assert lines[0].split() == ["Name", "Value", "(%)", "Twice", "Wide"]
    long = table.frame.assign(name=["a_rather_long_name_that_ends_in_s4", "b"])
    text = Table("", long, (*table.columns, wide)).to_text()
    lines = text.splitlines()
    assert max(map(len, lines)) <= 100
    assert "Twice" not in text
    assert re.match(r"a_ra\w*…\w*_s4 ", lines[2])


def test_long_names_are_cut_and_stay_different():
    names = ["gqpe_s16", "a" * 40, "a" * 20 + "b" + "a" * 19, "a" * 40]
    short = shorten(names, 12)
    assert short[:2] == ["gqpe_s16", "aaaaa…aaaaaa"]
    assert short[3] == short[1] != short[2]
    assert max(map(len, short)) <= 12
