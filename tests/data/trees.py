"""Small data sets of image files, as folders and archives."""

import io
import os
import tarfile
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image


def image(value: int, size: int | tuple[int, int] = 4, kind: str = "PNG") -> bytes:
    """Encode an image with a single grey value."""
    file = io.BytesIO()
    Image.new("L", (size, size) if isinstance(size, int) else size, value).save(file, kind)
    return file.getvalue()


def tree(value: int = 10) -> dict[str, bytes]:
    """Two classes, one of them with a subfolder; 5 training and 2 test images."""
    return {
        "train/cat/1.png": image(value),
        "train/cat/2.jpg": image(20, kind="JPEG"),
        "train/cat/deeper/3.PNG": image(30),
        "train/dog/1.png": image(40),
        "train/dog/2.webp": image(50, kind="WEBP"),
        "val/cat/4.png": image(60),
        "val/dog/4.tif": image(70, kind="TIFF"),
    }


def tiny_imagenet(num_classes: int = 2) -> dict[str, bytes]:
    """Tiny ImageNet's layout, with one training and one test image per class."""
    wnids = [f"n{k:08}" for k in range(num_classes)]
    files = {f"train/{w}/images/{w}_0.JPEG": image(k, kind="JPEG") for k, w in enumerate(wnids)}
    files |= {f"train/{w}/{w}_boxes.txt": b"0 0 1 1\n" for w in wnids}
    files |= {f"val/images/val_{k}.JPEG": image(k, kind="JPEG") for k in range(num_classes)}
    rows = [f"val_{k}.JPEG\t{w}\t0\t0\t1\t1\n" for k, w in enumerate(reversed(wnids))]
    return files | {
        "val/val_annotations.txt": "".join(rows).encode(),
        "test/images/test_0.JPEG": image(0, kind="JPEG"),
        "wnids.txt": "\n".join(wnids).encode(),
    }


def write(root: Path, files: dict[str, bytes], kind: str = "folder", prefix: str = "") -> Path:
    """Write files as a folder or an archive of this kind; return its path."""
    root.mkdir(parents=True, exist_ok=True)
    if kind == "folder":
        for name, content in files.items():
            path = root / prefix / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return root / prefix
    path = root / f"images.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in files.items():
                archive.writestr(prefix + name, content)
        return path
    with tarfile.open(path, "w:" + kind.removeprefix("tar").removeprefix(".")) as archive:
        for name, content in reversed(files.items()):  # not in the order of names
            member = tarfile.TarInfo(prefix + name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def means(images: np.ndarray) -> list[int]:
    return np.rint(images.mean((1, 2, 3))).astype(int).tolist()


def odd_name(folder: Path) -> Path:
    """A file name that is not UTF-8."""
    return Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.png"))
