"""Settings: names that look like numbers, and files that are wrong."""

from pathlib import Path

import pytest

from posmlp.config import default_settings, read_settings
from posmlp.study import StudyError


def test_a_number_is_a_name_and_what_has_lost_its_digits_names_the_way_out():
    assert read_settings({"study": 2024, "results": 1}).study == "2024"
    with pytest.raises(StudyError, match=r"study: should be text; write a path: .*, found 1000.0"):
        read_settings({"study": 1e3})


@pytest.mark.parametrize(
    ("config", "site", "said"),
    [
        (
            "study: digits\nrun_per_gpu: 2",
            "",
            "config.yaml: run_per_gpu: unknown key; did you mean",
        ),
        (
            "study: digits",
            "slurm: {cpu: 1}",
            'site.yaml: slurm.cpu: unknown key; did you mean "cpus"',
        ),
        ("study: [", "", "config.yaml, line 1, column 9: "),
    ],
)
def test_a_wrong_file_is_named(tmp_path, monkeypatch, config, site, said):
    monkeypatch.chdir(tmp_path)
    Path("config").mkdir()
    Path("slurm").mkdir()
    Path("config/config.yaml").write_text(config)
    Path("slurm/site.yaml").write_text(site)
    with pytest.raises(StudyError, match=said):
        default_settings(cluster=bool(site))
