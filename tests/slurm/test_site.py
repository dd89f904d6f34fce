"""From a site file to the resources that Snakemake's plugin requests."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from posmlp.config import read_settings
from posmlp.slurm import site as module
from posmlp.slurm.site import Site, training_resources
from posmlp.study.study_error import StudyError


def resources(site: Site, gpus=1, nodes=1, on_gpus=True, at_once=1, rounds=1, submits=True):
    study = SimpleNamespace(gpus=gpus, nodes=nodes)
    return training_resources(site, study, on_gpus, at_once, rounds, submits)


@pytest.fixture(autouse=True)
def no_limit(monkeypatch):
    monkeypatch.setattr(module, "partition_minutes", lambda partition: None)


@pytest.fixture
def limit(monkeypatch, no_limit):
    """A partition with a time limit of two hours."""
    monkeypatch.setattr(module, "partition_minutes", lambda partition: 120)


def test_the_shipped_file_holds_every_key_and_only_known_ones():
    shipped = yaml.safe_load(Path("slurm/site.yaml").read_text())["slurm"]
    assert list(shipped) == list(Site.model_fields)
    Site.model_validate(shipped)


def test_a_run_on_one_gpu_asks_for_no_more_than_that():
    asked = resources(Site(partition="gpu", cpus=4, mem_gb=10.5, warning_s=60))
    runtime = asked.pop("runtime")
    assert asked == {
        "slurm_partition": "gpu",
        "mem_mb": 10500,
        "cpus_per_task": 4,
        "slurm_extra": "--signal=USR1@60",
        "gres": "gpu:1",
    }
    assert runtime(None, attempt=1) == 24 * 60


def test_several_gpus_are_counted_by_node():
    site = Site(gpu_type="h200", mem_gb=8, account="a", qos="q", constraint="c")
    asked = resources(site, gpus=8, nodes=2)
    assert (asked["slurm_account"], asked["qos"], asked["constraint"]) == ("a", "q", "c")
    assert asked["gres"] == "gpu:h200:4"
    assert asked["mem_mb"] == 32000
    assert (asked["mpi"], asked["tasks"], asked["nodes"]) == ("srun", 8, 2)
    assert asked["tasks_per_gpu"] == 0  # or the plugin would multiply tasks by GPUs


@pytest.mark.parametrize(("on_gpus", "cpus", "mem_mb"), [(True, 8, 32000), (False, 32, 128000)])
def test_runs_at_once_share_what_comes_with_a_gpu_and_have_each_their_own_without(
    on_gpus, cpus, mem_mb
):
    asked = resources(Site(cpus=8, mem_gb=32), on_gpus=on_gpus, at_once=4)
    assert (asked["cpus_per_task"], asked["mem_mb"]) == (cpus, mem_mb)
    assert asked.get("gres") == ("gpu:1" if on_gpus else None)


@pytest.mark.parametrize(
    ("hours", "rounds", "attempt", "minutes"),
    [
        *[(None, 1, 1, 120), (None, 1, 2, 120), (0.5, 1, 1, 30), (0.5, 1, 3, 90), (1.5, 1, 2, 120)],
        *[(0.25, 3, 1, 45), (1.0, 3, 1, 120), (None, 3, 1, 120)],  # runs one after the other
    ],
)
def test_the_time_grows_up_to_the_partitions_limit(limit, hours, rounds, attempt, minutes):
    runtime = resources(Site(hours=hours), rounds=rounds)["runtime"]
    assert runtime(None, attempt=attempt) == minutes


def test_more_time_than_the_partition_allows_is_refused(limit):
    with pytest.raises(StudyError, match=r"slurm.hours: 3 h exceed the 2 h .* null"):
        resources(Site(hours=3.0))


def test_a_process_inside_a_job_does_not_ask_the_controller(monkeypatch):
    monkeypatch.setattr(module, "partition_minutes", lambda partition: pytest.fail("asked"))
    resources(Site(), submits=False)


@pytest.mark.parametrize(
    ("site", "said"),
    [
        (Site(hours=0.05), r"job of 180 s \(slurm.hours\) .* must be below 120"),
        (Site(partition="p", warning_s=7150), r"of 7200 s \(partition p\) .* below 7140"),
    ],
)
def test_a_warning_that_leaves_no_time_to_train_is_refused(limit, site, said):
    with pytest.raises(StudyError, match=said):
        resources(site)
    resources(site.model_copy(update={"warning_s": 119}))


def test_options_without_a_resource_are_quoted_beside_the_signal():
    site = Site(reservation="r 1", exclude="n[7-9]", mail="me@lab.org", extra="--nice=100 -H")
    assert resources(site)["slurm_extra"] == (
        "--signal=USR1@120 --reservation='r 1' --exclude='n[7-9]' --mail-user=me@lab.org "
        "--mail-type=END,FAIL --nice=100 -H"
    )


def test_the_command_line_may_give_numbers_as_text():
    settings = read_settings({"study": "digits", "slurm": {"cpus": "4", "hours": "0.5"}})
    assert (settings.slurm.cpus, settings.slurm.hours) == (4, 0.5)
    with pytest.raises(StudyError, match=r"slurm\.extra: must not set --signal"):
        read_settings({"study": "digits", "slurm": {"extra": "--signal=TERM@60"}})
