import re
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest

from posmlp.analysis.statistics import summarise
from posmlp.analysis.tables import (
    escape_latex,
    layer_params,
    to_latex,
    to_markdown,
    to_text,
    write_tables,
)


@pytest.fixture
def summary(runs_of) -> pd.DataFrame:
    top1 = {"ref_a": [90.0, 91.0, 92.0], "down": [89.0, 90.2, 91.0], "alike": [90.0, 92.0, 91.0]}
    return summarise(runs_of(top1, params=19_422_656, macs=4_392_000_000), "ref_a")


def markdown_rows(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_markdown_cells_are_the_summary_rounded(summary):
    header, _, *rows = markdown_rows(to_markdown(summary, "T"))
    assert header[3:5] == ["MACs (M)", "Top-1 (%)"]
    down = dict(zip(header, rows[1], strict=True))
    row = summary.iloc[1]
    assert down == {
        "Variant": "down",
        "Params": "19,422,656",
        "Mixing": "10",
        "MACs (M)": "4,392",
        "Top-1 (%)": f"{row['mean']:.2f} ± {row['std']:.2f}",
        "n": "3",
        "Difference": f"−{-row['difference']:.2f} ± {row['difference_half_width']:.2f}",
        "Better": "no",
        "Images/s": "100",
    }
    assert [cells[-2] for cells in rows] == ["reference", "no", "not distinguishable"]


def test_caption_states_the_rule(summary):
    for text in (to_markdown(summary, "T"), to_latex(summary, "T"), to_text(summary)):
        words = re.sub(r"\s+", " ", text.replace("\\", ""))
        assert "Student-t 95% interval" in words
        assert "not corrected for several comparisons" in words
        assert "otherwise not distinguishable (n.d.)" in words
        assert "multiply-accumulates" in words


def test_latex_escapes_names_and_signs(summary):
    lines = to_latex(summary, "Half & half: 50 % of #1_a").splitlines()
    caption = next(line for line in lines if line.startswith(r"\caption"))
    assert caption.startswith(r"\caption{Half \& half: 50 \% of \#1\_a. ")
    first = next(line for line in lines if line.startswith(r"ref\_a"))
    assert first.count(" & ") == 8
    assert first.endswith(r"\\")
    assert r"91.00 $\pm$ 1.00" in first
    assert r"Top-1 (\%)" in "\n".join(lines)


def test_every_special_character_is_escaped():
    escaped = escape_latex("\\ & % $ # _ { } ~ ^ ± × Σ −")
    assert escaped == (
        r"\textbackslash{} \& \% \$ \# \_ \{ \} \textasciitilde{} \textasciicircum{} "
        r"$\pm$ $\times$ $\Sigma$ $-$"
    )


def test_latex_compiles(summary, tmp_path, needs):
    needs(shutil.which("pdflatex") is not None, "texlive-latex-recommended")
    write_tables(summary, tmp_path, "A & B: 50 % of #1_a, {braces} ~ ^ \\")
    document = (
        r"\documentclass{article}\usepackage{booktabs}\begin{document}\input{main}\end{document}"
    )
    (tmp_path / "paper.tex").write_text(document)
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "paper.tex"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout[-2000:]


def test_csv_holds_the_numbers_and_bytes_are_stable(summary, tmp_path):
    write_tables(summary, tmp_path / "a", "T")
    write_tables(summary.copy(), tmp_path / "b", "T")
    for name in ("main.csv", "main.md", "main.tex"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    table = pd.read_csv(tmp_path / "a" / "main.csv")
    assert table["variant"].tolist() == summary["variant"].tolist()
    for name in ("mean", "std", "difference", "difference_half_width", "params", "macs"):
        np.testing.assert_allclose(table[name], summary[name], atol=1e-6)


def test_text_fits_100_columns_and_keeps_every_variant(large_summary):
    long = {"variant": ["a_rather_long_name_of_a_variant_that_ends_in_" + "s4"]}
    longest = large_summary.iloc[:1].assign(**long, params=81_976_834, macs=18_558_000_000)
    text = to_text(pd.concat([large_summary, longest], ignore_index=True))
    assert max(map(len, text.splitlines())) <= 100
    lines = text.splitlines()[2 : 3 + len(large_summary)]
    assert [line.split()[0] for line in lines[:-1]] == large_summary["variant"].tolist()
    assert re.match(r"a_ra\w*…\w*_s4 ", lines[-1])


def test_text_rows_hold_the_numbers(summary):
    row = next(line for line in to_text(summary).splitlines() if line.startswith("down"))
    assert row.split()[:8] == ["down", "19,422,656", "10", "4,392", "90.07", "±", "1.01", "3"]
    assert row.split()[-2:] == ["no", "100"]


def test_one_seed_shows_no_spread(summary, runs_of):
    one = summarise(runs_of({"ref_a": [72.14], "up": [74.02]}), "ref_a")
    header, _, *rows = markdown_rows(to_markdown(one, "T"))
    up = dict(zip(header, rows[1], strict=True))
    assert (up["Top-1 (%)"], up["n"], up["Difference"], up["Better"]) == ("74.02", "1", "+1.88", "")


def test_layers_that_differ_show_sum_and_list():
    row = pd.Series(
        {"token_mixing_params": 3_600, "token_mixing_params_per_layer": "[300, 300, 1000, 2000]"}
    )
    assert layer_params(row) == "Σ 3,600 (2×300, 1×1,000, 1×2,000)"
    assert layer_params(row, lists=False) == "Σ 3,600"


def test_ema_has_a_column_only_where_there_is_one(summary):
    assert "EMA" not in to_markdown(summary, "T")
    averaged = summary.assign(ema_mean=[93.4, np.nan, 94.0])
    header, _, *rows = markdown_rows(to_markdown(averaged, "T"))
    assert [cells[header.index("EMA")] for cells in rows] == ["93.40", "", "94.00"]
