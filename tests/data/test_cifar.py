"""CIFAR through torchvision, on small synthetic files with matching checksums."""

import hashlib
import pickle
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from torchvision import datasets

from posmlp.data.images import DataError
from posmlp.data.sources import DATASETS

NUM_TRAIN, NUM_TEST = 200, 100


def write_batch(path: Path, num: int, num_classes: int, key: str, first: int) -> None:
    pixels = np.arange(num * 3072, dtype=np.uint32).reshape(num, 3072) % 251 + first
    labels = (np.arange(num) % num_classes).tolist()
    path.write_bytes(pickle.dumps({"data": pixels.astype(np.uint8), key: labels}))


def contents(root: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


@pytest.fixture(params=["cifar10", "cifar100"])
def cifar(request, monkeypatch, tmp_path):
    """Source and root of a synthetic set, and torchvision's reader with its checksums."""
    source = DATASETS[request.param]
    reader = getattr(datasets, request.param.upper())
    root = tmp_path / "root"
    folder = root / reader.base_folder
    folder.mkdir(parents=True)
    key = "labels" if request.param == "cifar10" else "fine_labels"
    num_files = len(reader.train_list)
    for number, (name, _) in enumerate(reader.train_list):
        write_batch(folder / name, NUM_TRAIN // num_files, source.num_classes, key, number)
    write_batch(folder / reader.test_list[0][0], NUM_TEST, source.num_classes, key, 0)
    meta = folder / reader.meta["filename"]
    meta.write_bytes(
        pickle.dumps({reader.meta["key"]: [str(k) for k in range(source.num_classes)]})
    )
    for attribute in ("train_list", "test_list"):
        listed = [[name, md5(folder / name)] for name, _ in getattr(reader, attribute)]
        monkeypatch.setattr(reader, attribute, listed)
    monkeypatch.setattr(reader, "meta", {**reader.meta, "md5": md5(meta)})
    monkeypatch.setattr(reader, "url", (tmp_path / "no-server" / reader.filename).as_uri())
    return replace(source, num_images=(NUM_TRAIN, NUM_TEST)), root, reader


def pack(root: Path, reader: type, archive: Path, monkeypatch) -> None:
    """Pack the folder into an archive."""
    archive.parent.mkdir(exist_ok=True)
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(root / reader.base_folder, arcname=reader.base_folder)
    monkeypatch.setattr(reader, "tgz_md5", md5(archive))


def test_pixels_come_as_height_width_channels(cifar):
    source, root, reader = cifar
    train, test = source.load(root, "train"), source.load(root, "test")
    assert train.images_NHWC.shape == (NUM_TRAIN, 32, 32, 3)
    assert test.source == str(root / reader.base_folder)
    assert source.load(root / reader.base_folder, "test").source == test.source
    # Stored as 1,024 red values, then green, then blue.
    assert test.images_NHWC[0, 0, :3, 0].tolist() == [0, 1, 2]
    assert test.images_NHWC[0, 1, 0].tolist() == [32, (1024 + 32) % 251, (2048 + 32) % 251]


def test_an_archive_in_the_root_is_unpacked_without_network(cifar, monkeypatch):
    source, root, reader = cifar
    pack(root, reader, root / reader.filename, monkeypatch)
    shutil.rmtree(root / reader.base_folder)
    assert len(source.load(root, "train")) == NUM_TRAIN


def test_an_absent_set_is_downloaded_into_the_root(cifar, serve, monkeypatch, tmp_path):
    source, root, reader = cifar
    archive = tmp_path / "server" / reader.filename
    pack(root, reader, archive, monkeypatch)
    shutil.rmtree(root / reader.base_folder)
    monkeypatch.setattr(reader, "url", serve(archive.parent) + archive.name)
    assert source.load(root, "train").source == str(root / reader.base_folder)


def test_without_files_and_network_the_error_says_where_and_how(cifar, tmp_path):
    source, _, reader = cifar
    with pytest.raises(DataError) as caught:
        source.load(tmp_path / "empty", "train")
    message = str(caught.value)
    assert str(tmp_path / "empty" / reader.base_folder) in message
    assert f"put {reader.filename} into {tmp_path / 'empty'}" in message
    assert caught.value.__suppress_context__  # torchvision's traceback is not shown


@pytest.mark.parametrize("damage", ["missing", "changed", "meta"])
def test_a_damaged_folder_is_reported_and_left_alone(cifar, monkeypatch, damage):
    source, root, reader = cifar
    # The archive beside it would allow a silent repair.
    pack(root, reader, root / reader.filename, monkeypatch)
    names = {"missing": reader.test_list[0][0], "changed": reader.train_list[0][0]}
    path = root / reader.base_folder / names.get(damage, reader.meta["filename"])
    path.unlink() if damage == "missing" else path.write_bytes(b"something else")
    before = contents(root)
    with pytest.raises(DataError, match=f"incomplete or damaged.*unpack {reader.filename} again"):
        source.load(root, "train")
    assert contents(root) == before
