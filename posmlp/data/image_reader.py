"""Read image files as 8-bit pixels, or raise UnreadableImage with the reason.

Endings (IMAGE_SUFFIXES) decide which files count as images; the format follows from the content.
"""

import io
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from posmlp.data.images import DataError

IMAGE_SUFFIXES = (
    *(".jpeg", ".jpg", ".jpe", ".jfif", ".jp2", ".png", ".webp", ".avif"),
    *(".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"),
)
COUNTED = f"images are files that end in {', '.join(IMAGE_SUFFIXES)}, in any case"


class UnreadableImage(ValueError):  # noqa: N818 (a state, not a fault)
    """A file that is missing, damaged, or not an 8- or 16-bit image."""


def read_image(file: str | Path | bytes, mode: Literal["L", "RGB"] = "RGB") -> Image.Image:
    """Decode an image as grey ("L") or colour ("RGB"), 8 bits per channel; 16-bit grey is scaled.

    Args:
        file: a path, or the file's content.

    Raises:
        UnreadableImage: for any failure except a lack of memory.
    """
    try:
        with Image.open(io.BytesIO(file) if isinstance(file, bytes) else file) as image:
            return _eight_bits(image).convert(mode)
    except (MemoryError, KeyboardInterrupt):
        raise
    except Exception as error:  # Pillow's decoders raise many kinds of errors on damaged files
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
        reason = reason or type(error).__name__
        if isinstance(error, Image.UnidentifiedImageError):
            reason = "empty or not an image"  # its own text names a buffer in memory
        raise UnreadableImage(reason) from None


def _eight_bits(image: Image.Image) -> Image.Image:
    """Scale 16-bit grey to 8 bits, because `convert` would clip it to white."""
    in_int32 = image.mode == "I" and image.format in ("PNG", "PPM")
    if image.mode.startswith("I;16") or in_int32:
        values = np.asarray(image).astype(np.float64)
        return Image.fromarray(np.rint(values * (255 / 65_535)).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise UnreadableImage(
            f"its pixels have 32 bits (mode {image.mode}) and no known range; convert the file to "
            "8 or 16 bits"
        )
    return image


def printable(path: str | Path) -> str:
    """Escape a file name that is not UTF-8."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def some(names: Sequence[str], num: int = 5) -> str:
    """List the first `num` names, for a message."""
    rest = f" and {len(names) - num:,} more" if len(names) > num else ""
    return ", ".join(map(printable, names[:num])) + rest


def endings(paths: Iterable[str]) -> str:
    """Count files by ending, for a message: `.txt (200), .csv (1)`."""
    counts = Counter(Path(path).suffix.lower() or "none" for path in paths)
    return ", ".join(f"{printable(suffix)} ({num:,})" for suffix, num in counts.most_common())


def check_unreadable(
    reasons: dict[str, str], max_unreadable: int, setting: str = "data.max_unreadable"
) -> None:
    """Raise DataError if more files ({path: reason}) are unreadable than `setting` allows."""
    if len(reasons) > max_unreadable:
        raise DataError(
            f"{len(reasons):,} missing or damaged image files, and {setting} allows "
            f"{max_unreadable}: {some([f'{path} ({why})' for path, why in reasons.items()])}. "
            f"Restore what is named, or raise {setting} to leave it out"
        )
