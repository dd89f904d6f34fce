"""The pages as a reader sees them, in a real Chromium, from a store that was just synced.

POSMLP_PICTURES=docs/images keeps screenshots for the docs.
"""

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
from posmlp.tracking import saved_views

ROOT = Path(posmlp.__file__).parents[1]
PAGES = {
    "charts": "Variants, charts",
    "table": "Variants, table",
    "trainings": "Trainings, charts",
    "compare": "Best seed of each variant, compared",
}


def test_the_installed_mlflow_is_one_that_the_views_were_tried_with():
    """The format of a saved view is not documented. For another version: run the test below,
    look at the pages, then add it to saved_views.TRIED."""
    assert version("mlflow") in saved_views.TRIED


@pytest.fixture
def pages(study_shown, unused_port, needs):
    """Addresses that `posmlp ui` prints, by what they show, while it runs; and the comparison."""
    needs(shutil.which("chromium") is not None, "chromium")
    command = [sys.executable, "-m", "posmlp", "ui", "--port", str(unused_port)]
    process = subprocess.Popen(
        [*command, "--results", study_shown],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    text = ""
    while PAGES["compare"] not in text:
        text += (line := process.stdout.readline())
        assert line, text
    found = {name: re.search(rf"    {title}: (\S+)", text)[1] for name, title in PAGES.items()}
    yield found, json.loads((study_shown / "small/comparison.json").read_text())
    process.send_signal(signal.SIGTERM)
    assert process.communicate()[0] == "Stopped.\n"


def test_pages_show_variants_trainings_and_the_numbers_of_the_tables(pages):
    addresses, comparison = pages
    top1 = [entry["metrics"]["test_top1"] for entry in comparison["variants"]]
    means = [f"{values['mean']:.2f}" for values in top1]
    with Browser() as browser:
        browser.open(addresses["charts"])
        shown = browser.wait_for(
            *("1 sgu", "2 gqpe_s4", "Means over seeds", "params vs. test_top1"),
            *("groups vs. test_top1", "A | tiny <i>study</i>", *means),
        )
        assert "2 matching runs" in shown
        picture(browser, "charts")

        browser.open(addresses["table"])
        shown = browser.wait_for("1 sgu", "test_top1_low", "test_top1_high", "n", *means)
        for values in top1:
            for number in (values["low"], values["high"]):
                assert re.search(rf"\b{number:.2f}"[:-1], shown), number
        picture(browser, "table")

        browser.open(addresses["trainings"])
        shown = browser.wait_for("Group: sgu", "Group: gqpe_s4", "test_top1", "train_loss")
        assert "4 matching runs" in shown
        picture(browser, "trainings")

        browser.open(addresses["compare"])
        shown = browser.wait_for(
            *("Comparing 2 Runs from 1 Experiment", "1 sgu seed", "2 gqpe_s4 seed"),
            *("Parallel Coordinates Plot", "model.gate", "test_top1"),
        )
        assert "gqpe" in shown
        picture(browser, "compare")


def picture(browser, name):
    folder = os.environ.get("POSMLP_PICTURES")
    if folder:
        browser.tidy()
        browser.screenshot(Path(folder) / f"mlflow-{name}.png")
