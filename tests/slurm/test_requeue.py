"""A job asks once to be put back, says so, and survives a refusal."""

import pytest

from posmlp.slurm import requeue as module
from posmlp.slurm.commands import SlurmError
from posmlp.slurm.requeue import requeue


@pytest.fixture
def asked(monkeypatch):
    asked = []
    monkeypatch.setattr(module, "ask", lambda *command: asked.append(command))
    return asked


def test_the_own_job_goes_back(asked, monkeypatch, capsys):
    monkeypatch.setenv("SLURM_JOB_ID", "42")
    requeue()
    assert asked == [("scontrol", "requeue", "42")]
    assert "job 42 goes back into the queue" in capsys.readouterr().out


def test_outside_of_a_job_nothing_happens(asked, monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    requeue()
    assert asked == []


def test_a_refusal_is_a_warning(monkeypatch, capsys):
    def refuse(*command):
        raise SlurmError("scontrol: Requested operation is presently disabled")

    monkeypatch.setattr(module, "ask", refuse)
    monkeypatch.setenv("SLURM_JOB_ID", "42")
    requeue()
    assert "warning: job 42 cannot go back into the queue: scontrol" in capsys.readouterr().err
