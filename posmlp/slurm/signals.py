"""Slurm's signals, forwarded from Snakemake to the trainer that it runs."""

import os
import signal
import threading

import psutil

FORWARDED = (signal.SIGUSR1, signal.SIGTERM)  # the time limit's warning; pre-emption, scancel


def forward_signals() -> None:
    """Forward Slurm's signals to every process that this one starts.

    Slurm signals the process that it has started, Snakemake; the trainer is two levels below.
    Snakemake handles SIGTERM itself, so signals are read from Python's wake-up pipe, which gets
    every signal whoever handles it.
    """
    signal.signal(signal.SIGUSR1, lambda number, frame: None)  # the default would end us
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
                    except psutil.NoSuchProcess:  # it has just ended
                        continue
