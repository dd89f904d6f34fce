"""A training with a tracker beside it, and what a server shows of it."""

import os
import re
import signal
import sqlite3
import time
from contextlib import closing, contextmanager
from pathlib import Path

from faulty import HANG_S

from posmlp.metrics import TIMES
from posmlp.runs.execute import execute
from posmlp.runs.record import read_history
from posmlp.runs.watch import Watch
from posmlp.tracking import Tracker, init_store, mirror
from posmlp.tracking.study import sync
from posmlp.training.distributed import World

NUM_EPOCHS = 5
RUNS = "runs where lifecycle_stage = 'active' and experiment_id = :experiment"
IDS = f"(select run_uuid from {RUNS})"
CONTENT = {
    "runs": f"select name, status, start_time, end_time from {RUNS}",
    "points": f"select key, step, timestamp, value from metrics where run_uuid in {IDS}",
    "latest": f"select key, step, timestamp, value from latest_metrics where run_uuid in {IDS}",
    "params": f"select key, value from params where run_uuid in {IDS}",
    "tags": f"select key, value from tags where run_uuid in {IDS}",
    "data": "select name, digest from datasets join inputs on source_id = dataset_uuid "
    f"where destination_id in {IDS}",
    "models": "select name, status from logged_models where experiment_id = :experiment "
    "and lifecycle_stage = 'active'",
    "links to models": f"select destination_type from inputs where source_id in {IDS}",
}


def content(database, experiment):
    """All that a store shows of the runs of an experiment, without ids; each table sorted."""
    with closing(sqlite3.connect(database)) as connection:
        return {
            name: sorted(connection.execute(query, {"experiment": experiment}), key=str)
            for name, query in CONTENT.items()
        }


def files(experiment):
    """The artifacts of an experiment's runs: places within the run, and bytes."""
    found = [path for path in experiment.glob("*/artifacts/**/*") if path.is_file()]
    return sorted((str(path).rpartition("/artifacts/")[2], path.read_bytes()) for path in found)


def figures(folder):
    """What tracking must not change."""
    rows = read_history(folder / "history.csv")
    weights = (folder / "model.safetensors").read_bytes()
    return [{k: v for k, v in row.items() if k not in TIMES} for row in rows], weights


class Script(Watch):
    """Does once what is written in `after` for the number of epochs that a run has done."""

    def __init__(self, history, after):
        super().__init__(checkpoint_minutes=10)
        self.history, self.after = history, dict(after)

    def asked(self):
        num_rows = len(read_history(self.history)) if self.history.exists() else 0
        self.after.pop(num_rows, lambda: None)()
        return super().asked()


def train(config, results, watch, observers=()):
    import torch

    world = World(torch.device("cpu"))
    return execute(config, results, Path("unused"), world, "repeat", watch, observers)


def until(condition):
    deadline = time.monotonic() + HANG_S
    while not condition():
        assert time.monotonic() < deadline, f"nothing has happened for {HANG_S} seconds"
        time.sleep(0.05)


@contextmanager
def errors_to(path):
    """Let standard error go to a file, which can be read while other processes write it."""
    before = os.dup(2)
    with path.open("ab") as file:
        os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)


class Scene:
    """A run of a study of its own that trains with a tracker beside it."""

    def __init__(self, config, results, server, errors):
        self.config, self.results, self.server, self.errors = config, results, server, errors
        self.folder = config.folder(results)

    def train(self, address, after, keep_weights=False):
        """Train, tracked at `address`; `after` has what happens after so many epochs.

        Returns the run's figures and how its follower ended.
        """
        self.store = init_store(self.config.study, results=self.results, uri=address)
        self.tracker = Tracker(self.folder, self.store, delay_s=0, interval_s=0.1)

        def freeze():
            self.tracker.follower.send_signal(signal.SIGSTOP)

        watch = Script(self.folder / "history.csv", {NUM_EPOCHS - 1: freeze} | after)
        with errors_to(self.errors):
            train(self.config, self.results, watch, [self.tracker])
        assert self.tracker.follower.poll() is None  # frozen, and nobody waited for it
        self.tracker.follower.send_signal(signal.SIGCONT)
        ended = self.tracker.follower.wait(HANG_S)
        trained = figures(self.folder)
        if not keep_weights:  # `sync` would need seconds to make a model of them
            (self.folder / "model.safetensors").unlink()
        return trained, ended

    def warning(self):
        """What the follower has said: nothing, or one line of ours."""
        said = self.errors.read_text()
        if said:
            line = rf"MLflow does not show {re.escape(str(self.folder))} completely \(.*\); .*\n"
            assert re.fullmatch(line, said), said
        return said

    def shown(self):
        return content(self.server.database, self.store.experiment_id)

    def wait_for_epochs(self, number):
        until(lambda: sum(key == "lr" for key, *_ in self.shown()["points"]) == number)

    def sync(self):
        return sync([self.folder], self.store, self.results / self.config.study)

    def points(self):
        """The points of curves in MLflow, and what they should be by history.csv."""
        rows = read_history(self.folder / "history.csv")
        expected = [
            (name, row["epoch"], round(row["time"] * 1000), value)
            for row in rows
            for name, value in row.items()
            if name not in ("epoch", "time") and value is not None
        ]
        return [p for p in self.shown()["points"] if p[0] in rows[0]], sorted(expected, key=str)

    def check_all_is_shown(self):
        """By the file, and by comparison with a store that never had a fault."""
        points, expected = self.points()
        assert points == expected
        well = init_store(self.config.study, results=self.results)
        mirror(self.folder, well)
        assert self.shown() == content(self.results / "mlflow.db", well.experiment_id)
        there = self.server.places["artifacts"] / self.store.experiment_id
        assert files(there) == files(self.results / "mlartifacts" / self.config.study)
        assert [status for _, status, *_ in self.shown()["runs"]] == ["FINISHED"]
