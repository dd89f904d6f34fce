"""Interrupts: turns signals and the time since the last checkpoint into requests to the loop."""

import os
import signal
import time
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from posmlp.training.engine import Interrupt

TIME_LIMIT = signal.SIGUSR1  # Slurm's warning before it; at some sites, of pre-emption too
# And what kill, scancel, pre-emption and Ctrl-C send.
SIGNALS = (TIME_LIMIT, signal.SIGTERM, signal.SIGINT)


class Interrupts:
    """Handles signals while its block runs.

    The first signal asks the loop to stop after its step. A second SIGINT ends the process at once;
    files are replaced as a whole, so the last checkpoint survives that.

    Args:
        at_start: whether the job began with this run: then a warning of the time limit before its
            first step means that the job is too short.
    """

    def __init__(self, checkpoint_minutes: float, at_start: bool = True) -> None:
        self.seconds_between, self.at_start = 60 * checkpoint_minutes, at_start
        self.saved_at = time.monotonic()  # unlike the wall clock it never goes back
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
        """Remember a signal and announce it, nothing more."""
        if self.signal == number == signal.SIGINT:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        again = "; press again to quit at once" if number == signal.SIGINT else ""
        self.signal = signal.Signals(number)
        text = f"{self.signal.name}: stopping after this step and a checkpoint{again}\n"
        with suppress(OSError):  # whoever read it is gone
            os.write(2, text.encode())  # print is not safe inside a handler

    def check(self) -> "Interrupt":
        """Request that the loop should follow now."""
        from posmlp.training.engine import Interrupt  # with torch, which a pack imports late

        if self.signal:
            return Interrupt.STOP
        if time.monotonic() - self.saved_at >= self.seconds_between:
            return Interrupt.SAVE
        return Interrupt.NONE

    def saved(self) -> None:
        """Restart the time to the next checkpoint."""
        self.saved_at = time.monotonic()
