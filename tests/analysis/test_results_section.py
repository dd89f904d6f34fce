import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest

from posmlp.analysis.results_section import paragraphs, write
from posmlp.analysis.statistics import Evidence
from posmlp.markup import escape_latex, escaped
from posmlp.study import Question

CONTRASTS = ["better - ref_a", "alike - ref_a"]


@pytest.fixture
def runs(runs_of):
    top1 = {
        "ref_a": [90.0, 91.0, 92.0],
        "better": [95.0, 96.1, 97.0],
        "worse": [80.0, 81.1, 82.0],
        "alike": [90.5, 91.0, 92.0],
    }
    params = {"ref_a": 2_000, "better": 1_900, "worse": 1_000, "alike": 2_100}
    runs = runs_of(top1)
    return runs.assign(params=runs["variant"].map(params))


@pytest.fixture
def asked(study):
    question = Question(ask="Is 1 % & _ <b> enough?", claim="non-inferior", contrasts=CONTRASTS)
    title = "A & B: 50 % of #1_a, {braces} ~ ^ \\"
    return replace(study, reference="ref_a", margin=1.0, questions=(question,), title=title)


def test_answers_have_interval_n_p_margin_and_verdict(runs, asked):
    first, second = Evidence(asked, runs).answers.itertuples()
    ends = [f"{first.difference + sign * first.half_width:+.2f}" for sign in (-1, 1)]
    text = "\n".join(paragraphs(Evidence(asked, runs)))
    assert "Is 1 % & _ <b> enough? Claim: non-inferior with a margin of 1 points." in text
    assert (
        f"better − ref_a: +5.03 ({ends[0]} to {ends[1]}, n = 3, p <0.001), superior; alike" in text
    )
    assert second.p_adjusted < 0.001
    assert "p <0.001), non-inferior." in text
    assert "Holm-adjusted over 2 contrasts" in text
    assert "The reference ref_a reaches 91.00 ± 1.00 with 2,000 parameters." in text


def test_no_verdict_is_drawn_from_the_table_of_variants(runs, asked):
    text = "\n".join(paragraphs(Evidence(replace(asked, questions=()), runs)))
    assert "so there is no verdict" in text
    for variant in ("better", "alike"):
        assert variant not in text
    assert "because parameters differ by more than 20%: worse (−50 %)." in text


def test_unfinished_seeds_are_listed(runs, asked):
    assert "missing" not in "\n".join(paragraphs(Evidence(asked, runs)))
    runs.loc[1, ["test_top1", "test_loss"]] = np.nan
    assert "Variants with unfinished seeds: ref_a (2 of 3)." in "\n".join(
        paragraphs(Evidence(asked, runs))
    )
    one = runs[(runs["seed"] == 0)].copy()
    one.loc[:, "test_top1"] = 90.0
    text = "\n".join(paragraphs(Evidence(asked, one)))
    assert "4 variants were trained with 1 seed each." in text
    assert "no verdict without an interval" in text


def test_markdown_and_latex_have_the_same_text_and_latex_compiles(runs, asked, tmp_path, needs):
    write(Evidence(asked, runs), tmp_path)
    for paragraph in paragraphs(Evidence(asked, runs)):
        assert escaped(paragraph) in (tmp_path / "results.md").read_text()
        assert escape_latex(paragraph) in (tmp_path / "results.tex").read_text()
    needs(shutil.which("pdflatex") is not None, "texlive-latex-recommended")
    document = (
        r"\documentclass{article}\usepackage{booktabs,graphicx}"
        rf"\begin{{document}}\input{{{tmp_path}/results}}\end{{document}}"
    )
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "paper.tex").write_text(document)
    for file in ("paper.tex", tmp_path / "results.tex"):
        command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", file]
        result = subprocess.run(command, cwd=elsewhere, capture_output=True, text=True)
        assert result.returncode == 0, result.stdout[-2000:]
