"""Reading a sheet: every mistake names its row or column."""

from pathlib import Path

import pytest

from posmlp.study import StudyError, Variant
from posmlp.study.variant_sheet import read_sheet

HEADER = "variant\tclaim\tmodel.gate\tmodel.groups\n"


def sheet(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "study.tsv"
    path.write_text(text)
    return path


def test_rows_become_variants_and_empty_cells_set_nothing(tmp_path):
    text = "# a comment\n" + HEADER + "\n a \tclaim, 'quoted'\tgqpe\t[8, 16]\r\nb\tclaim\tsgu\n"
    assert read_sheet(sheet(tmp_path, text)) == [
        Variant("a", "claim, 'quoted'", {"model.gate": "gqpe", "model.groups": [8, 16]}, row=4),
        Variant("b", "claim", {"model.gate": "sgu"}, row=5),
    ]


def test_a_row_may_name_what_it_is_compared_with(tmp_path):
    text = "variant\tclaim\tagainst\tmodel.gate\na\tb\t\tsgu\nc\td\ta\tqpe\n"
    first, second = read_sheet(sheet(tmp_path, text))
    assert (first.against, second.against) == (None, "a")
    assert second.settings == {"model.gate": "qpe"}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (HEADER, "no variants"),
        ("variant\tmodel.gate\na\tsgu\n", "row 1: the column claim is missing"),
        (HEADER[:-1] + "\tmodel.gate\na\tb\n", "row 1: the column model.gate is duplicated"),
        ("variant\tclaim\tmodell.gate\na\tb\n", "column modell.gate: no such setting; allowed"),
        ("variant\tclaim\trecipe.augment\na\tb\n", "column recipe.augment: no such setting"),
        ("variant\tclaim\tseed\na\tb\n", "column seed: no such setting"),
        ("variant\tclaim\t\na\tb\n", "column (no name): no such setting"),
        (HEADER + "a\tb\tsgu\t1\t2\n", "row 2, 5 cells for 4 columns"),
        (HEADER + "a\tb\tsgu\t[1\n", "row 2, column model.groups: '[1' is not YAML"),
        (HEADER + "a\t\tsgu\n", "row 2, column claim: empty; say what the variant tests"),
        (HEADER + "../a\tb\tsgu\n", "row 2, column variant: '../a' is not a valid name; allowed"),
        (HEADER + "None\tb\tsgu\n", "row 2, column variant: 'None' is not a valid name"),
        (HEADER + "a\tb\tsgu\nA\tb\tqpe\n", "variant: A duplicates the name in row 2"),
    ],
)
def test_a_wrong_sheet_is_one_problem_with_row_and_column(tmp_path, text, problem):
    path = sheet(tmp_path, text)
    with pytest.raises(StudyError) as caught:
        read_sheet(path)
    (found,) = caught.value.problems
    assert found.startswith(str(path))
    assert problem in found
