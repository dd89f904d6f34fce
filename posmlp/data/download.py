"""A failed download told in words: what was looked for, what failed, what to do by hand."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException

from posmlp.data.images import DataError


@contextmanager
def explained(title: str, looked_for: str, by_hand: str) -> Iterator[None]:
    """Raise DataError instead of the errors of torchvision and urllib."""
    try:
        yield
    except (OSError, RuntimeError, HTTPException) as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"{title} was not found and cannot be downloaded\n"
            f"  {looked_for}\n  download failed: {reason}\n  {by_hand}"
        ) from None
