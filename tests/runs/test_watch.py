"""The watch: what it asks of the loop, and that it leaves the process as it found it."""

import os
import signal
import subprocess
import sys

import pytest

from posmlp.runs.watch import SIGNALS, Watch
from posmlp.training.engine import Asked


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_asks_to_leave(number, capfd):
    before = signal.getsignal(number)
    with Watch(checkpoint_minutes=10) as watch:
        assert watch.asked() == Asked.NOTHING
        os.kill(os.getpid(), number)
        assert watch.asked() == Asked.LEAVE
        assert watch.signal == number
    assert signal.getsignal(number) == before
    assert number.name in capfd.readouterr().err


def test_time_asks_to_save_once(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    watch = Watch(checkpoint_minutes=10)
    assert watch.asked() == Asked.NOTHING
    now[0] = 600
    assert watch.asked() == Asked.SAVE
    watch.saved()
    assert watch.asked() == Asked.NOTHING


def test_a_second_interrupt_ends_the_process_at_once():
    code = (
        "import os, signal; from posmlp.runs.watch import Watch\n"
        "with Watch(10):\n"
        "    os.kill(os.getpid(), signal.SIGINT); print('still here', flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGINT); print('still here', flush=True)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == -signal.SIGINT
    assert done.stdout == "still here\n"
    assert "once more: leaving at once" in done.stderr
