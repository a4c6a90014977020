"""A real Chromium without a window, driven by its DevTools protocol over a pipe: pages, their state, their looks."""

from __future__ import annotations

import base64
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from dvfl_mobile.devices.web.browser import _OPTIONS

_ANSWER_S = 60.0
# The protocol is spoken on 3 and 4; what has these numbers by chance is moved out of the way first.
_NUMBERED = """
import os, sys
taken, given = (os.dup2(int(each), 90 + place) for place, each in enumerate(sys.argv[1:3]))
os.dup2(taken, 3)
os.dup2(given, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


class PageError(AssertionError):
    """A page threw, or did not do in time what it was waited for."""


class Devtools:
    """One tab.

    Attributes:
        said: what its console, and its uncaught errors, said.
        requests: the address of each request that it made.
    """

    def __init__(self, process: subprocess.Popen[bytes], read: int, write: int) -> None:
        self.said: list[str] = []
        self.requests: list[str] = []
        self._process, self._read, self._write = process, read, write
        self._rest, self._number, self._tab = b"", 0, ""
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._tab = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol, and what it gives."""
        self._number += 1
        asked = {"id": self._number, "method": method, "params": parameters}
        if self._tab:
            asked["sessionId"] = self._tab
        os.write(self._write, json.dumps(asked).encode() + b"\0")
        until = time.monotonic() + _ANSWER_S
        while True:
            message = self._message(until)
            if message.get("id") == self._number:
                if "error" in message:
                    raise PageError(f"{method}: {message['error']}")
                return dict(message["result"])

    def open(self, address: str) -> None:
        """Go there, and wait until its scripts have run."""
        self.ask("Page.navigate", url=address)
        self.wait("document.readyState === 'complete'")

    def get(self, expression: str) -> Any:
        """What an expression gives in the page; a promise is waited for."""
        given = self.ask("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in given:
            details = given["exceptionDetails"]
            raise PageError(details.get("exception", {}).get("description") or details["text"])
        return given["result"].get("value")

    def wait(self, expression: str, seconds: float = 30.0) -> Any:
        """Until an expression gives what counts as true."""
        until = time.monotonic() + seconds
        while not (found := self.get(expression)):
            if time.monotonic() > until:
                shown = self.get("document.body?.innerText")
                raise PageError(f"never: {expression}\nthe page shows: {shown}\nit said: {self.said}")
            time.sleep(0.05)
        return found

    def look(self, path: Path, width: int, height: int, *, dark: bool = False, scale: float = 1.0) -> None:
        """A picture of what a screen of this size shows."""
        self.screen(width, height, dark=dark, scale=scale)
        data = self.ask("Page.captureScreenshot", format="png")["data"]
        path.write_bytes(base64.b64decode(data))

    def screen(self, width: int, height: int, *, dark: bool = False, scale: float = 1.0) -> None:
        """Give the page a screen of this size."""
        size = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": width < 600 or height < 500}
        self.ask("Emulation.setDeviceMetricsOverride", **size)
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.ask("Emulation.setEmulatedMedia", features=features)

    def press(self, key: str) -> None:
        """Press and release a key, by its name, such as `Tab` or `p`."""
        text = {"Enter": "\r", " ": " "}.get(key, key if len(key) == 1 else "")
        code = {"Tab": 9, "Enter": 13, "Escape": 27, " ": 32}.get(key, ord(key.upper()) if len(key) == 1 else 0)
        event = {"key": key, "windowsVirtualKeyCode": code}
        self.ask("Input.dispatchKeyEvent", type="keyDown", text=text, **event)
        self.ask("Input.dispatchKeyEvent", type="keyUp", **event)

    def _message(self, until: float) -> dict[str, Any]:
        while b"\0" not in self._rest:
            if not select.select([self._read], [], [], max(0.0, until - time.monotonic()))[0]:
                raise PageError(f"the browser doesn't answer; the page said: {self.said}")
            data = os.read(self._read, 2**20)
            if not data:
                raise PageError(f"the browser ended with {self._process.wait(5)}; the page said: {self.said}")
            self._rest += data
        first, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(first)
        self._note(message.get("method", ""), message.get("params", {}))
        return message

    def _note(self, method: str, given: dict[str, Any]) -> None:
        if method == "Network.requestWillBeSent":
            self.requests.append(given["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            details = given["exceptionDetails"]
            self.said.append(details.get("exception", {}).get("description") or details["text"])
        elif method == "Runtime.consoleAPICalled":
            self.said.append(" ".join(str(each.get("value", each.get("description"))) for each in given["args"]))
        elif method == "Log.entryAdded":
            self.said.append(given["entry"]["text"])


@contextmanager
def devtools(program: Path, options: Sequence[str] = ()) -> Iterator[Devtools]:
    """A browser with one empty tab; more options as its command line takes them."""
    asked, heard = os.pipe(), os.pipe()

    with tempfile.TemporaryDirectory(prefix="dvfl-mobile-", ignore_cleanup_errors=True) as folder:
        command = [str(program), *_OPTIONS, "--remote-debugging-pipe", f"--user-data-dir={folder}", *options]
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            command.append("--no-sandbox")
        process = subprocess.Popen(
            [sys.executable, "-c", _NUMBERED, str(asked[0]), str(heard[1]), *command],
            pass_fds=(asked[0], heard[1]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(asked[0])
        os.close(heard[1])
        try:
            yield Devtools(process, heard[0], asked[1])
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)
            os.close(asked[1])
            os.close(heard[0])
