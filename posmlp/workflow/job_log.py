"""Logs and warnings of jobs that are scripts."""

import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path


@contextmanager
def job_log(path: str) -> Iterator[None]:
    """Send a script's output to its log; a user error is one line there and on the terminal."""
    with Path(path).open("w", encoding="utf-8") as log, redirect_stdout(log), redirect_stderr(log):
        try:
            yield
        except ValueError as error:  # every error that a user can fix
            print(f"error: {error}", file=log)
            print(f"error: {error}", file=sys.__stderr__)
            sys.exit(1)
        except KeyboardInterrupt:  # Ctrl-C, which Session reports
            print("interrupted", file=log)
            sys.exit(128 + signal.SIGINT)
        except Exception:
            traceback.print_exc(file=log)
            raise


def warn(message: str) -> None:
    """Print a warning on the terminal and in the job's log."""
    print(f"warning: {message}")
    print(f"warning: {message}", file=sys.__stderr__)
