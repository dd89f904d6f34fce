import re
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest
from committed import ROOT

from posmlp.analysis.collect import read_frame
from posmlp.analysis.main_table import layer_params, main_table, write_main_table
from posmlp.analysis.statistics import Better, rule_of, summarise
from posmlp.study import load_study

STUDIES = sorted(path.parent.name for path in (ROOT / "results").glob("*/runs.csv"))
RULE = Better(smallest_difference=0.5)


@pytest.fixture
def summary(runs_of) -> pd.DataFrame:
    top1 = {"ref_a": [90.0, 91.0, 92.0], "down": [89.0, 90.2, 91.0], "alike": [90.0, 92.0, 91.0]}
    return summarise(runs_of(top1, params=19_422_656, macs=4_392_000_000), "ref_a", RULE)


def rows(summary: pd.DataFrame, **options) -> dict[str, dict[str, str]]:
    """Return {variant: {header: cell}}."""
    header, *cells = main_table(summary, RULE, **options).cells()
    return {row[0]: dict(zip(header, row, strict=True)) for row in cells}


def words(text: str) -> str:
    return re.sub(r"\s+", " ", text.replace("\\", "").replace("$", ""))


def test_cells_are_the_summary_rounded(summary):
    row = summary.iloc[1]
    assert rows(summary)["down"] == {
        "Variant": "down",
        "Params": "19,422,656",
        "Mixing": "10",
        "MACs (M)": "4,392",
        "Top-1 (%)": f"{row['mean']:.2f} ± {row['std']:.2f}",
        "n": "3",
        "Difference": f"−{-row['difference']:.2f} ± {row['difference_half_width']:.2f}",
        "g": f"−{-row['effect_size']:.2f}",
        "p": f"{row['p_adjusted']:.3f}",
        "Better": "no",
        "Seeds": "",
        "Images/s": "100",
    }
    better = [cells["Better"] for cells in rows(summary).values()]
    assert better == ["reference", "no", "not distinguishable"]
    better = [cells["Better"] for cells in rows(summary, narrow=True).values()]
    assert better == ["ref.", "no", "n.d."]


def test_seeds_are_named_where_nothing_is_distinguishable(summary):
    assert rows(summary)["alike"]["Seeds"] == f"{summary['seeds_needed'][2]:.0f}"
    summary["seeds_needed"] = np.inf
    assert rows(summary)["alike"]["Seeds"] == ">1,000"
    assert rows(summary)["down"]["Seeds"] == ""


def test_small_p_values_are_not_rounded_to_nothing(summary):
    assert rows(summary.assign(p_adjusted=1e-5))["down"]["p"] == "<0.001"


@pytest.mark.parametrize("form", ["to_markdown", "to_latex", "to_text"])
def test_caption_states_the_rule(summary, form):
    rule = Better(level=0.1, smallest_difference=0.5, power=0.9)
    caption = words(getattr(main_table(summary, rule, "T"), form)())
    for text in (
        "mean paired difference from ref_a over the seeds both have",
        "Student-t 95% interval",
        "Holm-corrected for 2 comparisons",
        "otherwise not distinguishable (n.d.)",
        "with a probability of 90% at the level 0.1/2",
        "(but at least 0.5 points)",
    ):
        assert text in caption
    assert "0.1, otherwise" in caption.replace(" ≤", "").replace(" le", "")


def test_missing_seeds_and_variants_are_shown(runs_of):
    runs = runs_of({"ref": [90.0, 91.0, 92.0], "up": [np.nan, 92.5, 93.0], "none": [np.nan] * 3})
    sizes = ["params", "token_mixing_params", "macs", "images_per_s"]
    runs.loc[runs["variant"] == "none", sizes] = np.nan
    runs.loc[runs["variant"] == "none", "token_mixing_params_per_layer"] = ""
    table = rows(summarise(runs, "ref"))
    assert [cells["n"] for cells in table.values()] == ["3", "2 of 3", "0 of 3"]
    none = {header: cell for header, cell in table["none"].items() if cell}
    assert none == {"Variant": "none", "n": "0 of 3"}
    assert table["up"]["Params"] == "1,000"


def test_what_rows_are_compared_with_has_a_column_where_it_differs(runs_of):
    runs = runs_of({"ref": [90.0, 91.0], "b": [80.0, 81.5], "c": [82.0, 83.0]})
    assert "Against" not in rows(summarise(runs, "ref"))["c"]
    runs["against"] = runs["variant"].map({"ref": "", "b": "", "c": "b"})
    summary = summarise(runs, "ref")
    assert [cells["Against"] for cells in rows(summary).values()] == ["", "ref", "b"]
    assert "difference from the variant under Against" in main_table(summary, RULE).caption


def test_one_seed_shows_no_spread(runs_of):
    up = rows(summarise(runs_of({"ref_a": [72.14], "up": [74.02]}), "ref_a"))["up"]
    cells = [up[header] for header in ("Top-1 (%)", "n", "Difference", "p", "Better", "Seeds")]
    assert cells == ["74.02", "1", "+1.88", "", "", ""]


def test_layers_that_differ_show_sum_and_list():
    row = pd.Series(
        {"token_mixing_params": 3_600, "token_mixing_params_per_layer": "[300, 300, 1000, 2000]"}
    )
    assert layer_params(row) == "Σ 3,600 (2×300, 1×1,000, 1×2,000)"
    assert layer_params(row, lists=False) == "Σ 3,600"


def test_ema_has_a_column_only_where_there_is_one(summary):
    assert "EMA" not in rows(summary)["down"]
    averaged = rows(summary.assign(ema_mean=[93.4, np.nan, 94.0]))
    assert [cells["EMA"] for cells in averaged.values()] == ["93.40", "", "94.00"]


def test_text_fits_100_columns_and_keeps_every_variant(large_summary):
    long = {"variant": ["a_rather_long_name_of_a_variant_that_ends_in_" + "s4"]}
    longest = large_summary.iloc[:1].assign(**long, params=81_976_834, macs=18_558_000_000)
    both = pd.concat([large_summary, longest], ignore_index=True)
    text = main_table(both, RULE, narrow=True).to_text()
    assert max(map(len, text.splitlines())) <= 100
    lines = text.splitlines()[2 : 3 + len(large_summary)]
    assert [line.split()[0] for line in lines[:-1]] == large_summary["variant"].tolist()


def test_files_hold_the_same_numbers_and_bytes_are_stable(summary, tmp_path):
    write_main_table(summary, RULE, "T", tmp_path / "a")
    write_main_table(summary.copy(), RULE, "T", tmp_path / "b")
    for name in ("main.csv", "main.md", "main.tex"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    table = pd.read_csv(tmp_path / "a" / "main.csv")
    for name in ("mean", "std", "difference", "p_adjusted", "params", "macs"):
        np.testing.assert_allclose(table[name], summary[name], rtol=1e-8)
    # what the CSV holds prints as what Markdown and LaTeX print
    again = table.assign(against=table["against"].fillna(""), better=table["better"].fillna(""))
    assert main_table(again, RULE, "T").to_markdown() == (tmp_path / "a/main.md").read_text()
    latex = main_table(again, RULE, "T", narrow=True).to_latex()
    assert latex == (tmp_path / "a/main.tex").read_text()


@pytest.mark.parametrize("name", STUDIES)
def test_committed_tables_are_those_of_the_committed_runs(name, tmp_path):
    study, here = load_study(name, ROOT / "config/studies"), ROOT / "results" / name
    runs, random = read_frame(here / "runs.csv"), np.random.default_rng(0)
    summary = summarise(runs, study.reference, rule_of(study), random)
    write_main_table(summary, rule_of(study), study.title, tmp_path)
    for ending in ("csv", "md", "tex"):
        assert (tmp_path / f"main.{ending}").read_text() == (
            here / f"tables/main.{ending}"
        ).read_text(), f"renew it: snakemake --config study={name} --until tables"


@pytest.mark.parametrize("name", STUDIES)
def test_committed_tables_compile(name, tmp_path, needs):
    needs(shutil.which("pdflatex") is not None, "texlive-latex-recommended")
    table = ROOT / "results" / name / "tables/main.tex"
    shutil.copy(table, tmp_path)
    (tmp_path / "paper.tex").write_text(
        r"\documentclass[twocolumn]{article}\usepackage[margin=2cm]{geometry}\usepackage{booktabs}"
        r"\begin{document}\input{main}\end{document}"
    )
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "paper.tex"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout[-2000:]
    assert "Overfull" not in result.stdout
