"""What a command says when it fails: an `error:` line for each mistake, and never a traceback."""

import codecs
import errno
import os
import sys
from collections.abc import Callable

from posmlp.study import StudyError

DIFFERENT = 1  # a check found differences
FAILED = 2  # the message says why; the same command fails again
PIPE_CLOSED = 141  # as a shell reports SIGPIPE: nobody reads the output any more
RUN_AGAIN = 75  # stopped by a signal (EX_TEMPFAIL of sysexits.h); the same command resumes
# Advice by what the operating system says.
ADVICE = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "; free some space and run the command again"),
    **dict.fromkeys(
        (errno.EACCES, errno.EPERM, errno.EROFS),
        "; give yourself access (chmod, chown), or name another folder",
    ),
    errno.ENOENT: "; run the command from the repository's root, or correct the path",
}
ASCII = {"−": "-", "–": "-", "±": "+-", "≤": "<=", "≥": ">=", "×": "x", "≈": "~", "≠": "!="}


def reporting_errors(command: Callable[[], int | None]) -> int:
    """Run a command and report its mistakes.

    Returns:
        The exit status: 0, DIFFERENT, FAILED, PIPE_CLOSED or RUN_AGAIN.
    """
    try:
        status = command() or 0
        sys.stdout.flush()
        return status
    except StudyError as error:
        return _failed(*error.problems)
    except ValueError as error:  # every other error that a user can fix
        return _failed(str(error))
    except BrokenPipeError:
        _drop_output()
        return PIPE_CLOSED
    except OSError as error:
        _drop_output()
        what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        return _failed(what + ADVICE.get(error.errno, ""))
    except KeyboardInterrupt:
        return RUN_AGAIN


def _failed(*problems: str) -> int:
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    return FAILED


def _drop_output() -> None:
    """Send what is left of the output nowhere: Python would fail again when it flushes at exit."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def print_in_any_encoding() -> None:
    """Let a terminal without a character, such as the minus sign, show a similar one."""
    codecs.register_error("posmlp", in_ascii)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="posmlp")


def in_ascii(error: UnicodeError) -> tuple[str, int]:
    """Replace what an encoding lacks (codecs.register_error)."""
    characters = error.object[error.start : error.end]
    return "".join(ASCII.get(character, "?") for character in characters), error.end
