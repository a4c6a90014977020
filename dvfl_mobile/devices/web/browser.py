"""A browser of this machine, driven without a window: Chromium, or one made of it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from contextlib import suppress
from html import escape
from pathlib import Path

from dvfl_mobile.errors import DeviceError, MissingDriverError
from dvfl_mobile.spelling import option
from dvfl_mobile.wording import printable

BROWSER_VARIABLE = "DVFL_MOBILE_BROWSER"

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge")
_PLACES = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)
_MOST_SHOWN = 400
_VERSION_S = 20.0
_END_S = 5.0

# However this process ends, killed too, the pipe that it holds is closed then, and the browser ends with it.
_WATCHED = 'exec 3<&0; "$@" </dev/null & child=$!; (cat <&3 >/dev/null; kill -KILL 0) & wait "$child"'

# Nothing of its own goes to the network: no names are known to it but this machine's.
_OPTIONS = (
    "--headless=new",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
    "--disable-dev-shm-usage",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
# Where there is no GPU, its own software plays one.
_WEBGPU = ("--enable-unsafe-webgpu", "--enable-features=Vulkan,WebGPU")
_SOFTWARE = ("--use-webgpu-adapter=swiftshader",)


def find_browser() -> str | None:
    """The browser that `DVFL_MOBILE_BROWSER` names, or one that is installed; None where there is none.

    Raises:
        MissingDriverError: what the variable names isn't there.
    """
    named = os.environ.get(BROWSER_VARIABLE)
    if named:
        found = shutil.which(named)
        if found is None:
            raise MissingDriverError(
                f"{BROWSER_VARIABLE} names {named}, and there is no such program.", hint="Correct it, or unset it."
            )
        return found
    return next((found for name in (*_NAMES, *_PLACES) if (found := shutil.which(name))), None)


def the_browser() -> str:
    """As `find_browser`.

    Raises:
        MissingDriverError: there is none.
    """
    found = find_browser()
    if found is None:
        raise MissingDriverError(
            "There is no Chromium here, nor a browser made of it.",
            hint=f"On Debian: apt install chromium; or name one with {BROWSER_VARIABLE}. Or open the page in any "
            f"browser, here or on a phone: {option('address', '127.0.0.1')}, or an address that the phone reaches.",
        )
    return found


def version_of(browser: str) -> str:
    """What a browser calls itself, such as `Chromium 156.0.8078.108`; its file's name where it doesn't say."""
    with suppress(OSError, subprocess.TimeoutExpired, IndexError):
        ended = subprocess.run(
            [browser, "--version"], stdin=subprocess.DEVNULL, capture_output=True, timeout=_VERSION_S, check=False
        )
        words = ended.stdout.decode("utf-8", errors="replace").splitlines()[-1].split()
        last = next(place for place, word in enumerate(words) if word[0].isdigit())
        return str(printable(" ".join(words[: last + 1])))
    return Path(browser).name


class Browser:
    """A browser that shows one page, without a window; a profile of its own goes with it.

    Args:
        program: its path.
        address: of the page.
        webgpu: whether the page is to have WebGPU.
        software: whether the browser's own software is to play the GPU.

    Raises:
        DeviceError: it can't be started.
    """

    def __init__(self, program: str, address: str, *, webgpu: bool, software: bool) -> None:
        self._program = program
        self._folder = tempfile.TemporaryDirectory(prefix="dvfl-mobile-", ignore_cleanup_errors=True)
        folder = Path(self._folder.name)
        # Other users see a process's arguments, and the address holds a secret.
        start = folder / "start.html"
        start.write_text(f'<meta http-equiv="refresh" content="0; url={escape(address)}">\n', encoding="ascii")
        command = [program, *_OPTIONS, f"--user-data-dir={folder / 'profile'}"]
        command += [*(_WEBGPU if webgpu else ()), *(_SOFTWARE if webgpu and software else ())]
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            command.append("--no-sandbox")  # Chromium has none for root, and refuses to start
        self._said = (folder / "said").open("w+b")
        try:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", _WATCHED, "sh", *command, start.as_uri()],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=self._said,
                start_new_session=True,
            )
        except OSError as error:
            self._said.close()
            self._folder.cleanup()
            raise DeviceError(f"{program} can't be started: {error.strerror}.") from error

    def problem(self) -> str:
        """Why it will show nothing more; empty as long as it runs."""
        status = self._process.poll()
        if status is None:
            return ""
        self._said.seek(0)
        lines = self._said.read().decode("utf-8", errors="replace").strip().splitlines()
        last = f", after: {printable(lines[-1][:_MOST_SHOWN])}" if lines else ""
        return f"{self._program} ended with {status}{last}"

    def close(self) -> None:
        """End it, and all that it started."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_END_S)
                break
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)  # what it started, and left behind
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._said.close()
        self._folder.cleanup()
