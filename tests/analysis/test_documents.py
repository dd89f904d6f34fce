"""Generated parts of README and docs match the results."""

from pathlib import Path

import pandas as pd
import pytest
from committed import ROOT

from posmlp.analysis.collect import find_runs, runs_frame, write_frame
from posmlp.analysis.documents import PARTS, documents, printed, renew
from posmlp.analysis.granularity import COLUMNS


@pytest.mark.parametrize("path", documents(ROOT), ids=lambda path: path.name)
def test_generated_parts_match_the_results(path):
    text = path.read_text(encoding="utf-8")
    assert renew(text, ROOT / "results", ROOT / "config/studies") == text, (
        f"{path.name} is stale; renew it: posmlp docs"
    )


@pytest.fixture
def collected(study, finished) -> Path:
    """The results folder with what collect writes."""
    (finished / "three").mkdir()
    write_frame(runs_frame(study, find_runs(study, finished)), finished / "three/runs.csv")
    return finished


def test_parts_may_be_inline_or_blocks(study, collected, tmp_path):
    text = "Of <!-- results:three:size -->0 variants<!-- /results --> it is said that\n"
    text += "<!-- results:three:main -->\nold\n<!-- /results -->, no more.\n"
    new = renew(text, collected, tmp_path)
    assert new.startswith(
        "Of <!-- results:three:size -->3 variants with 3 seeds each<!-- /results --> it is said"
    )
    assert "| gqpe_s4 " in new
    assert new.endswith("<!-- /results -->, no more.\n")
    assert "old" not in new
    assert renew(new, collected, tmp_path) == new


def test_every_part_is_written_and_follows_the_results(study, collected, tmp_path):
    rows = [("gqpe_s4", 0, 1, group, 1.0 + group, 1.0, 2.0) for group in (1, 2)]
    write_frame(pd.DataFrame(rows, columns=COLUMNS), collected / "three/granularity.csv")
    text = "".join(f"<!-- results:three:{part} --><!-- /results -->" for part in PARTS)
    new = renew(text, collected, tmp_path)
    assert all(f"<!-- results:three:{part} --><!--" not in new for part in PARTS)
    (study.run("sgu", 1).folder(collected) / "metrics.json").unlink()
    runs = runs_frame(study, find_runs(study, collected, allow_missing=True))
    write_frame(runs, collected / "three/runs.csv")
    assert renew(new, collected, tmp_path) != new


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<!-- results:three:anwsers --><!-- /results -->", ["anwsers", 'mean "answers"']),
        ("<!-- results:three:main -->", ["come in pairs"]),
        ("<!-- results:three:size --> <!-- results:three:size --><!-- /results -->", ["pairs"]),
        ("<!-- /results -->", ["come in pairs"]),
        ("<!-- results:three -->x<!-- /results -->", ["come in pairs"]),
        ("<!-- results:nine:size -->x<!-- /results -->", ["nine.yaml: no such file"]),
    ],
)
def test_wrong_marks_are_refused(study, collected, tmp_path, text, words):
    with pytest.raises(ValueError) as error:  # noqa: PT011 (the text is checked below)
        renew(text, collected, tmp_path)
    for word in words:
        assert word in str(error.value)


def test_an_unfinished_study_shows_missing_runs(study, collected):
    (study.run("gqpe_s4", 1).folder(collected) / "metrics.json").unlink()
    text = printed(study, collected, so_far=True)
    assert "2 of 3" in text
    assert "Not finished: " in text
    assert text.endswith(f"Runs: {collected}/three/runs.csv")


def test_unchecked_results_are_not_finished(study, collected):
    assert "Not finished: " in printed(study, collected)
    (collected / "three/checks.md").touch()
    assert f"Checks: all passed, see {collected}/three/checks.md\n" in printed(study, collected)
