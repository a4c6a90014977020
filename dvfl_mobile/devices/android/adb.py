"""The adb client: a deadline on every call; its output is checked, since its exit status can't be trusted."""

from __future__ import annotations

import os
import re
import secrets
import shlex
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from dvfl_mobile.devices import process
from dvfl_mobile.devices.android.complaints import (
    READY,
    STATES,
    Trouble,
    lost,
    said_trouble,
    shown,
    silent,
    state_trouble,
)
from dvfl_mobile.devices.android.shell import Lines
from dvfl_mobile.devices.process import ExpiredError, TooMuchError
from dvfl_mobile.errors import DeviceError, DvflMobileError, MissingDependencyError
from dvfl_mobile.wording import plural

VARIABLE = "DVFL_MOBILE_ADB"
ANSWER_S = 20.0
MOST_TEXT_BYTES = 4 * 2**20
MOST_STREAM_BYTES = 64 * 2**20
_STATE_S = 5.0
# A serial number may hold blanks: mDNS puts a number behind a name that is taken, `adb-XXXX (2)._adb-tls-connect._tcp`.
# So a state ends it, with nothing but properties behind that; first a state that is known, then any word.
_KNOWN = "|".join((READY, *STATES))
_LISTED = tuple(
    re.compile(rf"(?P<serial>\S.*?)\s+(?P<state>{state})(?P<rest>{rest})")
    for state, rest in (
        (_KNOWN, r"|\s+(?:usb|product|model|device|transport_id):.*"),
        ("no permissions", r"\s+\(.*"),
        (r"\S+", r"(?:\s+[^\s:]+:\S*)*"),
        (r"\S+", r".*"),
    )
)


class MissingAdbError(MissingDependencyError):
    """adb isn't installed; no extra of ours brings it."""

    def __init__(self, problem: str) -> None:
        DvflMobileError.__init__(
            self,
            problem,
            hint="Install Android's platform-tools (on Debian and Ubuntu: sudo apt install adb; on macOS: brew install "
            f"android-platform-tools), or name the program with {VARIABLE}.",
        )
        self.package, self.extra = "adb", ""


class SilentDeviceError(DeviceError):
    """A device gave no answer until the deadline: asking it again would take as long again."""


@dataclass(frozen=True)
class Listed:
    """A line of `adb devices -l`; `model` is empty where adb doesn't know it."""

    serial: str
    state: str
    model: str

    @property
    def is_ready(self) -> bool:
        return self.state == READY


def adb_program() -> str:
    """The path of adb.

    Raises:
        MissingAdbError: it isn't installed, or the variable names no program.
    """
    named = os.environ.get(VARIABLE, "")
    found = shutil.which(named or "adb")
    if found is None:
        raise MissingAdbError(
            f"{VARIABLE} names {named}, which is no program." if named else "adb isn't installed, or isn't on PATH."
        )
    return found


def listed_devices(seconds: float = ANSWER_S) -> list[Listed]:
    """Every device that adb sees, in whatever state.

    Raises:
        DeviceError: adb's server doesn't answer.
        MissingAdbError: adb isn't installed.
    """
    program, out = adb_program(), bytearray()
    try:
        ended = process.run([program, "devices", "-l"], seconds, out.extend, MOST_TEXT_BYTES)
    except OSError as error:
        raise _unstartable(program, error) from error
    except ExpiredError:
        raise _no_list(f"it didn't answer within {plural(round(seconds), 'second')}") from None
    except TooMuchError:
        raise _no_list("it printed more than any list") from None
    if ended.status != 0:
        raise _no_list(shown(_text(ended.errors)))
    return parse_devices(_text(bytes(out)))


def parse_devices(text: str) -> list[Listed]:
    """The devices in what `adb devices -l` prints."""
    _, _, below = text.partition("List of devices attached")
    return [_listed(found) for found in map(_understood, below.splitlines()) if found]


@dataclass(frozen=True)
class Answer:
    """How a script ended on a device: its exit status, 128 and more for a signal; and the end of its stderr."""

    status: int
    errors: str


@dataclass(frozen=True)
class Adb:
    """One device, as adb reaches it.

    Args:
        answer_s: how long anything may take that is done at once.
    """

    program: str
    serial: str
    answer_s: float = ANSWER_S

    @property
    def name(self) -> str:
        """The device's name, as it is asked for."""
        return f"android:{self.serial}"

    def shell(self, script: str, doing: str, seconds: float | None = None) -> tuple[int, str]:
        """Run a script in the device's shell.

        Args:
            doing: for errors, such as `making a folder on it`.
            seconds: None: as long as anything may take that is done at once.

        Returns:
            The script's exit status, and what it wrote to stdout.

        Raises:
            DeviceError: the device didn't run it to its end.
        """
        lines: list[str] = []
        answer = self.stream(script, doing, self.answer_s if seconds is None else seconds, lines.append)
        return answer.status, "\n".join(lines)

    def stream(self, script: str, doing: str, seconds: float, on_line: Callable[[str], None]) -> Answer:
        """As `shell`, but each line goes to `on_line` as it comes."""
        # The device's own shell says when the script has ended, and how: adb says 0 after a device that went away, and
        # devices before Android 7 don't pass exit codes at all.
        marker = f"dvfl-mobile-{secrets.token_hex(8)}"
        lines = Lines(marker, on_line)
        whole = f"(\n{script}\n)\nprintf '\\n%s %s\\n' {marker} \"$?\""
        errors = self._run(["shell", whole], doing, seconds, lines.feed, MOST_STREAM_BYTES, lines.has_ended)
        status = lines.status()
        if status is None:
            raise self._broken_off(doing, errors)
        return Answer(status, errors)

    def push(self, source: Path, remote: str, seconds: float) -> None:
        """Copy a file to the device. That it returns means nothing: look at what came there.

        Raises:
            DeviceError: adb says that something went wrong, or doesn't end.
        """
        doing = f"pushing {source.name}"
        said = bytearray()
        command = ["push", str(source.resolve()), remote]
        errors = self._run(command, doing, seconds, said.extend, MOST_TEXT_BYTES)
        # On success too adb names the file, and a name may hold anything: only its own complaints are looked at.
        lines = (*_text(bytes(said)).splitlines(), *errors.splitlines())
        complaints = [line for line in lines if line.startswith(("adb: error", "error:"))]
        if complaints:
            raise self._broken_off(doing, "\n".join(complaints))

    def read(self, remote: str, most_bytes: int, seconds: float) -> bytes:
        """The bytes of a file, or what came of them: look at whether they are all.

        Raises:
            DeviceError: there are more than `most_bytes`, or adb doesn't end.
        """
        data = bytearray()
        self._run(["exec-out", f"cat {remote}"], f"reading {remote}", seconds, data.extend, most_bytes)
        return bytes(data)

    @contextmanager
    def port_from_there(self, port: int) -> Iterator[None]:
        """Have a port of the device lead to the same port of this machine, until the block ends.

        Raises:
            DeviceError: it doesn't lead there.
        """
        ports, doing = f"tcp:{port}", f"leading its port {port} to this computer"
        listed = bytearray()
        said = self._run(["reverse", ports, ports], doing, self.answer_s, bytearray().extend, MOST_TEXT_BYTES)
        said += self._run(["reverse", "--list"], doing, self.answer_s, listed.extend, MOST_TEXT_BYTES)
        if "cannot bind" in said:
            taken = Trouble(f"has a program of its own on port {port}", "Run it again with another port.")
            raise self.error(taken)
        if f"{ports} {ports}" not in _text(bytes(listed)):
            raise self._broken_off(doing, said)
        try:
            yield
        finally:
            # A phone that was unplugged has forgotten it.
            with suppress(DeviceError):
                self._run(["reverse", "--remove", ports], doing, _STATE_S, bytearray().extend, MOST_TEXT_BYTES)

    def error(self, trouble: Trouble, kind: type[DeviceError] = DeviceError) -> DeviceError:
        """The error that this device is in trouble."""
        return kind(f"{self.name} {trouble.problem}.", hint=hint_for(self.serial, trouble))

    def _run(
        self,
        arguments: list[str],
        doing: str,
        seconds: float,
        on_bytes: Callable[[bytes], None],
        most_bytes: int,
        is_enough: Callable[[], bool] = lambda: False,
    ) -> str:
        """Call adb; what it said on stderr."""
        try:
            command = [self.program, "-s", self.serial, *arguments]
            return _text(process.run(command, seconds, on_bytes, most_bytes, is_enough).errors)
        except OSError as error:
            raise _unstartable(self.program, error) from error
        except ExpiredError:
            raise self.error(silent(doing, seconds), SilentDeviceError) from None
        except TooMuchError:
            self._flooded(doing, most_bytes)

    def _flooded(self, doing: str, most_bytes: int) -> NoReturn:
        raise self.error(
            Trouble(f"gave more than {most_bytes} bytes while {doing}", "Look at what else uses it; run it again.")
        ) from None

    def _broken_off(self, doing: str, said: str) -> DeviceError:
        """Why something that began on the device didn't end: what adb said of it, or what it says of the device now."""
        trouble = said_trouble(said, doing) or self._state_trouble() or lost(doing)
        error = self.error(trouble)
        if said.strip():
            error.add_note(f"adb said: {shown(said)}")
        return error

    def _state_trouble(self) -> Trouble | None:
        try:
            listed = {one.serial: one for one in listed_devices(_STATE_S)}
        except DvflMobileError:
            return None
        if self.serial not in listed:
            return said_trouble("not found", "")
        one = listed[self.serial]
        return None if one.is_ready else state_trouble(one.state)


def _understood(line: str) -> re.Match[str] | None:
    return next(filter(None, (pattern.fullmatch(line.strip()) for pattern in _LISTED)), None)


def hint_for(serial: str, trouble: Trouble) -> str:
    """What to do about a device, with commands that a shell takes as they stand."""
    return trouble.hint.replace("SERIAL", shlex.quote(serial))


def _listed(found: re.Match[str]) -> Listed:
    properties = dict(word.split(":", 1) for word in found["rest"].split() if ":" in word)
    return Listed(shown(found["serial"]), shown(found["state"]), shown(properties.get("model", "").replace("_", " ")))


def _unstartable(program: str, error: OSError) -> MissingAdbError:
    return MissingAdbError(f"{program} can't be started: {error.strerror}.")


def _no_list(why: str) -> DeviceError:
    return DeviceError(f"adb can't list its devices: {why}.", hint="Restart its server: adb kill-server")


def _text(data: bytes) -> str:
    return data.decode("utf-8", errors="replace")
