"""Display: shows a study on a terminal while it runs, or prints a line a minute elsewhere."""

import os
import sys
import threading
import time

from rich.console import Console
from rich.live import Live
from rich.text import Text

from posmlp.progress.state import FAILED, Watch
from posmlp.progress.view import line, screen

SECONDS_BETWEEN_LINES = 60
SHARE_OF_A_CORE = 0.03  # that looking at the run folders may take


class Display:
    """Shows what a watch sees: `follow` in the thread that calls it, `start` in one of its own.

    The display of a start of the study goes away in the end, and lets what the start and its jobs
    write on stderr appear above it: stderr becomes a pipe, whose lines are passed on.

    Args:
        plain: print lines on a terminal too.
    """

    def __init__(self, watch: Watch, *, plain: bool = False) -> None:
        self.watch = watch
        self.ended = threading.Event()
        self.reported: set[str] = set()  # failed runs
        self.said_at = float("-inf")
        self.console = Console(stderr=True, highlight=False)
        self.live = None
        if os.isatty(2) and not plain and not self.console.is_dumb_terminal:
            own = {"redirect_stdout": False, "redirect_stderr": False}  # the pipe has children's
            self.live = Live(
                console=self.console, auto_refresh=False, transient=watch.starting, **own
            )

    def start(self) -> None:
        self.threads = [threading.Thread(target=self.follow, daemon=True)]
        if self.live:
            encoding = sys.stderr.encoding
            self.console.file = os.fdopen(os.dup(2), "w", encoding=encoding, errors="replace")
            reader, writer = os.pipe()
            os.dup2(writer, 2)
            os.close(writer)
            self.threads.append(threading.Thread(target=self.pass_on, args=(reader,), daemon=True))
        for thread in self.threads:
            thread.start()

    def stop(self) -> None:
        """Give the terminal back."""
        self.ended.set()
        if self.live:
            sys.stderr.flush()
            os.dup2(self.console.file.fileno(), 2)  # ends the pipe, unless a child is left behind
        for thread in self.threads:
            thread.join(timeout=2)

    def pass_on(self, reader: int) -> None:
        """Print above the table what others write on stderr."""
        with open(reader, encoding="utf-8", errors="replace") as lines:
            for text in lines:
                self.say(text.rstrip("\n"))

    def say(self, text: str) -> None:
        self.console.print(Text.from_ansi(text), soft_wrap=True)

    def follow(self) -> None:
        """Show one look after another until all runs have finished or failed."""
        wait_s = 0.0
        try:
            while not self.ended.wait(wait_s):
                began = time.perf_counter()
                self.watch.look()
                self.show()
                if self.watch.is_over:
                    break
                wait_s = max(1.0, (time.perf_counter() - began) / SHARE_OF_A_CORE)
        finally:
            if self.live:
                self.live.stop()

    def show(self) -> None:
        for run in self.watch.of(FAILED):
            if run.name not in self.reported:
                self.reported.add(run.name)
                self.say(f"failed: {run.name}: {run.error}")
        if self.live:
            self.live.start()
            self.live.update(screen(self.watch, self.console.height), refresh=True)
            return
        due = time.monotonic() - self.said_at >= SECONDS_BETWEEN_LINES
        if not self.watch.starting if self.watch.is_over else due:  # a start tells the end itself
            self.said_at = time.monotonic()
            self.say(f"{time.strftime('%H:%M:%S')} {line(self.watch)}")
