"""What a site file becomes: the resources that Snakemake's plugin turns into a request."""

from pathlib import Path

import pytest
import yaml

from posmlp.config import read_settings
from posmlp.slurm import site as module
from posmlp.slurm.site import Site, training_resources
from posmlp.study.study_error import StudyError


def resources(site: Site, gpus=1, nodes=1, on_gpus=True, runs_per_gpu=1, submits=True):
    return training_resources(site, gpus, nodes, on_gpus, runs_per_gpu, submits)


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
    asked = resources(Site(gpu_type="h200", mem_gb=8), gpus=8, nodes=2)
    assert asked["gres"] == "gpu:h200:4"
    assert asked["mem_mb"] == 32000
    assert (asked["mpi"], asked["tasks"], asked["nodes"]) == ("srun", 8, 2)
    assert asked["tasks_per_gpu"] == 0  # or the plugin would multiply tasks by GPUs


def test_on_cpus_no_gpu_is_asked_for():
    assert "gres" not in resources(Site(gpu_type="h200"), on_gpus=False)


@pytest.fixture
def shards(monkeypatch):
    """A partition with a node of four GPUs and as many shards as are asked for here."""

    def cut(number):
        monkeypatch.setattr(module, "installed", lambda: True)
        monkeypatch.setattr(module, "gpus_and_shards", lambda partition: [(4, number), (0, 0)])

    return cut


@pytest.mark.parametrize(("runs_per_gpu", "asked"), [(2, 4), (3, 3), (8, 1)])
def test_a_run_that_shares_a_gpu_asks_for_its_part(shards, runs_per_gpu, asked):
    shards(32)
    request = resources(Site(cpus=8, mem_gb=32), runs_per_gpu=runs_per_gpu)
    assert request["gres"] == f"shard:{asked}"
    assert request["cpus_per_task"] == 8 // runs_per_gpu
    assert request["mem_mb"] == pytest.approx(32000 / runs_per_gpu, abs=1)


@pytest.mark.parametrize(
    ("number", "said"),
    [(0, r"has no GPUs with shards.*runs_per_gpu=1"), (8, "has 2 shards per GPU")],
)
def test_more_runs_than_shards_are_refused_before_they_wait_for_ever(shards, number, said):
    shards(number)
    with pytest.raises(StudyError, match=said):
        resources(Site(partition="gpu"), runs_per_gpu=4)


def test_shards_have_no_type(shards):
    shards(32)
    with pytest.raises(StudyError, match=r"slurm.gpu_type: h200 .* constraint"):
        resources(Site(gpu_type="h200"), runs_per_gpu=4)


def test_names_that_are_null_are_left_to_the_cluster():
    names = {"slurm_partition", "slurm_account", "qos", "constraint"}
    assert not names & set(resources(Site()))
    site = Site(partition="p", account="a", qos="q", constraint="c")
    assert names <= set(resources(site))


@pytest.mark.parametrize(
    ("hours", "attempt", "minutes"),
    [(None, 1, 120), (None, 2, 120), (0.5, 1, 30), (0.5, 3, 90), (1.5, 2, 120)],
)
def test_the_time_grows_by_attempt_up_to_the_partitions_limit(limit, hours, attempt, minutes):
    assert resources(Site(hours=hours))["runtime"](None, attempt=attempt) == minutes


def test_more_time_than_the_partition_allows_is_refused(limit):
    with pytest.raises(StudyError, match=r"slurm.hours: 3 h exceed the 2 h .* null"):
        resources(Site(hours=3.0))


@pytest.mark.parametrize("name", ["partition_minutes", "gpus_and_shards"])
def test_a_process_inside_a_job_does_not_ask_the_controller(monkeypatch, name):
    monkeypatch.setattr(module, name, lambda partition: pytest.fail("asked"))
    resources(Site(), runs_per_gpu=4, submits=False)


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
    config = {"study": "digits", "tracking": "false", "slurm": {"cpus": "4", "hours": "0.5"}}
    settings = read_settings(config)
    assert (settings.tracking, settings.slurm.cpus, settings.slurm.hours) == (False, 4, 0.5)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("cpus", 0, "slurm.cpus"),
        ("gpus", 1, "slurm.gpus"),
        ("mem_gb", "much", "slurm.mem_gb"),
        ("extra", "--signal=TERM@60", "slurm.extra: must not set --signal"),
    ],
)
def test_a_wrong_key_is_named(key, value, said):
    with pytest.raises(StudyError, match=said):
        read_settings({"study": "digits", "slurm": {key: value}})
