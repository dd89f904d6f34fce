"""The pages as a reader sees them, in a real Chromium, from a store that was just synced.

POSMLP_PICTURES=docs/images keeps screenshots for the docs.
"""

import html
import os
import re
import shutil
import signal
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import posmlp
from posmlp.analysis.collect import read_frame
from posmlp.tracking import saved_views

pytestmark = pytest.mark.xdist_group("MLflow")

ROOT = Path(posmlp.__file__).parents[1]
PAGES = {"charts": "Charts", "table": "Table", "trainings": "Curves"}


def test_the_installed_mlflow_is_one_that_the_views_were_tried_with():
    """The format of a saved view is not documented. For another version: run the test below,
    look at the pages, then add it to saved_views.TRIED."""
    assert version("mlflow") in saved_views.TRIED


@pytest.fixture
def pages(study_shown, unused_port, needs):
    """Addresses that `posmlp ui` prints, by what they show, while it runs; and the table."""
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
    while PAGES["trainings"] not in text:
        text += (line := process.stdout.readline())
        assert line, text
    found = {name: re.search(rf"  {title} +(\S+)", text)[1] for name, title in PAGES.items()}
    yield found, read_frame(study_shown / "small/tables/variants.csv")
    process.send_signal(signal.SIGTERM)
    assert process.communicate()[0] == "Stopped.\n"


def shown(address, *texts, picture):
    """The text of a page, drawings included, once it holds all of `texts`."""
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    command += ["--window-size=1600,1100", "--virtual-time-budget=30000"]
    if folder := os.environ.get("POSMLP_PICTURES"):
        path = Path(folder).absolute() / f"mlflow-{picture}.png"
        subprocess.run([*command, f"--screenshot={path}", address], check=True, timeout=300)
    for _ in range(3):
        page = subprocess.run(
            [*command, "--dump-dom", address], capture_output=True, text=True, timeout=300
        ).stdout
        text = html.unescape(re.sub(r"<(script|style)\b.*?</\1>|<[^>]*>", "\n", page, flags=re.S))
        missing = [words for words in texts if words not in text]
        if not missing:
            return text
    raise AssertionError(f"{missing} not on the page:\n{text}")


def test_pages_show_variants_trainings_and_the_numbers_of_the_tables(pages):
    addresses, table = pages
    top1, half_width = table["test_top1_mean"], table["test_top1_half_width"]
    text = shown(
        addresses["charts"],
        *("1 sgu", "2 gqpe_s4", "Means over seeds", "params vs. test_top1"),
        *("groups vs. test_top1", "test_top1_interval", "A | tiny <i>study</i>:", *PAGES.values()),
        picture="charts",
    )
    assert "2 matching runs" in re.sub(r"\s+", " ", text)

    names = "1 sgu", "test_top1_low", "test_top1_high", "n"
    text = shown(addresses["table"], *names, *(f"{mean:.2f}" for mean in top1), picture="table")
    for number in (*(top1 - half_width), *(top1 + half_width)):
        assert re.search(rf"\b{number:.2f}"[:-1], text), number

    names = "Group: sgu", "Group: gqpe_s4", "test_top1", "train_loss", "Trainings by variant"
    text = shown(addresses["trainings"], *names, picture="trainings")
    assert "4 matching runs" in re.sub(r"\s+", " ", text)
