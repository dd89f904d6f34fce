import gzip
import struct

import numpy as np
import pytest

from posmlp.data.idx import read_idx
from posmlp.data.images import DataError

VALUES = np.arange(24, dtype=np.uint8).reshape(4, 3, 2)
CONTENT = bytes([0, 0, 8, 3]) + struct.pack(">3I", *VALUES.shape) + VALUES.tobytes()


@pytest.mark.parametrize(("name", "pack"), [("images", bytes), ("images.gz", gzip.compress)])
def test_reads_plain_and_compressed(tmp_path, name, pack):
    (tmp_path / name).write_bytes(pack(CONTENT))
    values = read_idx(tmp_path / name, num_dims=3)
    np.testing.assert_array_equal(values, VALUES)
    assert values.flags.writeable


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "begins with nothing, expected 00 00 08 03"),
        (b"<htm" + CONTENT[4:], "begins with 3c 68 74 6d, expected 00 00 08 03"),
        (bytes([0, 0, 13, 3]) + CONTENT[4:], "begins with 00 00 0d 03"),
        (bytes([0, 0, 8, 1]) + CONTENT[4:], "begins with 00 00 08 01"),
        (CONTENT[:10], "expected 00 00 08 03"),
        (CONTENT[:-1], "holds 23 values, its header says 4 x 3 x 2"),
        (CONTENT + b"\0", "holds 25 values, its header says 4 x 3 x 2"),
    ],
    ids=["empty", "page", "floats", "labels", "cut-header", "cut-values", "surplus-values"],
)
def test_a_wrong_file_is_refused(tmp_path, content, message):
    (tmp_path / "images").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_idx(tmp_path / "images", num_dims=3)


@pytest.mark.parametrize(
    "content",
    [
        gzip.compress(CONTENT)[:-12],
        gzip.compress(CONTENT)[:5],
        b"\x1f\x8b\x08" + b"a" * 60,
        CONTENT,
    ],
    ids=["truncated", "header-only", "damaged", "not-compressed"],
)
def test_a_damaged_gz_is_refused(tmp_path, content):
    (tmp_path / "images.gz").write_bytes(content)
    with pytest.raises(DataError, match=r"images\.gz: cannot be read"):
        read_idx(tmp_path / "images.gz", num_dims=3)


def test_damage_within_a_gz_is_noticed(tmp_path):
    packed = bytearray(gzip.compress(CONTENT))
    packed[-8] ^= 1  # its checksum
    (tmp_path / "images.gz").write_bytes(packed)
    with pytest.raises(DataError, match="cannot be read"):
        read_idx(tmp_path / "images.gz", num_dims=3)
