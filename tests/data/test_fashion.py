"""Fashion-MNIST with the real images of Debian's package dataset-fashion-mnist."""

import gzip
import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest

from posmlp.data import fashion
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
    """Neither Debian's folder nor a server to download from."""
    from torchvision.datasets import FashionMNIST

    monkeypatch.setattr(fashion, "_DEBIAN", tmp_path / "no-debian")
    monkeypatch.setattr(FashionMNIST, "mirrors", [(tmp_path / "no-server").as_uri() + "/"])


def link(package: Path, folder: Path, names=FILES) -> Path:
    folder.mkdir(parents=True)
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


@pytest.mark.parametrize("place", [".", "FashionMNIST/raw", "fashion"])
def test_each_place_below_the_root_is_searched(package, no_fallback, tmp_path, place):
    folder = link(package, tmp_path / "root" / place)
    assert SOURCE.load(tmp_path / "root", "test").source == str(folder)


def test_places_are_searched_in_the_documented_order(package, tmp_path):
    places = ["fashion", "FashionMNIST/raw", "."]
    found = [fashion.read_fashion(tmp_path / "root", "test").source]
    for place in places:
        folder = tmp_path / "root" / place
        folder.mkdir(parents=True, exist_ok=True)
        for path in package.iterdir():
            (folder / path.name).symlink_to(path)
        found.append(fashion.read_fashion(tmp_path / "root", "test").source)
    assert found == [str(package), *(str(tmp_path / "root" / place) for place in places)]


def test_plain_files_are_read_before_compressed_ones(package, no_fallback, tmp_path):
    folder = link(package, tmp_path / "root")
    plain = folder / "t10k-labels-idx1-ubyte"
    plain.write_bytes(gzip.decompress((package / f"{plain.name}.gz").read_bytes()))
    (folder / f"{plain.name}.gz").unlink()
    (folder / f"{plain.name}.gz").write_bytes(b"not read")
    assert len(SOURCE.load(folder, "test")) == 10_000


def test_download_lands_in_torchvisions_layout(package, no_fallback, serve, monkeypatch, tmp_path):
    from torchvision.datasets import FashionMNIST

    # Debian compressed the same files anew, so torchvision's checksums are replaced by theirs.
    paths = [package / f"{name}-ubyte.gz" for name in FILES]
    resources = [(p.name, hashlib.md5(p.read_bytes()).hexdigest()) for p in paths]
    monkeypatch.setattr(FashionMNIST, "resources", resources)
    monkeypatch.setattr(FashionMNIST, "mirrors", [serve(package)])
    images = SOURCE.load(tmp_path / "root", "test")
    assert images.source == str(tmp_path / "root" / "FashionMNIST" / "raw")


def test_without_files_and_network_the_error_says_where_and_how(no_fallback, tmp_path):
    with pytest.raises(DataError) as caught:
        SOURCE.load(tmp_path / "root", "train")
    told = str(caught.value)
    for place in (".", "FashionMNIST/raw", "fashion"):
        assert str(tmp_path / "root" / place) in told
    assert "dataset-fashion-mnist" in told
    assert "t10k-labels-idx1-ubyte" in told
    assert caught.value.__cause__ is None  # torchvision's traceback is not shown
    assert caught.value.__suppress_context__


def test_missing_files_are_named(package, tmp_path):
    folder = link(package, tmp_path / "root", FILES[:3])
    with pytest.raises(DataError, match=r"incomplete: t10k-labels-idx1-ubyte \(plain or \.gz\)"):
        SOURCE.load(folder, "train")


def test_images_and_labels_of_different_length_are_refused(package, tmp_path):
    folder = link(package, tmp_path / "root", FILES[:3])
    shutil.copy(package / "train-labels-idx1-ubyte.gz", folder / "t10k-labels-idx1-ubyte.gz")
    with pytest.raises(DataError, match="10,000 test images but 60,000 labels"):
        SOURCE.load(folder, "test")
