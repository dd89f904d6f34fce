"""A real MLflow server behind a proxy that answers with errors while runs are synced.

When it is well again, the next sync shows exactly what the files say; no fault costs more than a
line.
"""

import getpass
import http.client
import threading
from collections import Counter
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import cycle

import pytest
from samples import RunFolder, Shown

from posmlp.tracking.store import StoreUnavailable
from posmlp.tracking.sync import sync_once
from posmlp.tracking.ui import HOST

pytestmark = pytest.mark.xdist_group("MLflow")

PAGE = b"<html>\n<h1>The server is not well</h1>\n<p>Come back later.</p>\n</html>\n"


class Proxy(BaseHTTPRequestHandler):
    """Passes requests on to a server, by way of the server's `fault`.

    A fault takes the request's path and a function that passes it on, and gives the answer.
    """

    protocol_version = "HTTP/1.1"

    def pass_on(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {n: v for n, v in self.headers.items() if n not in ("Host", "Accept-Encoding")}

        def forward():
            upstream = http.client.HTTPConnection(HOST, self.server.upstream)
            upstream.request(self.command, self.path, body, headers)
            answer = upstream.getresponse()
            return answer.status, answer.read()

        status, content = self.server.fault(self.path, forward)
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        if status in (429, 503):
            self.send_header("Retry-After", "3600")
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = pass_on  # noqa: N815

    def log_message(self, *_):
        """Not on standard error."""


@pytest.fixture
def proxy(start, results, unused_port):
    start(f"sqlite:///{results}/mlflow.db", unused_port)
    with ThreadingHTTPServer((HOST, 0), Proxy) as proxy:
        proxy.upstream = unused_port
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        yield proxy
        proxy.shutdown()


def test_a_server_that_answers_with_errors(proxy, results, monkeypatch):
    """With errors alone; then each third request of a kind is done and said to have failed."""
    for seed in range(2):
        RunFolder(results, "digits", "sgu", seed).finish(5)
    address = f"http://{HOST}:{proxy.server_port}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    statuses = cycle([429, 507, 500, 503])  # MLflow's client shows the page of 507
    proxy.fault = lambda path, forward: (next(statuses), PAGE)
    for _ in range(4):
        with pytest.raises(StoreUnavailable) as error:
            sync_once(results)
        assert "\n" not in str(error.value)
    asked = Counter()

    def moody(path, forward):
        name, answer = path.partition("?")[0], forward()
        asked[name] += 1
        return answer if asked[name] % 3 else (500, PAGE)

    proxy.fault = moody
    for _ in range(3):
        with suppress(StoreUnavailable):
            sync_once(results)
    proxy.fault = lambda path, forward: forward()
    (report,) = sync_once(results)
    assert report.damaged == {}
    shown = Shown(None, f"{getpass.getuser()}/digits", address)
    assert len(shown.runs) == 2
    for run in shown.runs:
        assert run.info.status == "FINISHED"
        for metric in ("test_top1", "lr", "epoch_s"):
            assert [step for step, *_ in shown.points(run, metric)] == list(range(5))
        files = {file.path for file in shown.client.list_artifacts(run.info.run_id)}
        assert files == {"config.yaml", "history.csv", "metrics.json", "provenance.json"}
