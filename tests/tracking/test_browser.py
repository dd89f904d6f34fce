"""The pages as a reader sees them, in a real Chromium, from a store that was just built."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from browser import Browser

import posmlp
from posmlp.tracking import view

ROOT = Path(posmlp.__file__).parents[1]


def test_the_installed_mlflow_is_one_that_the_views_were_tried_with():
    """The format of a saved view is not documented. For another version: run the tests below,
    look at the pages, then add it to view.TRIED."""
    assert version("mlflow") in view.TRIED


@pytest.fixture
def pages(study_results, sync_study, unused_port, needs):
    """Addresses that `make ui` prints, by what they show, while it runs; and the comparison."""
    needs(shutil.which("chromium") is not None, "chromium")
    sync_study(study_results)
    command = [sys.executable, "-m", "posmlp.tracking", "ui", "--port", str(unused_port)]
    ui = subprocess.Popen(
        [*command, "--results", study_results],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    lines = []
    while not lines or "compared" not in lines[-1]:
        lines.append(ui.stdout.readline())
        assert lines[-1], lines
    text = "".join(lines).partition("  small\n")[2]  # the session's store has another one
    found = {key: re.search(rf"variants, {key}: (\S+)", text)[1] for key in view.MODES}
    found["compare"] = re.search(r"compared: (\S+)", text)[1]
    yield found, json.loads((study_results / "small/comparison.json").read_text())
    ui.send_signal(signal.SIGTERM)
    assert ui.communicate()[0] == "Stopped.\n"


def test_pages_show_variants_charts_and_the_figures_of_the_tables(pages):
    addresses, comparison = pages
    means = [f"{entry['mean']:.2f}" for entry in comparison["variants"]]
    with Browser() as browser:
        browser.open(addresses["charts"])
        shown = browser.wait_for(
            *("Group: sgu", "Group: gqpe_s4", "Comparison of variants"),
            *("params_m vs. final/top1", "groups vs. final/top1", "test_top1", "train_loss"),
            "A | tiny <i>study</i>",
            *means,  # at the bars
        )
        assert "6 matching runs" in shown
        assert [shown.count(f"\n{entry['mean']:.2f} ± ") for entry in comparison["variants"]]

        browser.open(addresses["table"])
        shown = browser.wait_for("Group: sgu", "Group: gqpe_s4", "summary/n", "final/top1")
        for entry in comparison["variants"]:
            for number in (entry["mean"], entry["low"], entry["high"]):
                assert re.search(rf"\b{number:.2f}"[:-1], shown), number

        browser.open(addresses["compare"])
        shown = browser.wait_for(
            *("Comparing 2 Runs from 1 Experiment", "1 sgu seed", "2 gqpe_s4 seed"),
            *("Parallel Coordinates Plot", "model.gate", "final/top1"),
        )
        assert "gqpe" in shown
