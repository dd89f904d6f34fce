"""Watch: tells the training loop between two steps to save or to leave."""

import os
import signal
import time
from types import FrameType
from typing import Self

from posmlp.training.engine import Asked

TIME_LIMIT = signal.SIGUSR1  # Slurm's warning before it; where a site wants, of pre-emption too
# And what kill, scancel, pre-emption and Ctrl-C send.
SIGNALS = (TIME_LIMIT, signal.SIGTERM, signal.SIGINT)


class Watch:
    """Notes signals, and the time since the last checkpoint, while its block runs.

    The first signal asks the loop to leave after its step. A second SIGINT ends the process at
    once; files are replaced as a whole, so the last checkpoint survives that.
    """

    def __init__(self, checkpoint_minutes: float) -> None:
        self.seconds_between = 60 * checkpoint_minutes
        self.saved_at = time.monotonic()  # unlike the clock on the wall it never goes back
        self.signal: signal.Signals | None = None
        self.before: dict[signal.Signals, signal.Handlers] = {}

    def __enter__(self) -> Self:
        for number in SIGNALS:
            self.before[number] = signal.signal(number, self.note)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def note(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal: nothing more than to remember it and to say so."""
        if self.signal == number == signal.SIGINT:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        again = "; once more: leaving at once" if number == signal.SIGINT else ""
        self.signal = signal.Signals(number)
        text = f"{self.signal.name}: leaving after this step and a checkpoint{again}\n"
        os.write(2, text.encode())  # print is not safe inside a handler

    def asked(self) -> Asked:
        """What the loop should do now."""
        if self.signal:
            return Asked.LEAVE
        if time.monotonic() - self.saved_at >= self.seconds_between:
            return Asked.SAVE
        return Asked.NOTHING

    def saved(self) -> None:
        """Note that a checkpoint has been written."""
        self.saved_at = time.monotonic()
