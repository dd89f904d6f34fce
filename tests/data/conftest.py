from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from posmlp.data.folder_check import FolderExpectation

WNIDS = ("n01440764", "n01443537", "n01484850")
SMALL = FolderExpectation(num_classes=3, min_train=12, min_train_per_class=3, num_test=6)


@pytest.fixture
def image_folder(tmp_path) -> Path:
    """A complete image folder in small, as `SMALL` expects it: 3 classes, 12 + 6 images."""
    root = tmp_path / "imagenet"
    for wnid in WNIDS:
        for folder, names in (
            ("train", [f"{wnid}_{number}.JPEG" for number in (10, 9, 100, 2)]),
            ("val", [f"ILSVRC2012_val_1{wnid[-4:]}{number}.JPEG" for number in (1, 2)]),
        ):
            (root / folder / wnid).mkdir(parents=True)
            for name in names:
                (root / folder / wnid / name).write_bytes(wnid.encode())
    return root


@pytest.fixture
def small() -> FolderExpectation:
    return SMALL


@pytest.fixture
def serve(monkeypatch) -> Iterator[Callable[[Path], str]]:
    """Serve a folder on this machine; call with the folder, get the address that ends in /."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    servers = []

    def start(folder: Path) -> str:
        handler = partial(SimpleHTTPRequestHandler, directory=folder)
        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), handler))
        Thread(target=servers[-1].serve_forever, args=(0.01,), daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}/"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
