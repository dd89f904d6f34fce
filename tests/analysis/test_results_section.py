import shutil
import subprocess

import pandas as pd
import pytest

from posmlp.analysis.main_table import write_main_table
from posmlp.analysis.questions import answer
from posmlp.analysis.results_section import (
    paragraphs,
    questions,
    to_latex,
    to_markdown,
    write,
)
from posmlp.analysis.statistics import Better, summarise
from posmlp.study import Question


@pytest.fixture
def runs(runs_of) -> pd.DataFrame:
    sizes = {"ref_a": 2_000, "worse": 500, "better": 1_800, "alike": 1_000}
    top1 = {
        "ref_a": [90.0, 91.0, 92.0],
        "worse": [80.0, 81.1, 82.0],
        "better": [95.0, 96.1, 97.0],
        "alike": [90.5, 90.5, 92.5],
    }
    frames = [runs_of({name: top1[name]}, params=size) for name, size in sizes.items()]
    return pd.concat(frames)


@pytest.fixture
def summary(runs) -> pd.DataFrame:
    return summarise(runs, "ref_a")


@pytest.fixture
def answers(runs) -> pd.DataFrame:
    ask = [Question(ask="Is 1 % & _ enough?", contrasts=["better - ref_a", "alike - worse"])]
    return answer(runs, ask, Better())


def test_sentences_hold_the_numbers_of_the_summary(summary):
    text = "\n".join(paragraphs(summary, Better()))
    assert "4 variants were trained with 3 seeds each." in text
    assert "highest mean is that of better (96.03 ± 1.00, 1,800 parameters)" in text
    assert "the reference is ref_a (91.00 ± 1.00, 2,000 parameters)" in text
    width = summary.set_index("variant")["difference_half_width"]
    assert f"More accurate than ref_a: better (+5.03 ± {width['better']:.2f})." in text
    assert f"Less accurate than ref_a: worse (−9.97 ± {width['worse']:.2f})." in text
    assert "Not distinguishable from ref_a: alike (+0.17 ± " in text


def test_the_smallest_that_is_not_worse_is_named_with_its_caveat(summary):
    text = "\n".join(paragraphs(summary, Better()))
    assert "is alike, with 50.0% fewer parameters. That no difference was found does not" in text
    larger = summary.assign(params=[100, 500, 1_800, 1_000])
    assert "smallest" not in "\n".join(paragraphs(larger, Better()))


def test_seeds_that_would_settle_it_are_those_of_the_table(summary):
    rule = Better(smallest_difference=0.5, power=0.9)
    seeds = dict(zip(summary["variant"], summary["seeds_needed"], strict=True))
    text = "\n".join(paragraphs(summary, rule))
    assert f"a probability of 90% by so many seeds: {seeds['alike']:.0f} (alike)." in text
    assert "as measured, but at least 0.5 points, and" in text
    assert "paired t tests at the level 0.05, Holm-corrected for 3 comparisons" in text
    endless = paragraphs(summary.assign(seeds_needed=float("inf")), Better())
    assert "by so many seeds: more than 1,000 (alike)." in "\n".join(endless)
    settled = summary.assign(better=["", "no", "yes", "yes"])
    assert "seeds:" not in "\n".join(paragraphs(settled, Better()))


def test_missing_seeds_are_said(summary, runs_of):
    assert "Fewer seeds" not in "\n".join(paragraphs(summary, Better()))
    runs = pd.concat([runs_of({"ref_a": [90.0, 91.0]}), runs_of({"b": [90.0]})])
    text = "\n".join(paragraphs(summarise(runs, "ref_a"), Better()))
    assert "Fewer seeds than the others have: b (1)." in text
    assert "Without a verdict, for want of seeds shared with ref_a: b (+0.00)." in text


def test_a_study_of_one_seed_and_variant_is_said_in_words(runs_of):
    (text,) = paragraphs(summarise(runs_of({"a": [90.0]}), "a"), Better())
    assert text.startswith("1 variant was trained with 1 seed each.")
    assert text.endswith("The reference a (90.00, 1,000 parameters) has the highest mean.")


def test_markdown_and_latex_say_the_same(summary, answers):
    arguments = (summary, answers, Better(), "T")
    markdown, latex = to_markdown(*arguments), to_latex(*arguments)
    plain = latex.replace("$\\pm$", "±").replace("$-$", "−").replace("\\", "")
    for paragraph in [*paragraphs(summary, Better()), *questions(answers)]:
        assert paragraph in markdown
        assert paragraph in plain


def test_latex_compiles_with_its_table(summary, answers, tmp_path, needs):
    needs(shutil.which("pdflatex") is not None, "texlive-latex-recommended")
    title = "A & B: 50 % of #1_a, {braces} ~ ^ \\"
    write_main_table(summary, Better(), title, tmp_path / "tables")
    write(summary, answers, Better(), title, tmp_path)
    document = (
        r"\documentclass{article}\usepackage{booktabs}\begin{document}\input{results}\end{document}"
    )
    (tmp_path / "paper.tex").write_text(document)
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "paper.tex"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout[-2000:]


def test_a_variant_is_compared_with_what_its_row_names(summary):
    text = "\n".join(paragraphs(summary.assign(against=["", "ref_a", "worse", "ref_a"]), Better()))
    assert "More accurate than worse: better (" in text
    assert "Less accurate than ref_a: worse (" in text


def test_a_question_is_followed_by_what_was_found(answers):
    (text,) = questions(answers)
    widths = answers["half_width"]
    assert text == (
        f"Is 1 % & _ enough? better − ref_a: +5.03 ± {widths[0]:.2f}, higher; "
        f"alike − worse: +10.13 ± {widths[1]:.2f}, {answers['verdict'][1]}."
    )
    assert questions(answers[:0]) == []
