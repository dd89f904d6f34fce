"""Interrupts: requests to the loop, and restored handlers."""

import os
import signal
import subprocess
import sys

import pytest

from posmlp.runs.interrupts import SIGNALS, Interrupts
from posmlp.training.engine import Interrupt


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_requests_a_stop(number, capfd):
    before = signal.getsignal(number)
    with Interrupts(checkpoint_minutes=10) as interrupts:
        assert interrupts.check() == Interrupt.NONE
        os.kill(os.getpid(), number)
        assert interrupts.check() == Interrupt.STOP
        assert interrupts.signal == number
    assert signal.getsignal(number) == before
    assert number.name in capfd.readouterr().err


def test_time_requests_a_checkpoint_once(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    interrupts = Interrupts(checkpoint_minutes=10)
    assert interrupts.check() == Interrupt.NONE
    now[0] = 600
    assert interrupts.check() == Interrupt.SAVE
    interrupts.saved()
    assert interrupts.check() == Interrupt.NONE


def test_a_second_interrupt_ends_the_process_at_once():
    code = (
        "import os, signal; from posmlp.runs.interrupts import Interrupts\n"
        "with Interrupts(10):\n"
        "    os.kill(os.getpid(), signal.SIGINT); print('still here', flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGINT); print('still here', flush=True)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == -signal.SIGINT
    assert done.stdout == "still here\n"
    assert "press again to quit at once" in done.stderr
