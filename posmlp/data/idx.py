"""Reading idx files, the format of MNIST and Fashion-MNIST.

Layout: two zero bytes, the type of a value (8: uint8), the number of dimensions, one big-endian
32-bit size for each, the values.
"""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

from posmlp.data.images import DataError


def read_idx(path: Path, num_dims: int) -> np.ndarray:
    """Read the uint8 array of an idx file, plain or compressed (.gz)."""
    content = _content(path)
    start = 4 + 4 * num_dims
    magic = bytes([0, 0, 8, num_dims])
    if content[:4] != magic or len(content) < start:
        raise DataError(
            f"{path}: begins with {content[:4].hex(' ') or 'nothing'}, expected {magic.hex(' ')}, "
            f"an idx file of uint8 in {num_dims} dimension(s); replace it by the original file"
        )
    shape = np.frombuffer(content, ">u4", num_dims, offset=4).tolist()
    num_values = len(content) - start
    if num_values != math.prod(shape):
        raise DataError(
            f"{path}: holds {num_values:,} values, its header says {' x '.join(map(str, shape))}; "
            "the file is damaged, replace it by the original"
        )
    # A copy, as torch warns of arrays that cannot be written to.
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape).copy()


def _content(path: Path) -> bytes:
    try:
        return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"{path}: cannot be read ({error}); the file is damaged, replace it by the original"
        ) from None
