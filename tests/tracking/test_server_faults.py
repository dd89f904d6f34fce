"""A real MLflow server that dies, is slow, is full or answers with errors while a run trains.

Each time the training is what it is without tracking and waits for nothing; there is one line at
most; and when the server is well, it shows after `sync` exactly what the files say.
"""

import os
import re
import signal
import threading
import time
from collections import Counter
from itertools import cycle

import pytest
from faulty import HANG_S, PAGE, Proxy, Server
from scene import NUM_EPOCHS, Scene, figures, train, until

from posmlp.runs.watch import Watch
from posmlp.tracking import StoreUnavailable, live
from posmlp.tracking.store import CLIENT_ENV


@pytest.fixture(scope="module")
def server(tmp_path_factory, blank_database):
    server = Server(tmp_path_factory.mktemp("server"), blank_database)
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
def proxy(server):
    with Proxy(server.port) as proxy:
        yield proxy
        proxy.shutdown()


@pytest.fixture(scope="module")
def untracked(make_config, tmp_path_factory):
    """The figures of the run without tracking."""
    config, results = make_config(recipe=dict(epochs=NUM_EPOCHS)), tmp_path_factory.mktemp("none")
    train(config, results, Watch(10))
    return figures(config.folder(results))


@pytest.fixture
def scene(make_config, server, results, request, tmp_path, monkeypatch):
    monkeypatch.setattr(live, "LAST_WORD_S", HANG_S)  # enough on any machine
    study = re.sub(r"\W+", "-", request.node.name)
    config = make_config(recipe=dict(epochs=NUM_EPOCHS)).model_copy(update=dict(study=study))
    yield Scene(config, results, server, tmp_path / "errors")
    server.clear()


def test_a_slow_server_is_given_up_when_the_training_has_ended(
    scene, proxy, untracked, monkeypatch
):
    """First it takes a second for each answer, then longer than anybody waits."""
    monkeypatch.setattr(live, "LAST_WORD_S", 1)
    monkeypatch.setitem(CLIENT_ENV, "MLFLOW_HTTP_REQUEST_TIMEOUT", str(10 * HANG_S))
    training_is_over = threading.Event()

    def take_a_second(path, forward):
        time.sleep(1)
        return forward()

    def take_long(path, forward):
        training_is_over.wait()
        return forward()

    def slow_down():
        scene.wait_for_epochs(1)
        proxy.misbehave(take_a_second)

    def slow_down_more():
        scene.wait_for_epochs(2)
        proxy.misbehave(take_long)

    after = {1: slow_down, 2: slow_down_more, 3: lambda: until(lambda: proxy.num_faulty)}
    trained, ended = scene.train(proxy.address, after)
    assert (trained, ended) == (untracked, -signal.SIGALRM)
    assert scene.warning() == ""
    training_is_over.set()
    proxy.misbehave(None)
    assert scene.sync()["failed"] == 0
    scene.check_all_is_shown()


def test_a_server_that_answers_with_errors_alone(scene, proxy, untracked):
    """A page of several lines each time, and the wish to be left alone for an hour."""
    statuses = cycle([429, 507, 500, 503])  # MLflow's client shows the page of 507

    def break_down():
        scene.wait_for_epochs(1)
        proxy.misbehave(lambda path, forward: (next(statuses), PAGE))

    trained, ended = scene.train(
        proxy.address, {1: break_down, 2: lambda: until(lambda: proxy.num_faulty)}
    )
    assert (trained, ended) == (untracked, 0)
    assert "error" in scene.warning()
    with pytest.raises(StoreUnavailable) as error:
        scene.sync()
    assert "\n" not in str(error.value)
    proxy.misbehave(None)
    assert scene.sync()["failed"] == 0
    scene.check_all_is_shown()


class Moody:
    """Does what it is asked, but answers with an error every other time; not so the first batches.

    So a client that tries again makes everything twice.
    """

    def __init__(self):
        self.asked = Counter()

    def __call__(self, path, forward):
        name = path.partition("?")[0]
        self.asked[name] += 1
        if name.endswith("log-batch") and self.asked[name] <= 4:
            return 500, PAGE
        answer = forward()
        return (500, PAGE) if self.asked[name] % 2 else answer


def test_a_server_that_answers_with_errors_now_and_then(scene, proxy, untracked):
    def is_complete():
        scene.wait_for_epochs(2)
        assert ("current", "true") in scene.shown()["tags"]

    proxy.misbehave(Moody())
    trained, ended = scene.train(proxy.address, {2: is_complete}, keep_weights=True)
    assert (trained, ended) == (untracked, 0)
    points, expected = scene.points()
    assert points == expected
    assert scene.warning()
    scene.sync()  # makes two models
    proxy.misbehave(None)
    assert scene.sync()["failed"] == 0
    scene.check_all_is_shown()


@pytest.mark.parametrize("place", ["database", "artifacts"])
def test_a_full_server(scene, server, untracked, place, caplog):
    if not server.can_be_full:
        missing = "mounting a small file system needs root"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)

    def fill():
        scene.wait_for_epochs(1)
        server.fill(place)

    def is_still_shown():
        until(scene.warning) if place == "database" else scene.wait_for_epochs(2)

    trained, ended = scene.train(server.address, {1: fill, 2: is_still_shown})
    assert (trained, ended) == (untracked, 0)
    assert scene.warning()
    if place == "database":
        with pytest.raises(StoreUnavailable, match="503"):
            scene.sync()
    else:
        points, expected = scene.points()
        assert points == expected
        assert [status for _, status, *_ in scene.shown()["runs"]] == ["FINISHED"]
        assert scene.sync()["failed"] == 1
    assert all("\n" not in record.getMessage() for record in caplog.records)
    server.clear()
    assert scene.sync()["failed"] == 0
    scene.check_all_is_shown()


def test_a_server_that_dies_and_comes_back_is_shown_the_rest_while_training_runs(
    scene, server, untracked
):
    def die():
        scene.wait_for_epochs(1)
        server.kill()

    def come_back():
        until(scene.warning)
        server.start()
        scene.wait_for_epochs(2)

    trained, ended = scene.train(server.address, {1: die, 2: come_back})
    assert (trained, ended) == (untracked, 0)
    points, expected = scene.points()
    assert points == expected  # before any sync
    assert scene.sync()["failed"] == 0
    scene.check_all_is_shown()
