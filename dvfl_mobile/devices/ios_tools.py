"""Xcode's command line tools: found through xcrun, started with a deadline, and never through a shell."""

from __future__ import annotations

import os
import platform
import shutil
import signal
import subprocess
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from typing import IO

from dvfl_mobile.errors import DeviceError
from dvfl_mobile.wording import printable

MOST_OUTPUT_BYTES = 64 * 2**20
_MOST_SHOWN = 600
_FIND_S = 60
_KILL_S = 10
_NEEDS_XCODE = "Install Xcode 16.3 or later, open it once, and choose it with: xcode-select --switch XCODE.app"


class LateError(DeviceError):
    """A tool, or what it started on a device, didn't end in time."""


@dataclass(frozen=True)
class Ended:
    """A tool that ended: its exit status, what it printed, and the end of what it complained of, on one line."""

    status: int
    stdout: bytes
    complaint: str


def has_xcode() -> bool:
    """Whether this is a Mac with a tool that could reach a phone."""
    return platform.system() == "Darwin" and shutil.which("xcrun") is not None


def check_xcode() -> None:
    """Raise where nothing here can reach a phone.

    Raises:
        DeviceError: this is no Mac, or one without Xcode.
    """
    system = platform.system()
    if system != "Darwin":
        raise DeviceError(
            f"An iPhone or iPad is reached from a Mac with Xcode, and this is {system}.",
            hint="Copy the artifact's whole output folder to a Mac, and run the same command there.",
        )
    if not has_xcode():
        raise DeviceError("xcrun isn't here: no Xcode, so no iPhone or iPad can be reached.", hint=_NEEDS_XCODE)
    for tool in ("devicectl", "xcresulttool"):
        if run_tool(["--find", tool], _FIND_S).status != 0:
            raise DeviceError(f"The chosen Xcode has no {tool}.", hint=_NEEDS_XCODE)


def run_tool(arguments: list[str], seconds: float) -> Ended:
    """Run `xcrun` with these arguments to its end.

    Args:
        seconds: after which it is killed, with whatever it started.

    Raises:
        LateError: it didn't end in time.
        DeviceError: it can't be started, or printed more than any tool does.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as complaints:
        status = _status(["xcrun", *arguments], seconds, out, complaints)
        if out.tell() > MOST_OUTPUT_BYTES:
            raise DeviceError(f"xcrun {_name(arguments)} printed more than any tool does.")
        out.seek(0)
        return Ended(status, out.read(), _end_of(complaints))


def _status(command: list[str], seconds: float, out: IO[bytes], complaints: IO[bytes]) -> int:
    try:
        # A group of its own, since xcrun may start the tool beside itself.
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=complaints, start_new_session=True
        )
    except OSError as error:
        raise DeviceError(f"xcrun can't be started: {error.strerror}.", hint=_NEEDS_XCODE) from error
    try:
        status = process.wait(seconds)
    except subprocess.TimeoutExpired:
        raise LateError(
            f"xcrun {_name(command[1:])} didn't end within {seconds:.0f} s, and was ended.",
            hint="Look at the phone: it may ask something. Connect it by cable, unlock it, and run it again.",
        ) from None
    finally:
        _end(process)
    out.seek(0, os.SEEK_END)
    return status


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_KILL_S)


def _end_of(complaints: IO[bytes]) -> str:
    size = complaints.seek(0, os.SEEK_END)
    complaints.seek(max(0, size - _MOST_SHOWN))
    lines = complaints.read().decode("utf-8", errors="replace").splitlines()
    return " ".join(printable(line.strip()) for line in lines if line.strip())


def _name(arguments: list[str]) -> str:
    """The command without its options: `devicectl device copy to`."""
    words = []
    for argument in arguments:
        if argument.startswith("-"):
            break
        words.append(argument)
    return " ".join(words)
