import json

import pytest

from posmlp.data import DATASETS, DataError, prepare


def test_facts_of_a_set_in_memory(tmp_path):
    facts = prepare("digits", tmp_path)
    assert json.loads(json.dumps(facts)) == facts
    assert facts["num_images"] == {"train": 1297, "test": 500}
    assert facts["digests"] == dict(zip(("train", "test"), DATASETS["digits"].digests, strict=True))
    assert facts["digest"] == "200dc1f27942feef"
    assert (facts["num_classes"], facts["in_chans"], facts["image_size"]) == (10, 1, 8)
    assert facts["class_names"] == list("0123456789")


def test_facts_of_an_image_folder(image_folder, small):
    facts = prepare("imagenet", image_folder, small)
    assert json.loads(json.dumps(facts)) == facts
    assert facts["num_images"] == {"train": 12, "test": 6}
    assert (facts["num_classes"], facts["in_chans"], facts["image_size"]) == (3, 3, 224)
    assert facts["class_names"] == ["n01440764", "n01443537", "n01484850"]
    assert facts["source"] == str(image_folder)


def test_both_kinds_tell_the_same(image_folder, small, tmp_path):
    assert prepare("digits", tmp_path).keys() == prepare("imagenet", image_folder, small).keys()


def test_imagenet_is_expected_in_full(image_folder):
    with pytest.raises(DataError, match="expected 1,000"):
        prepare("imagenet", image_folder)


def test_an_unknown_name_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"allowed are digits, fashion, .*found 'mnist'"):
        prepare("mnist", tmp_path)
