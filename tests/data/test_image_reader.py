"""Reading image files: any fault of a file raises UnreadableImage."""

import io
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageFile, PngImagePlugin

from posmlp.data.image_reader import UnreadableImage, check_unreadable, printable, read_image
from posmlp.data.images import DataError

RAMP = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png_of_size(width: int, height: int) -> bytes:
    """A PNG that consists of its header."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = (header, b"IEND")
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        for chunk in chunks
    )


def large_text() -> bytes:
    text = PngImagePlugin.PngInfo()
    text.add_text("comment", "x" * (PngImagePlugin.MAX_TEXT_CHUNK + 1), zip=True)
    return encoded(Image.fromarray(RAMP), "PNG", pnginfo=text)


def cut(kind: str) -> bytes:
    content = encoded(Image.fromarray(RAMP).convert("RGB").resize((64, 64)), kind)
    return content[: len(content) * 2 // 3]


UNREADABLE = {
    "empty": (b"", "empty or not an image"),
    "page": (b"<html>", "empty or not an image"),
    "bomb": (png_of_size(20_000, 20_000), "decompression bomb"),
    "text": (large_text(), "MAX_TEXT_CHUNK"),
    "float": (encoded(Image.fromarray(RAMP.astype(np.float32)), "TIFF"), "mode F.*8 or 16 bits"),
    "int": (encoded(Image.fromarray(RAMP.astype(np.int32)), "TIFF"), "mode I.*8 or 16 bits"),
    **{k: (cut(k), ".") for k in ("JPEG", "PNG", "AVIF", "BMP", "DDS", "JPEG2000", "WEBP", "TIFF")},
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_unreadable_files_are_refused_with_the_reason(name):
    content, reason = UNREADABLE[name]
    with pytest.raises(UnreadableImage, match=reason) as caught:
        read_image(content)
    assert str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_decoder_may_raise_anything(monkeypatch):
    def fail(self):
        raise KeyError("anything")

    monkeypatch.setattr(ImageFile.ImageFile, "load", fail)
    with pytest.raises(UnreadableImage, match="anything"):
        read_image(encoded(Image.fromarray(RAMP), "BMP"))


def test_a_broken_link_is_unreadable(tmp_path):
    (tmp_path / "gone.png").symlink_to("nowhere")
    with pytest.raises(UnreadableImage, match=r"No such file or directory$"):
        read_image(tmp_path / "gone.png")


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_grey_of_16_bits_is_scaled_to_8(kind):
    content = encoded(Image.fromarray(RAMP.astype(np.uint16) * 257), kind)
    for mode in ("L", "RGB"):
        pixels = np.asarray(read_image(content, mode)).reshape(8, 8, -1)
        assert (pixels == RAMP[..., None]).all()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr"])
def test_every_8_bit_mode_is_converted_to_grey_or_colour(mode):
    kind = "JPEG" if mode in ("CMYK", "YCbCr") else "PNG"
    content = encoded(Image.fromarray(RAMP).convert("RGB").convert(mode), kind)
    assert read_image(content).mode == "RGB"
    assert read_image(content, "L").mode == "L"


def test_a_name_that_is_not_utf8_can_be_read_and_printed(tmp_path):
    path = os.path.join(os.fsencode(tmp_path), b"caf\xe9.png")
    with open(path, "wb") as file:
        file.write(encoded(Image.fromarray(RAMP), "PNG"))
    name = os.fsdecode(path)
    assert read_image(name).size == (8, 8)
    assert printable(name).endswith("caf\\xe9.png")


def test_unreadable_files_are_counted_and_five_are_named():
    reasons = {f"{k}.png": "empty" for k in range(7)}
    check_unreadable(reasons, 7)
    with pytest.raises(DataError) as caught:
        check_unreadable(reasons, 2)
    assert str(caught.value).startswith(
        "7 missing or damaged image files, and data.max_unreadable allows 2: 0.png (empty), "
    )
    assert "4.png (empty) and 2 more. " in str(caught.value)
