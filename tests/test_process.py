"""A process ends as it would by itself, only sooner."""

import os
import subprocess
import sys

import pytest

ENDING = """
import atexit, sys
from posmlp.process import leave
atexit.register(print, "handlers run")
print("written", end=" ")  # and still in the buffer
{body}
leave({status})
"""
IMPORTING = """
import gc
from posmlp.process import large_imports
before = gc.isenabled()
try:
    with large_imports():
        print(before, gc.isenabled(), end=" ")
        {body}
except ImportError:
    pass
print(gc.isenabled(), gc.get_freeze_count() > 0)
"""


def run(program: str) -> subprocess.CompletedProcess[str]:
    buffered = {name: text for name, text in os.environ.items() if name != "PYTHONUNBUFFERED"}
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, env=buffered)


@pytest.mark.parametrize("status", [0, 75])
def test_leaving_runs_exit_handlers_writes_what_is_buffered_and_gives_the_status(status):
    done = run(ENDING.format(body="", status=status))
    assert (done.returncode, done.stdout, done.stderr) == (status, "written handlers run\n", "")


def test_leaving_does_not_trip_over_a_closed_stream():
    done = run(ENDING.format(body="sys.stdout.flush(); sys.stdout.close()", status=0))
    assert done.returncode == 0


@pytest.mark.parametrize("body", ["import json", "raise ImportError"])
def test_garbage_is_collected_again_after_large_imports(body):
    assert run(IMPORTING.format(body=body)).stdout == "True False True True\n"
