"""The log of a job that is a script, and warnings."""

import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path


@contextmanager
def job_log(path: str) -> Iterator[None]:
    """Send a script's output to its log; a user's mistake is one line there and on the terminal."""
    with Path(path).open("w", encoding="utf-8") as log, redirect_stdout(log), redirect_stderr(log):
        try:
            yield
        except ValueError as error:  # all errors that a user can fix
            print(f"error: {error}", file=log)
            print(f"error: {error}", file=sys.__stderr__)
            sys.exit(1)
        except KeyboardInterrupt:  # Ctrl-C ends the whole study, which says so itself
            print("interrupted", file=log)
            sys.exit(128 + signal.SIGINT)
        except Exception:
            traceback.print_exc(file=log)
            raise


def warn(message: str) -> None:
    """Say something on the terminal and in the job's log without ending the job."""
    print(f"warning: {message}")
    print(f"warning: {message}", file=sys.__stderr__)
