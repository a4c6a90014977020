"""Xcode's command line tools: found and run through xcrun with a deadline, never through a shell."""

from __future__ import annotations

import platform
import shutil
from dataclasses import dataclass

from dvfl_mobile.devices import process
from dvfl_mobile.errors import DeviceError
from dvfl_mobile.wording import printable

MOST_OUTPUT_BYTES = 64 * 2**20
_MOST_SHOWN = 600
_FIND_S = 60
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
    if run_tool(["--find", "devicectl"], _FIND_S).status != 0:
        raise DeviceError("The chosen Xcode has no devicectl.", hint=_NEEDS_XCODE)


def run_tool(arguments: list[str], seconds: float) -> Ended:
    """Run `xcrun` with these arguments to its end.

    Args:
        seconds: after which it is killed, with whatever it started.

    Raises:
        LateError: it didn't end in time.
        DeviceError: it can't be started, or printed more than any tool does.
    """
    out = bytearray()
    try:
        ended = process.run(["xcrun", *arguments], seconds, out.extend, MOST_OUTPUT_BYTES)
    except OSError as error:
        raise DeviceError(f"xcrun can't be started: {error.strerror}.", hint=_NEEDS_XCODE) from error
    except process.ExpiredError:
        raise LateError(
            f"xcrun {_name(arguments)} didn't end within {seconds:.0f} s, and was ended.",
            hint="Look at the phone: it may ask something. Connect it by cable, unlock it, and run it again.",
        ) from None
    except process.TooMuchError:
        raise DeviceError(f"xcrun {_name(arguments)} printed more than any tool does.") from None
    return Ended(ended.status, bytes(out), _on_one_line(ended.errors[-_MOST_SHOWN:]))


def _on_one_line(complaints: bytes) -> str:
    lines = complaints.decode("utf-8", errors="replace").splitlines()
    return " ".join(printable(line.strip()) for line in lines if line.strip())


def _name(arguments: list[str]) -> str:
    """The command without its options: `devicectl device copy to`."""
    words = []
    for argument in arguments:
        if argument.startswith("-"):
            break
        words.append(argument)
    return " ".join(words)
