"""Facts about data sets, recorded once per folder and per requirements of a study."""

import json
from types import SimpleNamespace

import pytest

from posmlp.data.images import DataError
from posmlp.data.prepare import prepare, prepare_study
from posmlp.data.sources import DATASETS
from posmlp.study import Augment, Data


def test_facts_of_a_set_in_memory(tmp_path):
    facts = prepare(Data(name="digits"), Augment(), tmp_path)
    assert json.loads(json.dumps(facts)) == facts
    assert facts["num_images"] == {"train": 1297, "test": 500}
    assert facts["digests"] == dict(zip(("train", "test"), DATASETS["digits"].digests, strict=True))
    assert facts["digest"] == "200dc1f27942feef"
    assert (facts["num_classes"], facts["in_chans"], facts["image_size"]) == (10, 1, 8)


def test_a_study_is_prepared_again_only_if_its_data_change(make_config, tmp_path, capsys):
    record = tmp_path / "digits" / "prepared.json"

    def prepared(**data):
        prepare_study(SimpleNamespace(configs={"a": make_config(data=data)}), "unused", record)
        return capsys.readouterr().out

    assert "1,297 training and 500 test images of 10 classes" in prepared()
    assert prepared(train_fraction=0.5) == ""
    with pytest.raises(DataError, match=r"data.digest: .* with the digest 0{16}"):
        prepared(digest="0" * 16)
