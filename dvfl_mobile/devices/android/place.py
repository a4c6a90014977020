"""A private working folder on a device behind adb, and the programs that run in it."""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dvfl_mobile.devices.android.adb import Adb, Answer, SilentDeviceError
from dvfl_mobile.devices.android.claims import OWNER, PREFIX, Claim, Found, is_abandoned, is_name
from dvfl_mobile.devices.android.complaints import Trouble, shown
from dvfl_mobile.devices.harness.place import status_of
from dvfl_mobile.errors import DeviceError
from dvfl_mobile.files import sha256_of
from dvfl_mobile.wording import plural

BASE = "/data/local/tmp"
_BYTES_PER_S = 2**20
_KILL_S = 5.0
_NAME = re.compile("[A-Za-z0-9_+][A-Za-z0-9_.+-]*")
_SIZE_AND_HASH = re.compile(r"(\d{1,15}) ([0-9a-f]{64})\b")
_PID = "program.pid"
_AGAIN = "Run it again; if that doesn't help, look at the cable, and at the device's storage."


class AdbPlace:
    """A private folder below `/data/local/tmp`; `opened` makes and removes it.

    Once the device has fallen silent, every further call fails at once, with the same error.
    """

    def __init__(self, adb: Adb, claim: Claim) -> None:
        self._adb, self._claim = adb, claim
        self._folder = f"{BASE}/{claim.name}"
        self._silence: SilentDeviceError | None = None

    @classmethod
    @contextmanager
    def opened(cls, adb: Adb) -> Iterator[AdbPlace]:
        """A new folder, which is removed in the end, with whatever still runs in it.

        What crashed runs left on the device is removed first.

        Raises:
            DeviceError: the device can't be reached, or has no such place.
            OutputError: this user's cache folder can't be written.
        """
        claim = Claim()
        try:
            _sweep(adb)
            place = cls(adb, claim)
            try:
                place._make()
                yield place
            finally:
                place._close()
        finally:
            claim.release()

    def put(self, source: Path, name: str, *, executable: bool = False) -> None:
        """Copy a file there under `name`: whole, its size and sha256 checked on the device, or not at all.

        Raises:
            DeviceError: the device didn't take it.
        """
        path, doing = self._path(name), f"copying {name} to it"
        partial = f"{path}.partial"
        size_bytes, sha256 = source.stat().st_size, sha256_of(source)
        seconds = self._adb.answer_s + size_bytes / _BYTES_PER_S
        mode = "700" if executable else "600"
        script = f"""
set -- $(wc -c <{partial}) $(sha256sum <{partial})
echo "$1 $2"
[ "$1 $2" = "{size_bytes} {sha256}" ] && chmod {mode} {partial} && mv -f {partial} {path}"""
        try:
            with self._listening():
                self._adb.push(source, partial, seconds)
                status, said = self._adb.shell(script, doing, seconds)
            if status != 0 or said.strip() != f"{size_bytes} {sha256}":
                raise self._error(_not_arrived(name, size_bytes, said), _AGAIN)
        except BaseException:
            with suppress(DeviceError):
                self._shell(f"rm -f {partial}", "cleaning up", _KILL_S)
            raise

    def run(
        self,
        program: str,
        arguments: tuple[str, ...],
        seconds: float,
        on_line: Callable[[str], None],
        starter: tuple[str, ...] = (),
    ) -> int:
        """Run a program of the folder there, to its end; each line of its stdout goes to `on_line` as it comes.

        It gets no library by the device's environment but those of the folder.

        Returns:
            Its exit status, negative for a signal.

        Raises:
            DeviceError: the device went away before it had ended, or the deadline passed; it is ended where it can be.
        """
        self._path(program)
        heard: list[str] = []

        def hear(line: str) -> None:
            heard[:] = [line]
            on_line(line)

        # The process that tells its number becomes the program. The device's own programs, its shell the last of them,
        # would fail with the folder's C library.
        command = shlex.join([*(f"./{name}" for name in starter[:1]), *starter[1:], f"./{program}", *arguments])
        libraries = f"unset LD_PRELOAD; LD_LIBRARY_PATH={self._folder}; export LD_LIBRARY_PATH"
        start = f"echo $$ >{_PID} && {{ {libraries}; exec {command}; }}"
        script = f"""
cd {self._folder} && touch {OWNER} || exit 125
exec sh -c {shlex.quote(start)}"""
        answer = self._ended(program, script, seconds, hear)
        if answer.status != 0 and not heard:
            raise self._error(f"can't start {program}: {shown(answer.errors) or answer.status}", _AGAIN)
        return status_of(answer.status)

    def get(self, name: str, most_bytes: int) -> bytes:
        """The bytes of a file there.

        Raises:
            DeviceError: it isn't there, or is larger, or changed on its way.
        """
        path, doing = self._path(name), f"reading {name}"
        seconds = self._adb.answer_s + most_bytes / _BYTES_PER_S
        script = f"[ -f {path} ] && echo $(wc -c <{path}) $(sha256sum <{path})"
        status, said = self._shell(script, doing, seconds)
        found = _SIZE_AND_HASH.match(said)
        if status != 0 or found is None:
            raise self._error(f"has no {name} to read", _AGAIN)
        if int(found[1]) > most_bytes:
            raise self._error(
                f"holds a {name} of {found[1]} bytes, more than the {most_bytes} that it may have", _AGAIN
            )
        with self._listening():
            data = self._adb.read(path, most_bytes, seconds)
        if len(data) != int(found[1]) or hashlib.sha256(data).hexdigest() != found[2]:
            raise self._error(f"gave other bytes of {name} than it holds", _AGAIN)
        return data

    def remove(self, name: str) -> None:
        """Remove a file there; nothing happens if it is gone.

        Raises:
            DeviceError: the device doesn't do it.
        """
        status, said = self._shell(f"rm -f {self._path(name)} 2>&1", f"removing {name}")
        if status != 0:
            raise self._error(f"can't remove {name}: {shown(said)}", _AGAIN)

    def _ended(self, program: str, script: str, seconds: float, on_line: Callable[[str], None]) -> Answer:
        """How a program ended; if this is left otherwise, it is ended on the device, as far as that can be reached."""
        self._check_silence()
        try:
            return self._adb.stream(script, f"running {program}", seconds, on_line)
        except SilentDeviceError:
            # A device that can end the program isn't silent: the program is slow.
            self._kill()
            late = f"didn't end {program} within {plural(round(seconds), 'second')}, so it was ended"
            raise self._error(late, "Ask for fewer runs.") from None
        except BaseException:
            with suppress(DeviceError):
                self._kill()
            raise

    def _kill(self) -> None:
        self._shell(_killing(self._folder), "ending a program", _KILL_S)

    def _make(self) -> None:
        script = f"""
exec 2>&1
umask 077
mkdir -p {BASE} && mkdir {self._folder} && echo {self._claim.host} >{self._folder}/{OWNER}"""
        status, said = self._shell(script, "making a folder on it")
        if status != 0:
            raise self._error(f"has no place for programs: {shown(said)}", f"Look at {BASE} with: adb shell")

    def _close(self) -> None:
        # Whatever can't be removed now is removed by the next who uses the device.
        with suppress(DeviceError):
            self._shell(_removing([self._claim.name]), "removing the folder on it", _KILL_S)

    def _shell(self, script: str, doing: str, seconds: float | None = None) -> tuple[int, str]:
        with self._listening():
            return self._adb.shell(script, doing, seconds)

    @contextmanager
    def _listening(self) -> Iterator[None]:
        self._check_silence()
        try:
            yield
        except SilentDeviceError as error:
            self._silence = error
            raise

    def _check_silence(self) -> None:
        if self._silence is not None:
            raise SilentDeviceError(self._silence.problem, hint=self._silence.hint)

    def _path(self, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name for a file in the folder")
        return f"{self._folder}/{name}"

    def _error(self, problem: str, hint: str) -> DeviceError:
        return self._adb.error(Trouble(problem, hint))


def _not_arrived(name: str, size_bytes: int, said: str) -> str:
    words = said.split()
    if words == [str(size_bytes)]:
        return "has no sha256sum, which Android has since version 8, so that nothing that is copied can be checked"
    if words[:1] != [str(size_bytes)]:
        came = shown(words[0]) if words else "0"
        return f"holds {came} of the {size_bytes} bytes of {name} after a copy that seemed to go well"
    return f"holds other bytes of {name} than were copied to it"


def _sweep(adb: Adb) -> None:
    """Remove what crashed runs left on a device."""
    script = f"""
cd {BASE} 2>/dev/null || exit 0
now=$(date +%s)
for folder in {PREFIX}*; do
    [ -d "$folder" ] && [ ! -L "$folder" ] || continue
    mark=$folder/{OWNER}
    [ -f "$mark" ] || mark=$folder
    echo "$folder $((now - $(stat -c %Y "$mark"))) $(head -n 1 "$folder/{OWNER}" 2>/dev/null)"
done"""
    _, said = adb.shell(script, "looking for what crashed runs left")
    gone = [found.name for found in _found(said) if is_abandoned(found)]
    if gone:
        adb.shell(_removing(gone), "removing what crashed runs left")


def _found(said: str) -> Iterator[Found]:
    for line in said.splitlines():
        name, _, rest = line.partition(" ")
        age, _, host = rest.partition(" ")
        if is_name(name) and age.lstrip("-").isdecimal():
            yield Found(name, int(age), host)


def _removing(names: list[str]) -> str:
    """A script that removes folders, once what runs in them is ended."""
    return "\n".join(f"{_killing(f'{BASE}/{name}')}\nrm -rf {BASE}/{name}" for name in names)


def _killing(folder: str) -> str:
    """A script that ends the program of a folder."""
    # Its number may have gone to another process since: only one that works in this very folder is meant.
    return f"""
pid=$(cat {folder}/{_PID} 2>/dev/null)
case "$pid" in
    ''|*[!0-9]*) ;;
    *) [ "$(readlink "/proc/$pid/cwd")" != "$(cd {folder} && pwd -P)" ] || kill -9 "$pid" ;;
esac"""
