"""A real MLflow server that dies, is full or answers with errors while runs are synced.

When it is well again, the next sync shows exactly what the files say; no fault costs more than a
line.
"""

import getpass
import os
import re
import threading
from collections import Counter
from contextlib import suppress
from itertools import cycle

import pytest
from faulty import PAGE, Proxy, Server
from samples import RunFolder, Shown

from posmlp.tracking.store import StoreUnavailable
from posmlp.tracking.sync import sync_once, sync_results


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


@pytest.fixture
def runs(results, request, server):
    """Two finished runs of a study of the test's own."""
    study = re.sub(r"\W+", "-", request.node.name)
    yield [RunFolder(results, study, "sgu", seed).finish(5) for seed in range(2)]
    server.clear()


def sync(results, address, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    (report,) = sync_once(results)
    return report


def assert_shown(runs, server):
    """Every point once, and the files."""
    name = f"{getpass.getuser()}/{runs[0].names['study']}"
    shown = Shown(None, name, server.address)
    assert len(shown.runs) == len(runs)
    for run in shown.runs:
        assert run.info.status == "FINISHED"
        for metric in ("test_top1", "lr", "epoch_s"):
            assert [step for step, *_ in shown.points(run, metric)] == list(range(5))
        files = {file.path for file in shown.client.list_artifacts(run.info.run_id)}
        assert files == {"config.yaml", "history.csv", "metrics.json", "provenance.json"}


def test_a_server_that_answers_with_errors_alone(runs, results, proxy, server, monkeypatch):
    """A page of several lines each time, and the wish to be left alone for an hour."""
    statuses = cycle([429, 507, 500, 503])  # MLflow's client shows the page of 507
    proxy.misbehave(lambda path, forward: (next(statuses), PAGE))
    for _ in range(4):
        with pytest.raises(StoreUnavailable) as error:
            sync(results, proxy.address, monkeypatch)
        assert "\n" not in str(error.value)
    proxy.misbehave(None)
    assert sync(results, proxy.address, monkeypatch).runs.problems == {}
    assert_shown(runs, server)


def test_a_server_that_answers_with_errors_now_and_then(runs, results, proxy, server, monkeypatch):
    """It does what it is asked and then says that it failed, every third time of each kind."""
    asked = Counter()

    def moody(path, forward):
        name = path.partition("?")[0]
        asked[name] += 1
        answer = forward()
        return answer if asked[name] % 3 else (500, PAGE)

    proxy.misbehave(moody)
    for _ in range(3):
        with suppress(StoreUnavailable):
            sync(results, proxy.address, monkeypatch)
    proxy.misbehave(None)
    assert sync(results, proxy.address, monkeypatch).runs.problems == {}
    assert_shown(runs, server)


@pytest.mark.parametrize("location", ["database", "artifacts"])
def test_a_full_server(runs, results, server, location, monkeypatch):
    if not server.can_be_full:
        missing = "mounting a small file system needs root"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)
    server.fill(location)
    if location == "database":
        with pytest.raises(StoreUnavailable) as error:
            sync(results, server.address, monkeypatch)
        assert "\n" not in str(error.value)
    else:
        problems = sync(results, server.address, monkeypatch).runs.problems
        assert set(problems) == {run.path for run in runs}
        assert not any("\n" in reason for reason in problems.values())
    server.clear()
    assert sync(results, server.address, monkeypatch).runs.problems == {}
    assert_shown(runs, server)


def test_a_server_that_dies_and_comes_back(runs, results, server, monkeypatch, capsys):
    """A repeated sync goes on by itself."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
    server.kill()
    stop, found = threading.Event(), []

    def after(reports):
        found.append(len(reports))
        if found == [0]:
            server.start()
        if reports:
            stop.set()

    sync_results(results, every_s=0.01, stop=stop, after=after)
    assert found == [0, 1]
    assert capsys.readouterr().out.count("MLflow does not answer") == 1
    assert_shown(runs, server)
