"""Parsing of the output of Slurm's commands; tests/cluster runs the commands themselves."""

import pytest

from posmlp.slurm import commands
from posmlp.slurm.commands import SlurmError, ask, jobs_of_partition, minutes_of, partitions

SINFO = "cpu*|2:00:00\ngpu|1-12:00:00\nlong|infinite\n"


@pytest.mark.parametrize(
    ("limit", "minutes"),
    [
        ("2:00:00", 120),
        ("30:00", 30),
        ("1-00:00:00", 1440),
        ("7-12:30:00", 10830),
        ("infinite", None),
    ],
)
def test_time_limits_are_read(limit, minutes):
    assert minutes_of(limit) == minutes


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (None, {"cpu": 120}),
        ("gpu,cpu", {"cpu": 120, "gpu": 2160}),
        ("long", {"long": None}),
        ("nope", {}),
    ],
)
def test_partitions_are_found(monkeypatch, names, found):
    monkeypatch.setattr(commands, "ask", lambda *command: SINFO)
    assert partitions(names) == found


@pytest.mark.parametrize(
    ("gpus", "on_gpus", "at_once"), [(1, True, 12), (4, True, 3), (1, False, 50), (16, True, 1)]
)
def test_jobs_at_once_are_bounded_by_gpus_and_jobs(monkeypatch, gpus, on_gpus, at_once):
    nodes = "g1|gpu:h200:4(S:0)\ng2|gpu:8\ng1|gpu:h200:4(S:0)\nn1|(null)\n"
    monkeypatch.setattr(commands, "ask", lambda *command: nodes)
    monkeypatch.setattr(commands, "installed", lambda: True)
    number, limited_by = jobs_of_partition("gpu", gpus, on_gpus, max_jobs=50)
    assert number == at_once
    assert "50 jobs" in limited_by


def test_a_command_that_fails_hangs_or_is_missing_is_one_line(monkeypatch):
    with pytest.raises(SlurmError, match="sh: no such partition"):
        ask("sh", "-c", "echo no such partition >&2; exit 1")
    monkeypatch.setattr(commands, "TIMEOUT_S", 0.1)
    with pytest.raises(SlurmError, match=r"sleep did not answer within 0.1 s"):
        ask("sleep", "10")
    with pytest.raises(SlurmError, match=r"squeue8 is not on PATH: .*leave out `--profile slurm`"):
        ask("squeue8")


@pytest.mark.parametrize(
    ("printed", "found"),
    [
        (
            "s/a/seed0|2000M|\nbatch||80.5M\npython||900.25M\ns/b/seed0|3000M|\npython||1100M\n",
            "Memory: at most 1.1 GB used of 3.0 GB requested, by job s/b/seed0",
        ),
        ("s/a/seed0|2000M|\nbatch||\n", None),
        ("", None),
    ],
)
def test_the_largest_memory_is_found_with_its_job(monkeypatch, printed, found):
    monkeypatch.setattr(commands, "ask", lambda *command: printed)
    assert commands.memory_used(["1", "2"]) == found
