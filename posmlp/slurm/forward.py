"""Slurm's signals, passed on from Snakemake to the trainer that it runs."""

import os
import signal
import threading

import psutil

PASSED_ON = (signal.SIGUSR1, signal.SIGTERM)  # the time limit's warning; pre-emption, scancel


def forward_signals() -> None:
    """Pass Slurm's signals on to whatever this process starts.

    Slurm signals only the process that it has started, which is Snakemake's; the trainer stands
    two below. Snakemake has its own handler for SIGTERM, so the signals are read from Python's
    wake-up pipe, into which every one is written whoever handles it.
    """
    signal.signal(signal.SIGUSR1, lambda number, frame: None)  # by default it would end us
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer)
    threading.Thread(target=_pass_on, args=(reader,), daemon=True).start()


def _pass_on(reader: int) -> None:
    while numbers := os.read(reader, 64):
        for number in numbers:
            if number in PASSED_ON:
                for child in psutil.Process().children(recursive=True):
                    try:
                        child.send_signal(number)
                    except psutil.NoSuchProcess:  # it has just ended
                        continue
