"""Settings: names that look like numbers, and invalid files."""

from pathlib import Path

import pytest

from posmlp.config import default_settings, read_settings
from posmlp.study import StudyError


def test_a_number_is_a_name():  # as Snakemake parses `--config study=2024 tracking=false`
    settings = read_settings({"study": 2024, "results": 1, "tracking": "false"})
    assert (settings.study, settings.results, settings.tracking) == ("2024", "1", False)
    with pytest.raises(StudyError, match="study: should be text, found True"):
        read_settings({"study": True})


@pytest.mark.parametrize(
    ("config", "site", "expected"),
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
def test_an_invalid_file_is_named(tmp_path, monkeypatch, config, site, expected):
    monkeypatch.chdir(tmp_path)
    Path("config").mkdir()
    Path("slurm").mkdir()
    Path("config/config.yaml").write_text(config)
    Path("slurm/site.yaml").write_text(site)
    with pytest.raises(StudyError, match=expected):
        default_settings(cluster=bool(site))
