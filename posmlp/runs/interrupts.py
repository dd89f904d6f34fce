"""Interrupts: turns signals, and time since the last checkpoint, into requests to the loop."""

import os
import signal
import time
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from posmlp.training.engine import Interrupt

TIME_LIMIT = signal.SIGUSR1  # Slurm's warning of the time limit; at some sites, of pre-emption
# SIGTERM: kill, scancel, pre-emption. SIGINT: Ctrl-C.
SIGNALS = (TIME_LIMIT, signal.SIGTERM, signal.SIGINT)


class Interrupts:
    """Handles signals while its block runs.

    The first signal asks the loop to stop after its current step. A second SIGINT kills the process
    at once; files are replaced atomically, so the last checkpoint survives.
    """

    def __init__(self, checkpoint_minutes: float) -> None:
        self.seconds_between = 60 * checkpoint_minutes
        self.saved_at = time.monotonic()  # never goes back, unlike the wall clock
        self.signal: signal.Signals | None = None
        self.handlers_before: dict[signal.Signals, signal.Handlers] = {}

    def __enter__(self) -> Self:
        for number in SIGNALS:
            self.handlers_before[number] = signal.signal(number, self.handle)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)  # blocked since a pack forked us
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self.handlers_before.items():
            signal.signal(number, handler)

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Record and announce a signal."""
        if self.signal == number == signal.SIGINT:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        again = "; press again to quit at once" if number == signal.SIGINT else ""
        self.signal = signal.Signals(number)
        text = f"{self.signal.name}: stopping after this step and a checkpoint{again}\n"
        with suppress(OSError):  # the output is closed
            os.write(2, text.encode())  # print is not safe inside a handler

    def check(self) -> "Interrupt":
        """The request to the loop at this moment."""
        from posmlp.training.engine import Interrupt  # imports torch, which a pack does late

        if self.signal:
            return Interrupt.STOP
        if time.monotonic() - self.saved_at >= self.seconds_between:
            return Interrupt.SAVE
        return Interrupt.NONE

    def saved(self) -> None:
        """Restart the interval to the next checkpoint."""
        self.saved_at = time.monotonic()
