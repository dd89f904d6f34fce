"""The report of committed results and of made-up runs."""

import base64
import re
import shutil

import pytest
from committed import ROOT
from matplotlib.figure import Figure

from posmlp.analysis.collect import find_runs, runs_frame
from posmlp.analysis.pages import write_page
from posmlp.analysis.report import claims, provenance, report, runs_page, settings
from posmlp.analysis.statistics import Evidence
from posmlp.study import load_study


@pytest.fixture
def runs(study, finished):
    return runs_frame(study, find_runs(study, finished))


def rows_of(text: str) -> dict[str, list[str]]:
    """Return {first cell: other cells} of all Markdown tables."""
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return {first.strip(): [cell.strip() for cell in cells] for first, *cells in lines}


def test_the_report_is_one_page_in_reading_order(tmp_path):
    study, here = load_study("digits", ROOT / "config/studies"), tmp_path / "digits"
    shutil.copytree(ROOT / "results/digits", here, ignore=shutil.ignore_patterns("figures"))
    (here / "figures/learned_maps").mkdir(parents=True)
    drawn = here / "figures/learned_maps/gqpe_s16.png"
    Figure(figsize=(3.5, 2)).savefig(drawn, dpi=200)
    write_page(tmp_path / "page.html", "A <title>", report(Evidence.read(study, here), here))
    page = (tmp_path / "page.html").read_text()
    assert "<title>A &lt;title&gt;</title>" in page
    contents = re.findall(r'<li><a href="#(.+?)">(.+?)</a></li>', page)
    assert re.findall(r'<h2 id="(.+?)">(.+?)</h2>', page) == contents
    assert [title for _, title in contents] == [
        *("Differences in accuracy", "Answers", "Accuracy and size", "Figures"),
        *("What the units learned", "All variants", "Settings of the reference"),
        *("Checks", "Provenance"),
    ]
    assert len(re.findall("<svg ", page)) == 5
    assert "<title>gqpe_s16 − sgu: −0.47 ± 2.10 points</title>" in page
    assert "<b>Accuracy differences.</b> Differences from the reference (sgu)" in page
    assert "inconclusive" in page
    (picture,) = re.findall(r'<img src="data:image/png;base64,(\S+)" style="width: 30.0%"', page)
    assert base64.b64decode(picture) == drawn.read_bytes()
    loaded = re.findall(r'(?:src|href)="([^"]{5})', page.replace("xlink:href", "href"))
    assert {start for start in loaded if start[0] != "#"} == {"data:"}
    assert not re.search(r"https?://|<link|<script", page)


def test_claims_and_settings_are_those_of_the_study(study):
    rows = rows_of(claims(study))
    changes = "model.gate=gqpe, model.groups=4, model.softmax=false"
    assert rows["gqpe_s4_nosoftmax"] == ["needs softmax", changes]
    assert rows["sgu (reference)"][0] == "baseline"
    assert rows_of(settings(study))["recipe.batch_size"] == ["64"]


def test_provenance_marks_unknown_values(runs):
    runs.loc[0, "torch"] = "2.12.0"
    cells = rows_of(provenance(runs))
    assert cells["code version"] == ["12e4"]
    assert cells["git commit"] == ["unknown"]
    assert cells["torch"] == ["2.12.0 (1 runs), 2.11.0 (8 runs)"]
    assert cells["energy"] == ["not measured"]
    assert cells["training time, all runs"] == ["0.03 hours (110 s)"]


def test_every_run_has_its_metrics_and_its_log(runs, tmp_path):
    (tmp_path / "sgu-seed0.log").write_text("epoch 1 <done>\n")
    page = runs_page(runs, tmp_path)
    assert "<summary>gqpe_s4 seed 2: top-1 97.67 %, training loss 0.300, 2 epochs" in page
    assert "<pre>epoch 1 &lt;done&gt;</pre>" in page
    assert "<pre>gqpe_s4-seed1.log was not kept.</pre>" in page
    assert page.count("<details>") == 9
