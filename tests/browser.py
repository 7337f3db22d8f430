"""A real Chromium without a window, told what to do over its DevTools protocol; skips the test where there is none."""

import base64
import itertools
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from websockets.sync.client import ClientConnection, connect

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_START_S = 30.0


class Page:
    """One open page; `requests` and `errors` are what the browser has asked for and complained of so far."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._ids = itertools.count(1)
        self.requests: list[str] = []
        self.errors: list[str] = []
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Do something and wait for its result; what the browser tells meanwhile is noted."""
        number = next(self._ids)
        self._connection.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            told = json.loads(self._connection.recv(timeout=60))
            if told.get("id") == number:
                assert "error" not in told, told["error"]
                return told["result"]
            self._note(told.get("method"), told.get("params", {}))

    def _note(self, method: str, params: dict[str, Any]) -> None:
        if method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.errors.append(str(params["exceptionDetails"].get("exception", params).get("description")))
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning"):
            self.errors.append(" ".join(str(arg.get("value", "")) for arg in params["args"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.errors.append(params["entry"]["text"])

    def show(self, width: int, height: int, *, dark: bool = False, media: str = "") -> None:
        """Make the window so large and prefer a theme."""
        phone = width < 600
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        theme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media=media, features=[theme])

    def value(self, expression: str) -> Any:
        """What some JavaScript gives."""
        found = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def wait_for(self, expression: str, timeout_s: float = 60.0) -> Any:
        """The first truthy value of an expression."""
        until = time.monotonic() + timeout_s
        while not (value := self.value(expression)):
            assert time.monotonic() < until, f"never came true: {expression}; errors: {self.errors}"
            time.sleep(0.05)
        return value

    def photograph(self, path: Path, *, whole: bool = False) -> None:
        """A PNG of the window, or of the whole page."""
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))


@contextmanager
def opened(file: Path, profile: Path) -> Iterator[Page]:
    """The page of a file in a browser of its own, whose profile lies in an empty directory."""
    program = next((found for name in _NAMES if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip(f"none of {', '.join(_NAMES)} is installed")
    flags = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars")
    quiet = ("--no-first-run", "--disable-background-networking", "--disable-sync", "--disable-extensions")
    command = [program, *flags, *quiet, f"--user-data-dir={profile}", "--remote-debugging-port=0", "about:blank"]
    browser = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with connect(_address(profile, browser), max_size=None) as connection:
            page = Page(connection)
            page.call("Page.navigate", url=file.as_uri())
            yield page
    finally:
        browser.terminate()
        browser.wait(timeout=20)


def _address(profile: Path, browser: subprocess.Popen[bytes]) -> str:
    """Where the browser's only page listens: the browser chooses a free port and writes it down."""
    note, until = profile / "DevToolsActivePort", time.monotonic() + _START_S
    while not (note.is_file() and (lines := note.read_text().splitlines())):
        assert browser.poll() is None, "the browser ended at once"
        assert time.monotonic() < until, "the browser does not start"
        time.sleep(0.05)
    with urlopen(f"http://127.0.0.1:{lines[0]}/json/list", timeout=10) as answer:
        (page,) = [target for target in json.load(answer) if target["type"] == "page"]
    return str(page["webSocketDebuggerUrl"])
