"""What a short process spends on Python itself, made cheap: importing torch, and ending."""

import atexit
import contextlib
import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn


@contextmanager
def large_imports() -> Iterator[None]:
    """Import torch and the like in the block without looking for garbage, a quarter of the time.

    What they leave stays for good, so later collections pass over it as well.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        atexit.register(gc.unfreeze)  # or libraries take what is left at the end for a leak
        gc.enable()


def leave(status: int) -> NoReturn:
    """End this process as sys.exit does, but leave its modules whole: torch's take a second."""
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # a full disk, or closed
            stream.flush()
    os._exit(status)
