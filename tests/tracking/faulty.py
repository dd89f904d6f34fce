"""MLflow's own server, which can be killed and filled up, and a proxy before it that misbehaves."""

import http.client
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from posmlp.tracking.ui import HOST, PROBE, server_command

HANG_S = 600  # what takes longer hangs, however busy the machine is
PAGE = b"<html>\n<h1>The server is not well</h1>\n<p>Come back later.</p>\n</html>\n"


class Server:
    """`mlflow server` with database and artifacts each on a file system of 8 MB, where root can
    mount one; `can_be_full` says so.
    """

    def __init__(self, folder, blank_database):
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            self.port = probe.getsockname()[1]
        self.address = f"http://{HOST}:{self.port}"
        self.places = {name: folder / name for name in ("database", "artifacts")}
        self.log = (folder / "log").open("w")
        self.mounted = []
        for place in self.places.values():
            place.mkdir()
            mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(place)]
            if os.geteuid() == 0 and not subprocess.run(mount, capture_output=True).returncode:
                self.mounted.append(place)
        self.can_be_full = len(self.mounted) == len(self.places)
        self.database = self.places["database"] / "mlflow.db"
        shutil.copy(blank_database, self.database)

    def start(self):
        uri = f"sqlite:///{self.database}"
        command, settings = server_command(uri, HOST, self.port)
        settings |= {"MLFLOW_BACKEND_STORE_URI": uri}
        settings |= {"MLFLOW_ARTIFACTS_DESTINATION": str(self.places["artifacts"])}
        self.process = subprocess.Popen(
            command,
            env=os.environ | settings,
            stdout=self.log,
            stderr=self.log,
            start_new_session=True,
        )
        probe = urllib.request.Request(
            self.address + PROBE, b'{"max_results": 1}', {"Content-Type": "application/json"}
        )
        deadline = time.monotonic() + HANG_S
        while self.process.poll() is None and time.monotonic() < deadline:
            with suppress(OSError), urllib.request.urlopen(probe, timeout=HANG_S):
                return
            time.sleep(0.2)
        raise AssertionError(f"mlflow server did not start, see {self.log.name}")

    def kill(self):
        with suppress(ProcessLookupError):  # it was killed before
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def fill(self, name):
        """Leave no byte where `name`, database or artifacts, lies."""
        with suppress(OSError), (self.places[name] / "ballast").open("wb", buffering=0) as ballast:
            while True:
                ballast.write(bytes(4096))

    def clear(self):
        for place in self.places.values():
            (place / "ballast").unlink(missing_ok=True)

    def remove(self):
        self.kill()
        self.log.close()
        for place in self.mounted:
            subprocess.run(["umount", "--lazy", str(place)], check=True)


class Proxy(ThreadingHTTPServer):
    """Passes requests on to a server, by way of `fault`.

    A fault takes the request's path and a function that passes it on, and returns the answer,
    (status, body).  `num_faulty` counts the requests that met one.
    """

    daemon_threads = True
    fault = None
    num_faulty = 0

    def __init__(self, port):
        super().__init__((HOST, 0), _Handler)
        self.upstream = port
        self.address = f"http://{HOST}:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def misbehave(self, fault):
        self.fault, self.num_faulty = fault, 0

    def handle_error(self, request, client_address):
        """Say nothing of clients that have hung up: that is what is tested."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def pass_on(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {n: v for n, v in self.headers.items() if n not in ("Host", "Accept-Encoding")}

        def forward():
            upstream = http.client.HTTPConnection(HOST, self.server.upstream, timeout=HANG_S)
            upstream.request(self.command, self.path, body, headers)
            answer = upstream.getresponse()
            return answer.status, answer.read()

        fault = self.server.fault
        if fault:
            self.server.num_faulty += 1
        status, content = fault(self.path, forward) if fault else forward()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        if status in (429, 503):
            self.send_header("Retry-After", "3600")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        """Not on standard error, where the tests look for warnings."""


for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
    setattr(_Handler, f"do_{method}", _Handler.pass_on)
