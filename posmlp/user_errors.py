"""Exit statuses and error messages of commands: one `error:` line per mistake, no traceback."""

import os
import sys
from collections.abc import Callable

DIFFERENT = 1  # a check found differences
FAILED = 2  # the same command would fail again
PIPE_CLOSED = 141  # the shell's status for SIGPIPE: the reader of the output has exited
RUN_AGAIN = 75  # stopped by a signal (EX_TEMPFAIL of sysexits.h); the same command resumes


def reporting_errors(command: Callable[[], int | None]) -> int:
    """Run a command and print its errors.

    Returns:
        The exit status: 0, DIFFERENT, FAILED, PIPE_CLOSED or RUN_AGAIN.
    """
    try:
        status = command() or 0
        sys.stdout.flush()
        return status
    except ValueError as error:  # every error that a user can fix; a StudyError may list several
        problems = getattr(error, "problems", (str(error),))
    except BrokenPipeError:
        _drop_output()
        return PIPE_CLOSED
    except OSError as error:
        _drop_output()
        what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        remedy = (
            "correct the path (relative to the repository's root), its permissions or disk space"
        )
        problems = (f"{what}; {remedy}, and run the command again",)
    except KeyboardInterrupt:
        return RUN_AGAIN
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    return FAILED


def _drop_output() -> None:
    """Discard the remaining output, or Python would fail again when it flushes at exit."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
