"""Labelled image files in folders and archives: labels, order, pixels, digests, errors."""

import numpy as np
import pytest
from trees import image, means, odd_name, tiny_imagenet, tree, write

from posmlp.data import image_folder
from posmlp.data.file_tree import find_tree
from posmlp.data.image_folder import labelled_files, load_images
from posmlp.data.image_reader import endings
from posmlp.data.images import DataError

KINDS = [("folder", ""), ("zip", "a/b/"), ("tar", "./"), ("tar.gz", "x/"), ("tar.xz", "")]


def listed(root, split="train", class_names=None):
    return labelled_files(find_tree(root), split, class_names)


@pytest.mark.parametrize(("kind", "prefix"), KINDS)
def test_every_kind_of_tree_holds_the_same_images(tmp_path, kind, prefix):
    expected = listed(write(tmp_path / "expected", tree()))
    path = write(tmp_path / "data", tree(), kind, prefix)
    train = listed(path)
    assert train.class_names == ["cat", "dog"]
    assert train.names == [f"train/{n}" for n in ("cat/1.png", "cat/2.jpg", "cat/deeper/3.PNG")] + [
        "train/dog/1.png",
        "train/dog/2.webp",
    ]
    assert train.labels_N.tolist() == [0, 0, 0, 1, 1]
    images = load_images(train, 4, 1, 0)
    assert means(images.images_NHWC) == [10, 20, 30, 40, 50]
    assert images.files_digest == load_images(expected, 4, 1, 0).files_digest
    assert train.digest == expected.digest
    test = listed(path, "test", train.class_names)
    assert test.labels_N.tolist() == [0, 1]


def test_images_are_read_in_chunks_to_their_own_place(tmp_path, monkeypatch):
    monkeypatch.setattr(image_folder, "CHUNK", 2)
    images = load_images(listed(write(tmp_path, tree(), "tar.gz")), 4, 3, 0)
    assert images.images_NHWC.shape == (5, 4, 4, 3)
    assert means(images.images_NHWC) == [10, 20, 30, 40, 50]


def test_images_are_cropped_to_squares_and_resized(tmp_path):
    wide = np.zeros((8, 16), dtype=np.uint8)
    wide[:, 4:12] = 200  # the square in the middle
    files = {"train/a/1.png": image(0, 8), "train/a/2.png": image(7, (2, 2))}
    root = write(tmp_path, files)
    from PIL import Image

    Image.fromarray(wide).save(root / "train/a/1.png")
    assert means(load_images(listed(root), 8, 1, 0).images_NHWC) == [200, 7]


def test_tiny_imagenets_table_labels_its_test_images(tmp_path):
    root = write(tmp_path, tiny_imagenet(3), "zip", "tiny-imagenet-200/")
    train = listed(root)
    test = listed(root, "test", train.class_names)
    assert train.labels_N.tolist() == [0, 1, 2]
    assert test.labels_N.tolist() == [2, 1, 0]
    assert endings([*train.others, *test.others]) == ".txt (3)"


def test_test_images_can_be_in_test(tmp_path):
    files = {name.replace("val/", "test/"): content for name, content in tree().items()}
    assert listed(write(tmp_path, files), "test").names[0] == "test/cat/4.png"


def test_digests_see_names_labels_and_content(tmp_path):
    def digests(name, files):
        found = listed(write(tmp_path / name, files))
        return found.digest, load_images(found, 4, 1, 0).files_digest

    base = digests("base", tree())
    files = tree()
    files["train/dog/3.png"] = files.pop("train/cat/1.png")
    moved = digests("moved", files)
    same_size = digests("other", tree(value=11))
    assert moved[0] != base[0]
    assert len({moved[1], same_size[1], base[1]}) == 3


FAULTS = {
    "loose": ({"val/5.png": image(0)}, "1 images without a class (5.png); move each into"),
    "unknown": ({"val/bird/1.png": image(0)}, "classes without a folder in train: bird"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_images_without_a_label_are_refused(tmp_path, fault):
    files, message = FAULTS[fault]
    with pytest.raises(DataError) as caught:
        listed(write(tmp_path, tree() | files), "test", ["cat", "dog"])
    assert message in str(caught.value)


def test_a_folder_without_images_says_which_endings_count(tmp_path):
    with pytest.raises(
        DataError, match=r"holds no image, but cat/1.heic; images are files that end in \.jpeg, "
    ):
        listed(write(tmp_path, {"train/cat/1.heic": b""}))


def test_hidden_files_are_left_out_and_others_are_named(tmp_path):
    files = {"train/cat/._1.png": b"", "train/.cache/a.png": b"", "train/cat/notes.md": b""}
    found = listed(write(tmp_path, tree() | files, "tar"))
    assert len(found) == 5
    assert found.others == ["train/cat/notes.md"]


def test_unreadable_files_are_left_out_as_far_as_allowed(tmp_path):
    root = write(tmp_path, tree() | {"train/cat/1.png": b"damaged"})
    (root / "train/dog/1.png").unlink()
    (root / "train/dog/1.png").symlink_to("nowhere")
    images = load_images(listed(root), 4, 1, max_unreadable=2)
    assert means(images.images_NHWC) == [20, 30, 50]
    assert images.labels_N.tolist() == [0, 0, 1]
    assert images.unreadable == (f"{root}/train/cat/1.png", f"{root}/train/dog/1.png")
    with pytest.raises(
        DataError, match=r"2 missing or damaged image files.* allows 1: .*cat/1\.png \(empty or not"
    ):
        load_images(listed(root), 4, 1, max_unreadable=1)


def test_names_that_are_not_utf8(tmp_path):
    root = write(tmp_path, tree())
    odd_name(root / "train/cat").write_bytes(image(90))
    files = listed(root)
    assert len(files.digest) == 16
    assert 90 in means(load_images(files, 4, 1, 0).images_NHWC)


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_a_damaged_archive_is_named(tmp_path, kind):
    path = write(tmp_path, tree(), kind)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match=rf"images\.{kind}: cannot be read as an archive"):
        load_images(listed(path), 4, 1, 0)


def test_the_one_data_set_below_the_root_is_found(tmp_path):
    write(tmp_path, tree(), "tar.gz")
    (tmp_path / "notes").mkdir()
    assert find_tree(tmp_path).root == tmp_path / "images.tar.gz"
    write(tmp_path, tree(), prefix="unpacked")
    assert find_tree(tmp_path).root == tmp_path / "unpacked"  # before archives
    write(tmp_path, tree(), prefix="other")
    with pytest.raises(DataError, match=r"found: other, unpacked\. Name the data set itself"):
        find_tree(tmp_path)
    with pytest.raises(DataError, match=r"found: none"):
        find_tree(tmp_path / "notes")
    with pytest.raises(DataError, match="no such data set"):
        find_tree(tmp_path / "absent")
    with pytest.raises(DataError, match="holds no folder train/"):
        find_tree(write(tmp_path / "flat", {"a.png": b""}, "zip"))
