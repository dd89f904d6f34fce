"""The documents: links that lead somewhere, and simulated figures as the code prints them."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_simulated_tables_are_those_that_the_benchmark_prints():
    command = [sys.executable, "benchmarks/simulated_studies.py"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    tables = done.stdout.strip().split("\n\n")
    assert len(tables) == 2
    page = (ROOT / "docs/statistics.md").read_text()
    for table in tables:
        assert table in page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\((?!https?://|#)([^)#\s]+)", page.read_text())
    missing = [link for link in links if not (page.parent / link).exists()]
    assert not missing
