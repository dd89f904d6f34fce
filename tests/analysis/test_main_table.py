import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from committed import ROOT

from posmlp.analysis.main_table import answers_table, first_variants, tables, write_tables
from posmlp.analysis.predictions import Hits
from posmlp.analysis.statistics import Evidence, summarise
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


def test_cells_are_the_summary_rounded(runs, ours):
    row = summarise(runs, "ref_a", 0.1).iloc[1]
    width = row["test_top1_difference_half_width"]
    assert rows(runs, ours)["down"] == {
        "Variant": "down",
        "Params": "10,000,000",
        "Mixing (%)": "0.0",
        "MACs (M)": "4,392",
        "Top-1 (%)": f"{row['test_top1_mean']:.2f} ± {row['test_top1_std']:.2f}",
        "n": "3",
        "Removed (%)": "48.5",
        "Difference": f"−{-row['test_top1_difference']:.2f} ± {width:.2f}",
        "Seeds and images": "–",
        "p": f"{row['test_top1_p_value']:.3f}",
        "Loss": "0.500",
        "Loss difference": "+0.000 ± 0.000",
        "Images/s": "100",
    }
    assert rows(runs, ours)["ref_a"]["Difference"] == ""


def test_the_caption_says_how_and_that_it_is_exploratory(runs, ours):
    caption = tables(Evidence(ours, runs))["main"].caption
    assert "from ref_a, in points of top-1, ± half width of its 90% Student-t interval" in caption
    assert "exploratory, not adjusted" in caption
    assert "Welch" not in caption
    noisy = runs.copy()
    noisy.loc[noisy["variant"] == "down", "test_top1"] = [60.0, 99.0, 80.0]
    assert "Welch" in tables(Evidence(ours, noisy))["main"].caption
    assert rows(noisy, ours)["down"]["Difference"].endswith("†")


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
    runs["ema_test_top1"] = 93.4
    table = rows(runs, study)
    assert [cells["Against"] for cells in table.values()] == ["", "sgu", "b"]
    assert table["c"]["EMA (%)"] == "93.40 ± 0.00"


def test_the_first_table_has_what_questions_name_and_eight_rows(runs_of, study):
    runs = runs_of({f"v{i}": [90.0, 91.0] for i in range(10)} | {"sgu": [90.0, 91.0]})
    question = Question(ask="Is it?", contrasts=["v9 - v8"])
    made = tables(Evidence(replace(study, questions=(question,)), runs))
    first = [row[0] for row in made["main"].cells()]
    assert first == ["v0", "v1", "v2", "v3", "v4", "v8", "v9", "sgu"]
    assert len(made["variants"].cells()) == 11


def test_predictions_give_a_second_interval_everywhere(runs_of, study):
    runs = runs_of({"sgu": [90.0, 90.0, 90.0], "b": [80.0, 81.0, 82.0]}, num_test=100)
    predictions = {
        (row.variant, row.seed): Hits("same images", np.arange(100) < row.test_top1)
        for row in runs.itertuples()
    }
    question = Question(ask="Is it?", contrasts=["b - sgu"])
    made = tables(Evidence(replace(study, questions=(question,)), runs, predictions))
    texts = {
        row[table.headers.index("Seeds and images")]
        for table in made.values()
        for row in table.cells()
    }
    ends = [float(end.replace("−", "-")) for end in max(texts).split(" to ")]
    assert len(texts) == 2  # that of the contrast, and none of the reference
    assert -16 < ends[0] < -9 < ends[1] < -3


def test_answers_say_claim_p_and_verdict(runs, ours):
    question = Question(ask="Is <b> it?", claim="non-inferior", contrasts=["alike - ref_a"] * 2)
    asked = answers_table(Evidence(replace(ours, questions=(question,)), runs))
    assert [row[0] for row in asked.cells()] == ["Is <b> it?", ""]
    cells = dict(zip(asked.headers, asked.cells()[0], strict=True))
    assert (cells["Contrast"], cells["Claim"]) == ("alike − ref_a", "non-inferior")
    assert (cells["Verdict"], cells["Removed (%)"]) == ("inconclusive", "0.0")
    assert "exploratory" in asked.caption
    assert "non-inferior above −0.5 (the margin)" in asked.caption
    assert "Holm-adjusted over all 2 contrasts" in asked.caption
    assert "&#60;b>" in asked.to_markdown()


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


def test_the_first_table_has_every_variant_of_a_question():
    study = load_study("fashion", ROOT / "config/studies")
    asked = [n for q in study.questions for c in q.contrasts for n in c.split() if n not in "+-"]
    first = first_variants(study, list(study.configs))
    assert set(first) == set(asked)
    assert len(first) == 9
    assert first_variants(study, list(study.configs)[1:])[0] == "lrpe_s16"  # without its runs
    few = replace(study, questions=())
    assert first_variants(few, list(study.configs)) == list(study.configs)[:8]
