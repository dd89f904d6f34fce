"""The state of a run according to its folder, and the cost of reading it."""

import pytest

from posmlp.progress import state
from posmlp.progress.state import DONE, FAILED, RUNNING, STOPPED, WAITING, Watch

STEPS = {
    "nothing but the folder": ([], WAITING),
    "locked": (["begins", "lock"], RUNNING),
    "with epochs": (["begins", "lock", ("trains", 2)], RUNNING),
    "stopped": (["begins", ("trains", 2), "unlock"], STOPPED),
    "killed": (["begins", ("trains", 2), "is_killed"], STOPPED),
    "on another machine": (["begins", ("lock", "node7")], RUNNING),
    "failed": (["begins", "fails", "unlock"], FAILED),
    "finished": (["begins", ("trains", 4), "ends", "unlock"], DONE),
    "finished with other settings": ([("begins", "other"), ("trains", 4), ("ends", "o")], WAITING),
    "trains again with other settings": ([("begins", "other"), ("trains", 4), "lock"], RUNNING),
    "a damaged file": (["begins", "lock", ("write", "history.csv", "epoch,ti")], RUNNING),
}


@pytest.mark.parametrize(("steps", "expected"), STEPS.values(), ids=STEPS)
def test_the_state_of_a_run(watch, folder, steps, expected):
    for step in steps:
        name, *arguments = [step] if isinstance(step, str) else step
        getattr(folder, name)(*arguments)
    run, *others = watch.look().runs
    assert run.state == expected
    assert {other.state for other in others} == {WAITING}


def test_a_run_is_followed_from_start_to_end(watch, folder, clock):
    folder.begins()
    folder.lock()
    folder.trains(1, top1=20.0)
    run = watch.look().runs[0]
    assert (run.epochs, run.top1, run.images_per_s) == (1, 20.0, 800.0)
    folder.trains(3, top1=60.0)
    assert (watch.look().runs[0].epochs, run.top1) == (3, 60.0)
    folder.ends()
    folder.unlock()
    progress = watch.look()
    assert (progress.runs[0].state, progress.runs[0].top1) == (DONE, 97.5)
    assert progress.fraction == 0.25
    assert not progress.is_over


def test_a_run_on_another_machine_has_stopped_when_its_heartbeat_stops(watch, folder, clock):
    folder.begins()
    for beat in range(3):
        folder.lock("node7", beat=beat)
        assert watch.look().runs[0].state == RUNNING
        clock.now += 40
    clock.now += 40
    assert watch.look().runs[0].state == STOPPED


def test_a_start_counts_only_failures_of_its_own(study, tmp_path, folder):
    folder.begins()
    folder.fails("of yesterday")
    watch = Watch(study, tmp_path / "results", starting=True)
    assert not watch.look().of(FAILED)
    folder.lock()  # the file is still there when the run begins again
    assert watch.look().runs[0].state == RUNNING
    folder.fails("of today")
    assert [run.error for run in watch.look().of(FAILED)] == ["of today"]


def test_unchanged_files_are_not_read_again(watch, folder, monkeypatch):
    folder.begins()
    folder.fails()
    watch.look()
    monkeypatch.setattr(state, "read_json", lambda path: pytest.fail(f"{path} was read again"))
    assert len(watch.look().of(FAILED)) == 1


def test_time_left_is_shared_by_the_runs_in_training(watch, folder, other):
    folder.begins()
    folder.lock()
    assert watch.look().left_s is None
    folder.trains(1, epoch_s=10.0)
    # 3 epochs of this run and 4 of each of 3 others, one run at a time
    assert watch.look().left_s == 150
    other.begins()
    other.lock()
    assert watch.look().left_s == 75
