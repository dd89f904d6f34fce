import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from committed import ROOT

from posmlp.analysis.main_table import tables, write_tables
from posmlp.analysis.statistics import Evidence
from posmlp.study import Question, Study, load_study

STUDIES = sorted(path.parent.name for path in (ROOT / "results").glob("*/runs.csv"))


@pytest.fixture
def ours(study) -> Study:
    return replace(study, reference="ref_a", level=0.1, margin=0.5, title="T")


@pytest.fixture
def runs(runs_of) -> pd.DataFrame:
    top1 = {"ref_a": [90.0, 91.0, 92.0], "down": [89.0, 90.2, 91.0], "alike": [90.0, 92.0, 91.0]}
    runs = runs_of(top1, params=19_422_656, macs=4_392_000_000)
    return runs.assign(params=runs["params"].where(runs["variant"] != "down", 10_000_000))


def rows(runs: pd.DataFrame, study: Study) -> dict[str, dict[str, str]]:
    """{variant: {header: cell}}."""
    table = tables(Evidence(study, runs))["variants"]
    return {row[0]: dict(zip(table.headers, row, strict=True)) for row in table.cells()}


def test_what_is_missing_is_shown(runs_of, study):
    runs = runs_of({"sgu": [90.0, 91.0, 92.0], "up": [np.nan, 92.5, 93.0], "none": [np.nan] * 3})
    runs.loc[runs["test_top1"].isna(), ["test_loss", "images_per_s"]] = np.nan
    table = rows(runs, study)
    assert [cells["n"] for cells in table.values()] == ["3", "2 of 3", "0 of 3"]
    none = {header: cell for header, cell in table["none"].items() if cell}
    assert none == {"Variant": "none", "n": "0 of 3"}
    one = rows(runs_of({"sgu": [72.14], "up": [74.02]}), study)["up"]
    assert (one["Top-1 (%)"], one["Difference"], one["p"]) == ("74.02", "+1.88", "")


def test_columns_appear_where_they_say_something(runs_of, study):
    runs = runs_of({"sgu": [90.0, 91.0], "b": [80.0, 81.5], "c": [82.0, 83.0]})
    assert not {"Against", "EMA (%)"} & set(rows(runs, study)["c"])
    runs["against"] = runs["variant"].map({"sgu": "", "b": "", "c": "b"})
    runs[["ema_test_top1", "macs"]] = 93.4, 4_392_000_000
    table = rows(runs, study)
    assert [cells["Against"] for cells in table.values()] == ["", "sgu", "b"]
    assert table["c"]["EMA (%)"] == "93.40 ± 0.00"
    assert table["c"]["MACs (M)"] == "4,392"
    assert table["c"]["Seeds and images"] == "–"  # no predictions


def test_the_first_table_has_what_questions_name_and_eight_rows(runs_of, study):
    runs = runs_of({f"v{i}": [90.0, 91.0] for i in range(10)} | {"sgu": [90.0, 91.0]})
    question = Question(ask="Is it?", contrasts=["v9 - v8"])
    made = tables(Evidence(replace(study, questions=(question,)), runs))
    first = [row[0] for row in made["main"].cells()]
    assert first == ["v0", "v1", "v2", "v3", "v4", "v8", "v9", "sgu"]
    assert len(made["variants"].cells()) == 11


@pytest.mark.parametrize("name", STUDIES)
def test_committed_tables_are_those_of_the_committed_runs(name, tmp_path):
    study = load_study(name, ROOT / "config/studies")
    here = ROOT / "results" / name
    write_tables(Evidence.read(study, here), tmp_path)
    for path in tmp_path.iterdir():
        assert path.read_text() == (here / "tables" / path.name).read_text(), (
            f"renew it: snakemake --config study={name} --until tables"
        )


def test_the_widest_committed_table_fits_a_page(tmp_path, needs):
    needs(shutil.which("pdflatex") is not None, "texlive-latex-recommended")
    shutil.copy(ROOT / "results/digits_shift/tables/variants.tex", tmp_path)
    (tmp_path / "paper.tex").write_text(
        r"\documentclass{article}\usepackage{booktabs,graphicx}"
        r"\begin{document}\input{variants}\end{document}"
    )
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "paper.tex"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout[-2000:]
    assert "Overfull" not in result.stdout
