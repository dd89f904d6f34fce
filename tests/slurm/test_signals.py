"""Signals sent to a process are forwarded to its grandchildren, even if it handles them itself."""

import signal
import subprocess
import sys
import time

import pytest

TRAINER = """
import signal, sys, time
for number in (signal.SIGUSR1, signal.SIGTERM):
    signal.signal(number, lambda number, frame: sys.exit(print(signal.Signals(number).name)))
print("ready", flush=True)
time.sleep(30)
"""
MASTER = """
import signal, subprocess, sys
from posmlp.slurm.signals import forward_signals
forward_signals()
signal.signal(signal.SIGTERM, lambda number, frame: None)  # as Snakemake does, later
shell = "trap '' TERM USR1; {} -c '{}'".format(sys.executable, sys.argv[1])
sys.exit(subprocess.call(["bash", "-c", shell]))
"""


@pytest.mark.parametrize("name", ["SIGUSR1", "SIGTERM"])
def test_a_signal_reaches_the_trainer(name):
    trainer = TRAINER.replace("'", '"')
    process = subprocess.Popen(
        [sys.executable, "-c", MASTER, trainer], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.1)
        process.send_signal(signal.Signals[name])
        assert process.communicate(timeout=20)[0] == f"{name}\n"
        assert process.returncode == 0
    finally:
        process.kill()
