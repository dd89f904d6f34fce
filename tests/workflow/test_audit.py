"""The audit as a user makes it: no study, no data, no training."""

import pytest

pytestmark = pytest.mark.xdist_group("workflow")
BROKEN = "workflow/resources/published.csv"


def test_the_audit_needs_no_study_and_follows_the_runs(checkout):
    assert checkout.planned("audit") == {"audit": 1}
    done = checkout.snakemake("audit")
    assert done.returncode == 0, done.stdout
    page = (checkout.path / "results/audit/audit.html").read_text()
    assert "20,925,538" in page
    assert checkout.planned("audit") == {}
    runs = checkout.path / "results/imagenet_posmlp/runs.csv"
    runs.parent.mkdir()
    runs.write_text("variant,seed,top1\n")
    assert checkout.planned("audit") == {"audit": 1}


def test_a_wrong_number_is_a_line_and_no_studys_concern(checkout):
    checkout.edit(BROKEN, "19.4,M", "~19,M")
    done = checkout.snakemake("audit")
    assert done.returncode == 1
    assert f"error: {BROKEN}, row 2, column value: should be a plain number" in done.stdout
    assert "Traceback" not in done.stdout
    assert checkout.planned()["train"] == 2
