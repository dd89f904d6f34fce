"""Forwarding of Slurm's signals from Snakemake to the trainer."""

import os
import signal
import threading

import psutil

FORWARDED = (signal.SIGUSR1, signal.SIGTERM)  # the time limit's warning; pre-emption, scancel


def forward_signals() -> None:
    """Forward Slurm's signals to all child processes.

    Slurm signals only the process that it started, Snakemake; the trainer is further down.
    Snakemake handles SIGTERM itself, so signals are read from Python's wake-up pipe, which receives
    every signal regardless of its handler.
    """
    signal.signal(signal.SIGUSR1, lambda number, frame: None)  # the default would end Snakemake
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer)
    threading.Thread(target=_forward, args=(reader,), daemon=True).start()


def _forward(reader: int) -> None:
    while numbers := os.read(reader, 64):
        for number in numbers:
            if number in FORWARDED:
                for child in psutil.Process().children(recursive=True):
                    try:
                        child.send_signal(number)
                    except psutil.NoSuchProcess:  # it has just exited
                        continue
