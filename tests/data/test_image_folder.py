import os
from functools import partial
from pathlib import Path

import pytest

from posmlp.data import DataError, imagenet_samples, subset_indices
from posmlp.data.image_folder import split_digest

A, B, C = "n01440764", "n01443537", "n01484850"


def names(paths: list[str]) -> list[str]:
    return [Path(path).name for path in paths]


def test_samples_are_sorted_by_class_and_name(image_folder):
    paths, labels, class_names = imagenet_samples(image_folder, "train")
    assert class_names == [A, B, C]
    assert labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert names(paths)[:4] == [f"{A}_{number}.JPEG" for number in (10, 100, 2, 9)]
    assert all(
        Path(path).parent.name == class_names[k] for path, k in zip(paths, labels, strict=True)
    )
    assert all(map(os.path.isfile, paths))


def test_test_split_is_val(image_folder):
    paths, labels, _ = imagenet_samples(image_folder, "test")
    assert labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert {Path(path).parents[1] for path in paths} == {image_folder / "val"}


def test_first_half_of_each_class_is_by_name(image_folder):
    first_half = partial(subset_indices, fraction=0.5, subset="first")
    paths, labels, _ = imagenet_samples(image_folder, "train", first_half)
    assert names(paths) == [f"{wnid}_{number}.JPEG" for wnid in (A, B, C) for number in (10, 100)]
    assert labels.tolist() == [0, 0, 1, 1, 2, 2]


def test_random_half_of_each_class_follows_the_seed(image_folder):
    halves = [
        imagenet_samples(
            image_folder, "train", partial(subset_indices, fraction=0.5, subset_seed=seed)
        )[0]
        for seed in (0, 0, 1)
    ]
    assert halves[0] == halves[1] != halves[2]
    assert [name[:9] for name in names(halves[0])] == [A, A, B, B, C, C]


def test_labels_of_the_test_split_are_those_of_train(image_folder):
    for path in (image_folder / "val" / A).iterdir():
        path.unlink()
    (image_folder / "val" / A).rmdir()
    assert imagenet_samples(image_folder, "test")[1].tolist() == [1, 1, 2, 2]


def test_a_class_that_train_lacks_is_refused(image_folder):
    (image_folder / "val" / "tench").mkdir()
    with pytest.raises(DataError, match="without a folder in train: tench"):
        imagenet_samples(image_folder, "test")


def test_an_absent_folder_is_a_data_error(tmp_path):
    with pytest.raises(DataError, match="train: cannot be listed"):
        imagenet_samples(tmp_path, "train")


def test_digest_sees_names_and_sizes_but_not_the_place(image_folder):
    before = split_digest(image_folder, "train")
    moved = image_folder.rename(image_folder.with_name("moved"))
    assert split_digest(moved, "train") == before
    path = moved / "train" / A / f"{A}_9.JPEG"
    path = path.rename(path.with_name(f"{A}_91.JPEG"))
    renamed = split_digest(moved, "train")
    path = path.rename(moved / "train" / B / path.name)
    relabelled = split_digest(moved, "train")
    path.write_bytes(b"1")
    assert len({before, renamed, relabelled, split_digest(moved, "train")}) == 4


def test_a_link_to_nothing_is_a_data_error(image_folder):
    (image_folder / "train" / A / "gone.JPEG").symlink_to("nowhere.JPEG")
    with pytest.raises(DataError, match=r"gone\.JPEG: cannot be read"):
        split_digest(image_folder, "train")
