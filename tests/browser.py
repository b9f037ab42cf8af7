"""A headless Chromium, driven by chromedriver over WebDriver (w3.org/TR/webdriver2)."""

import base64
import json
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
DRIVER = shutil.which("chromedriver")
OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--disable-dev-shm-usage",
)
KEYS = {"Enter": "\ue007", "Escape": "\ue00c", "ArrowLeft": "\ue012", "ArrowRight": "\ue014"}


class Browser:
    """One window.

    Args:
        address: of the WebDriver session.
        downloads: folder where saved files go.
    """

    def __init__(self, address: str, downloads: Path) -> None:
        self._address = address
        self.downloads = downloads

    def open(self, page: Path) -> None:
        _send(f"{self._address}/url", {"url": page.absolute().as_uri()})

    def reload(self) -> None:
        _send(f"{self._address}/refresh", {})

    def run(self, script: str, *arguments: object) -> Any:
        """What JavaScript returns; it sees the arguments as `arguments`."""
        return _send(f"{self._address}/execute/sync", {"script": script, "args": [*arguments]})

    def press(self, *keys: str) -> None:
        """Press keys one after another: letters, or names in `KEYS`."""
        steps = [
            {"type": kind, "value": KEYS.get(key, key)}
            for key in keys
            for kind in ("keyDown", "keyUp")
        ]
        actions = [{"type": "key", "id": "keyboard", "actions": steps}]
        _send(f"{self._address}/actions", {"actions": actions})

    def text(self, selector: str) -> str:
        return str(self.run("return document.querySelector(arguments[0]).innerText", selector))

    def click(self, selector: str) -> None:
        self.run("document.querySelector(arguments[0]).click()", selector)

    def resize(self, width: int, height: int) -> None:
        _send(f"{self._address}/window/rect", {"width": width, "height": height})

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(_send(f"{self._address}/screenshot")))

    def saved(self, name: str) -> Path:
        """The file that the page has saved, once it is there whole."""
        script = """
            const done = arguments[arguments.length - 1];
            setTimeout(done, 50);
        """
        path = self.downloads / name
        for _ in range(200):
            if path.exists() and not list(self.downloads.glob("*.crdownload")):
                return path
            _send(f"{self._address}/execute/async", {"script": script, "args": []})
        raise AssertionError(f"{name} was not saved")


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """A browser with a new profile in `folder`."""
    assert DRIVER is not None
    downloads = folder / "downloads"
    downloads.mkdir()
    process = subprocess.Popen([DRIVER, "--port=0"], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        port = next(
            line.rpartition("port ")[2].strip(" .\n")
            for line in process.stdout
            if "started successfully" in line
        )
        chrome = {
            "binary": CHROMIUM,
            "args": [*OPTIONS, f"--user-data-dir={folder / 'profile'}"],
            "prefs": {"download.default_directory": str(downloads)},
        }
        asked = {"capabilities": {"alwaysMatch": {"goog:chromeOptions": chrome}}}
        session = _send(f"http://127.0.0.1:{port}/session", asked)["sessionId"]
        address = f"http://127.0.0.1:{port}/session/{session}"
        try:
            yield Browser(address, downloads)
        finally:
            _send(address, method="DELETE")
    finally:
        process.kill()
        process.communicate()


def _send(address: str, content: object = None, method: str | None = None) -> Any:
    body = None if content is None else json.dumps(content).encode()
    request = urllib.request.Request(address, body, method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=60) as answer:
        return json.load(answer)["value"]
