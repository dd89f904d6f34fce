"""open_data: images in memory, streamed files, and errors."""

import pytest
from pydantic import ValidationError
from trees import tiny_imagenet, tree, write

from posmlp.data import data_set
from posmlp.data.data_set import open_data
from posmlp.data.images import DataError
from posmlp.data.prepare import described, prepare
from posmlp.study import Augment, Data

OWN = Data(name="folder", image_size=4, num_classes=2, in_chans=1)


def changed(**values):
    return Data.model_validate(OWN.model_dump() | values)


def test_own_images_are_held_in_memory(tmp_path):
    opened = open_data(OWN, Augment(shift=1), write(tmp_path, tree(), "zip"))
    assert opened.in_memory
    assert opened.train.images_NHWC.shape == (5, 4, 4, 1)


def test_one_of_several_data_sets_is_named_by_its_beginning(tmp_path):
    for name in ("cats", "birds"):
        write(tmp_path, tree(), "tar.gz").rename(tmp_path / f"{name}.tar.gz")
    with pytest.raises(DataError, match=r"found: birds.tar.gz, cats.tar.gz"):
        open_data(OWN, Augment(), tmp_path)
    assert len(open_data(changed(folder="cats"), Augment(), tmp_path).train) == 5


def test_images_that_do_not_fit_are_streamed(tmp_path, monkeypatch):
    root = write(tmp_path, tree())
    monkeypatch.setattr(data_set, "MEMORY_LIMIT", 7 * 16 - 1)
    opened = open_data(OWN, Augment(), root)
    assert not opened.in_memory
    assert [len(opened.train), len(opened.test)] == [5, 2]
    with pytest.raises(DataError, match=r"recipe.augment.shift: needs the images in memory"):
        open_data(OWN, Augment(shift=1), root)


def test_augmentation_of_files_needs_a_folder(tmp_path):
    augment = Augment(scale=(0.5, 1.0))
    assert not open_data(OWN, augment, write(tmp_path / "folder", tree())).in_memory
    with pytest.raises(DataError, match=r"recipe.augment.scale.* unpack it and name the folder"):
        open_data(OWN, augment, write(tmp_path, tree(), "tar"))


@pytest.mark.parametrize("augment", [Augment(), Augment(scale=(0.5, 1.0))])
def test_data_with_another_digest_are_refused(tmp_path, augment):
    root = write(tmp_path, tree())
    digest = open_data(OWN, augment, root).digest
    assert open_data(changed(digest=digest), augment, root).digest == digest
    (root / "val/cat/4.png").write_bytes((root / "train/cat/2.jpg").read_bytes())
    with pytest.raises(DataError) as caught:
        open_data(changed(digest=digest), augment, root)
    assert f"digest {digest}, and those in {root} have {open_data(OWN, augment, root).digest}" in (
        str(caught.value)
    )


def test_a_part_of_tiny_imagenet_is_refused(tmp_path):
    write(tmp_path, tiny_imagenet(200), "tar.gz", "tiny-imagenet-200/")
    (tmp_path / "images.tar.gz").rename(tmp_path / "tiny-imagenet-200.tar.gz")
    with pytest.raises(
        DataError, match=r"\(200, 200\) training and test images, expected \(100000, 10000\)"
    ):
        open_data(Data(name="tiny_imagenet"), Augment(), tmp_path)


@pytest.mark.parametrize(
    ("values", "key"),
    [
        (dict(name="folder", num_classes=2), "image_size"),
        (dict(name="folder", image_size=8), "num_classes"),
        (dict(name="digits", num_classes=11), "num_classes"),
        (dict(name="cifar10", in_chans=1), "in_chans"),
    ],
)
def test_facts_must_be_stated_where_needed_and_be_true(values, key):
    with pytest.raises(ValidationError) as caught:
        Data(**values)
    assert caught.value.errors()[0]["ctx"]["key"] == key


def test_preparing_describes_found_and_ignored_files(tmp_path):
    root = write(tmp_path, tree() | {"train/cat/a.heic": b""})
    facts = prepare(OWN, Augment(), root)
    text = described(facts)
    assert f"5 training and 2 test images of 2 classes in {root}, digest {facts['digest']}" in text
    assert "warning: files left out, by ending: .heic (1); images are files that end in" in text


def test_preparing_counts_broken_links(tmp_path):
    root = write(tmp_path, tree())
    (root / "train/cat/gone.png").symlink_to("nowhere")
    streamed = Augment(scale=(0.5, 1.0))
    for augment in (Augment(), streamed):
        with pytest.raises(DataError, match=r"1 missing or damaged image files.*gone\.png"):
            prepare(OWN, augment, root)
        facts = prepare(changed(max_unreadable=1), augment, root)
        assert facts["num_unreadable"] == {"train": 1, "test": 0}
