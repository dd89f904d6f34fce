"""Fashion-MNIST with the real images of Debian's package dataset-fashion-mnist."""

import gzip
import hashlib
from pathlib import Path

import numpy as np
import pytest

from posmlp.data import array_sets
from posmlp.data.images import DataError
from posmlp.data.sources import DATASETS

DEBIAN = Path("/usr/share/datasets/fashion-mnist")
FILES = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
SOURCE = DATASETS["fashion"]


@pytest.fixture(scope="module")
def package(needs) -> Path:
    needs(DEBIAN.is_dir(), "dataset-fashion-mnist")
    return DEBIAN


@pytest.fixture
def no_fallback(monkeypatch, tmp_path):
    """Hide Debian's folder and the download server."""
    from torchvision.datasets import FashionMNIST

    monkeypatch.setattr(array_sets, "_DEBIAN", tmp_path / "no-debian")
    monkeypatch.setattr(FashionMNIST, "mirrors", [(tmp_path / "no-server").as_uri() + "/"])


def link(package: Path, folder: Path, names=FILES) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / f"{name}-ubyte.gz").symlink_to(package / f"{name}-ubyte.gz")
    return folder


def test_package_holds_the_published_images(package, tmp_path):
    train, test = SOURCE.load(tmp_path, "train"), SOURCE.load(tmp_path, "test")
    assert (len(train), len(test), train.source) == (60_000, 10_000, str(package))
    assert train.labels_N[:10].tolist() == [9, 0, 0, 3, 0, 2, 7, 2, 5, 5]
    assert np.bincount(train.labels_N).tolist() == [6_000] * 10
    # The published mean and deviation of its training pixels, 0.2860 and 0.3530.
    assert train.images_NHWC.mean() / 255 == pytest.approx(0.2860, abs=5e-5)
    assert train.images_NHWC.std() / 255 == pytest.approx(0.3530, abs=5e-5)


def test_locations_are_searched_in_order_and_plain_files_before_compressed_ones(package, tmp_path):
    root = tmp_path / "root"
    for location in ("fashion", "FashionMNIST/raw", "."):
        folder = link(package, root / location)
        assert SOURCE.load(root, "test").source == str(folder)
    plain = root / "t10k-labels-idx1-ubyte"
    plain.write_bytes(gzip.decompress((package / f"{plain.name}.gz").read_bytes()))
    (root / f"{plain.name}.gz").unlink()
    (root / f"{plain.name}.gz").write_bytes(b"not read")
    assert len(SOURCE.load(root, "test")) == 10_000


def test_download_lands_in_torchvisions_layout(package, no_fallback, serve, monkeypatch, tmp_path):
    from torchvision.datasets import FashionMNIST

    # Debian recompressed the files, so torchvision's checksums are replaced.
    paths = [package / f"{name}-ubyte.gz" for name in FILES]
    resources = [(p.name, hashlib.md5(p.read_bytes()).hexdigest()) for p in paths]
    monkeypatch.setattr(FashionMNIST, "resources", resources)
    monkeypatch.setattr(FashionMNIST, "mirrors", [serve(package)])
    images = SOURCE.load(tmp_path / "root", "test")
    assert images.source == str(tmp_path / "root" / "FashionMNIST" / "raw")


@pytest.mark.parametrize("present", [(), FILES[:3]])
def test_without_files_and_network_the_error_says_where_and_how(
    no_fallback, package, tmp_path, present
):
    root = link(package, tmp_path / "root", present)
    with pytest.raises(DataError) as caught:
        SOURCE.load(root, "test")
    message = str(caught.value)
    for location in (".", "FashionMNIST/raw", "fashion"):
        assert str(root / location) in message
    assert "dataset-fashion-mnist" in message
    assert "t10k-labels-idx1-ubyte" in message
    assert caught.value.__suppress_context__  # torchvision's traceback is not shown


HEADER = bytes([0, 0, 8, 1, 0, 0, 0, 3])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("idx", b""),
        ("idx", b"<html>"),
        ("idx", HEADER[:6]),
        ("idx", HEADER + b"ab"),
        ("idx", HEADER + b"abcd"),
        ("idx.gz", gzip.compress(HEADER + b"abc")[:-12]),
        ("idx.gz", HEADER + b"abc"),
    ],
    ids=["empty", "page", "cut-header", "cut", "surplus", "truncated-gz", "not-compressed"],
)
def test_a_damaged_file_is_named(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=rf"{name}: damaged \(.*replace it by the original"):
        array_sets._read_idx(tmp_path / name)
