"""A headless Chromium that is asked for what a page shows, over its DevTools protocol."""

import asyncio
import base64
import itertools
import json
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

import aiohttp

PATIENCE_S = 90
# What MLflow opens with and a reader would close: its assistant, and the banner over a saved view.
CLOSE = """
for (const label of ['Close', 'close']) {
  for (const button of document.querySelectorAll(`button[aria-label="${label}"]`)) button.click();
}
document.querySelector('[data-component-id="mlflow.assistant.chat_panel.close"]')?.click();
"""


class Browser:
    """One page of a headless Chromium; ends with its block."""

    def __init__(self, width: int = 1600, height: int = 1100) -> None:
        self.size, self.numbers = (width, height), itertools.count(1)

    def __enter__(self):
        self.profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"]
        options += [f"--user-data-dir={self.profile.name}", "--no-first-run", "--hide-scrollbars"]
        options += ["--window-size={},{}".format(*self.size), "about:blank"]
        self.process = subprocess.Popen(
            ["chromium", *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.loop = asyncio.new_event_loop()
        self.loop.run_until_complete(self._connect())
        return self

    def __exit__(self, *exception):
        self.loop.run_until_complete(self._disconnect())
        self.loop.close()
        self.process.terminate()
        self.process.wait(30)
        self.profile.cleanup()

    def open(self, address: str) -> None:
        """Go to an address; `wait_for` says when the page is there."""
        self._send("Page.navigate", url="about:blank")  # a new #... alone would load nothing
        self._send("Page.navigate", url=address)

    def text(self) -> str:
        """What can be read on the page, texts in drawings included."""
        shown = "document.body ? document.body.innerText : ''"
        drawn = "[...document.querySelectorAll('svg text')].map(t => t.textContent).join('\\n')"
        return self.evaluate(f"{shown} + '\\n' + {drawn}")

    def wait_for(self, *texts: str) -> str:
        """Return the page's text once it holds all of these."""
        deadline = time.monotonic() + PATIENCE_S
        while missing := [text for text in texts if text not in (shown := self.text())]:
            assert time.monotonic() < deadline, f"{missing} not on the page:\n{shown}"
            time.sleep(0.5)
        return shown

    def tidy(self) -> None:
        """Close what MLflow opens beside the page itself."""
        self.evaluate(CLOSE)
        time.sleep(2)

    def screenshot(self, path: Path) -> None:
        data = self._send("Page.captureScreenshot", format="png")["data"]
        Path(path).write_bytes(base64.b64decode(data))

    def evaluate(self, script: str):
        answer = self._send("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def _send(self, method: str, **arguments):
        return self.loop.run_until_complete(self._ask(method, arguments))

    async def _connect(self) -> None:
        port_file = Path(self.profile.name) / "DevToolsActivePort"
        deadline = time.monotonic() + PATIENCE_S
        while not port_file.exists() or not port_file.read_text():
            assert time.monotonic() < deadline, "Chromium does not start"
            await asyncio.sleep(0.1)
        port = port_file.read_text().splitlines()[0]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list") as answer:
            page = next(target for target in json.load(answer) if target["type"] == "page")
        self.session = aiohttp.ClientSession()
        self.socket = await self.session.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=0)

    async def _disconnect(self) -> None:
        await self.socket.close()
        await self.session.close()

    async def _ask(self, method: str, arguments: dict) -> dict:
        number = next(self.numbers)
        await self.socket.send_json({"id": number, "method": method, "params": arguments})
        while True:
            message = await self.socket.receive_json(timeout=PATIENCE_S)
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]
