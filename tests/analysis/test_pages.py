import base64
import re

import pytest
from matplotlib.figure import Figure

from posmlp.analysis.collect import find_runs, runs_frame
from posmlp.analysis.pages import (
    MOST_LOG_LINES,
    provenance_page,
    results_page,
    runs_page,
    study_page,
    write_page,
)


@pytest.fixture
def runs(study, finished):
    return runs_frame(study, find_runs(study, finished))


def rows_of(text: str) -> dict[str, str]:
    """Return {first cell: second cell} of all Markdown tables."""
    lines = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return {cells[0].strip("| "): cells[1].strip(" |") for cells in lines}


def test_study_page_has_question_claims_and_settings(study):
    page = study_page(study)
    assert "**Question.** does it add up?" in page
    assert "3 variants, each with the seeds 0, 1, 2: 9 runs" in page
    assert rows_of(page)["**gqpe_s4_nosoftmax**"] == "needs softmax"
    assert "<code>model.softmax=no</code>" in page
    assert "**sgu** (reference)" in page
    assert rows_of(page)["recipe.batch_size"] == "64"


def test_provenance_says_what_is_known_and_what_is_not(runs):
    cells = rows_of(provenance_page(runs))
    assert cells["code version"] == "12e4"
    assert cells["git commit"] == "unknown"
    assert cells["data digest"] == "0012"
    assert cells["energy"] == "not measured"
    assert cells["seed"] == "0 (3 runs), 1 (3 runs), 2 (3 runs)"
    assert cells["training time, all runs"] == "0.03 hours (110 s)"
    assert cells["gqpe_s4"] == "37"


def test_every_run_has_its_metrics_and_its_log(runs, tmp_path):
    (tmp_path / "sgu-seed0.log").write_text("epoch 1 <done>\n")
    page = runs_page(runs, tmp_path)
    assert rows_of(page)["[gqpe_s4 seed 2](#gqpe_s4-seed2)"] == "97.67"
    assert '<details id="sgu-seed0">' in page
    assert "<pre>epoch 1 &lt;done&gt;</pre>" in page
    assert "<pre>gqpe_s4-seed1.log was not kept.</pre>" in page
    assert page.count("<details ") == 9


def test_the_middle_of_a_long_log_is_left_out(runs, tmp_path):
    lines = [f"line {i}" for i in range(MOST_LOG_LINES + 50)]
    (tmp_path / "sgu-seed0.log").write_text("\n".join(lines))
    page = runs_page(runs, tmp_path)
    assert "line 0\n" in page
    assert lines[-1] in page
    assert "... 50 lines left out ..." in page


def test_results_are_sentences_then_a_table_then_figures_with_captions(tmp_path):
    drawn = Figure(figsize=(3.4, 2))
    drawn.savefig(tmp_path / "a.png", dpi=200)
    drawn.savefig(tmp_path / "b.png", dpi=200)
    pictures = [(tmp_path / "a.png", "Marks are\nmeans < 3."), (tmp_path / "b.png", "Second.")]
    text = results_page("Sentences.", "| Variant |\n| --- |\n| sgu |", pictures)
    write_page(tmp_path / "page.html", "Results", text)
    page = (tmp_path / "page.html").read_text()
    assert re.findall(r"Sentences|<table>|<img|Marks are means &lt; 3\.|Second", page) == [
        *("Sentences", "<table>", "<img", "Marks are means &lt; 3.", "<img", "Second")
    ]
    assert set(re.findall(r"width: (\d+)px", page)) == {"544"}
    pixels = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    assert base64.b64decode(pixels[0]) == (tmp_path / "a.png").read_bytes()


def test_a_page_stands_alone(study, runs, tmp_path):
    text = "\n\n".join([study_page(study), provenance_page(runs), runs_page(runs, tmp_path)])
    write_page(tmp_path / "page.html", "A <title>", text)
    page = (tmp_path / "page.html").read_text()
    assert "<title>A &lt;title&gt;</title>" in page
    assert page.count("<table>") == text.count("\n|:--")
    assert not re.search(r"https?://|src=|<link", page)
