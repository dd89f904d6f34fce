"""Display: shows the progress of a study: a live table, or without a terminal a line a minute."""

import sys
import threading
import time

from rich.console import Console
from rich.live import Live

from posmlp.progress.state import FAILED, Watch
from posmlp.progress.view import line, screen

SECONDS_BETWEEN_LINES = 60
MAX_LOAD = 0.03  # of a core, for reading the run folders


class Display:
    """Shows what a watch sees: `follow` blocks, `start` runs it in a thread.

    While a study starts and trains, what Python prints on stderr appears above the table, and the
    table disappears in the end.

    Args:
        plain: print lines on a terminal too.
    """

    def __init__(self, watch: Watch, *, plain: bool = False) -> None:
        self.watch = watch
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.follow, daemon=True)
        self.reported: set[str] = set()  # failed runs
        self.printed_at = float("-inf")
        console = Console(stderr=True, highlight=False)
        self.live = None
        if console.is_terminal and not plain and not console.is_dumb_terminal:
            self.live = Live(
                console=console, auto_refresh=False, transient=watch.starting, redirect_stdout=False
            )

    def start(self) -> None:
        self.thread.start()

    def stop(self) -> None:
        """Give the terminal back."""
        self.ended.set()
        self.thread.join(timeout=2)

    def follow(self) -> None:
        """Read and show the run folders until all runs have finished or failed."""
        wait_s = 0.0
        try:
            while not self.ended.wait(wait_s):
                began = time.perf_counter()
                self.watch.look()
                self.show()
                if self.watch.is_over:
                    break
                wait_s = max(1.0, (time.perf_counter() - began) / MAX_LOAD)
        finally:
            if self.live:
                self.live.stop()

    def show(self) -> None:
        for run in self.watch.of(FAILED):
            if run.name not in self.reported:
                self.reported.add(run.name)
                print(f"failed: {run.name}: {run.error}", file=sys.stderr)
        if self.live:
            self.live.start()
            self.live.update(screen(self.watch, self.live.console.height), refresh=True)
            return
        due = time.monotonic() - self.printed_at >= SECONDS_BETWEEN_LINES
        # The end of a start is part of its summary.
        if not self.watch.starting if self.watch.is_over else due:
            self.printed_at = time.monotonic()
            print(f"{time.strftime('%H:%M:%S')} {line(self.watch)}", file=sys.stderr, flush=True)
