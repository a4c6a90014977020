"""The command line in surroundings narrower than a developer's; run as `narrow.py FILE`.

In a process that was forked from one that has imported what commands need: see `tests.warm`.
"""

from __future__ import annotations

import ctypes
import io
import json
import os
import pty
import resource
import struct
import sys
import tempfile
import termios
import traceback
from collections.abc import Callable
from contextlib import suppress
from fcntl import ioctl
from pathlib import Path
from typing import NoReturn
from unittest import mock

# Of a user whom nobody knows.
_NOBODY = 54321
_CLONE_NEWUSER = 0x10000000


def no_home() -> None:
    """Neither a home nor a name: no variable, and no entry among the users."""
    for name in ("HOME", "USER", "LOGNAME", "LNAME", "USERNAME", "XDG_CACHE_HOME", "DVFL_MOBILE_CACHE"):
        os.environ.pop(name, None)
    mock.patch("os.getuid", return_value=_NOBODY).start()
    mock.patch("pwd.getpwuid", _unknown).start()
    mock.patch("pwd.getpwnam", _unknown).start()


def closed() -> None:
    """As `<&- >&- 2>&-`."""
    for number in range(3):
        os.close(number)
    sys.stdin = sys.stdout = sys.stderr = None  # type: ignore[assignment]


def latin_1() -> None:
    """As LC_ALL=en_US.ISO-8859-1."""
    _encode("latin-1")


def c_locale() -> None:
    """As LC_ALL=C, where Python isn't let off it."""
    _encode("ascii")


def columns() -> None:
    """A terminal of sixteen columns; what it shows goes where stdout went."""
    terminal, end = pty.openpty()
    ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 16, 0, 0))
    os.environ |= {"TERM": "xterm"}
    os.environ.pop("COLUMNS", None)
    if os.fork() == 0:
        os.close(end)
        _copy(terminal)
    os.close(terminal)
    for number in (1, 2):
        os.dup2(end, number)
    _encode("utf-8")


def full_temporary_folder() -> None:
    """Every temporary file can be made, and holds nothing."""
    os.environ["TMPDIR"] = tempfile.tempdir = os.environ["FULL"]


def read_only_cache() -> None:
    """No folder of the user's own can be written."""
    os.environ |= {"HOME": "/proc/home", "DVFL_MOBILE_CACHE": "/proc/cache"}
    os.environ.pop("XDG_CACHE_HOME", None)


def broken_pipe() -> None:
    """Nobody reads the result."""
    reader, writer = os.pipe()
    os.dup2(writer, 1)
    os.close(reader)
    os.close(writer)
    _encode("utf-8")


def few_descriptors() -> None:
    """Four more files than are open."""
    used = len(list(Path("/proc/self/fd").iterdir()))
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 4, used + 4))


def another_user() -> None:
    """One whose home isn't there, and who owns nothing here."""
    os.environ |= {"HOME": "/nonexistent"}
    for name in ("USER", "LOGNAME", "XDG_CACHE_HOME", "DVFL_MOBILE_CACHE"):
        os.environ.pop(name, None)
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWUSER) != 0:
        os._exit(UNABLE)


UNABLE = 99
SURROUNDINGS: dict[str, Callable[[], None]] = {
    "usual": lambda: None,
    "no home": no_home,
    "closed descriptors": closed,
    "latin-1": latin_1,
    "C": c_locale,
    "16 columns": columns,
    "full temporary folder": full_temporary_folder,
    "read-only cache": read_only_cache,
    "broken pipe": broken_pipe,
    "few descriptors": few_descriptors,
    "another user": another_user,
}


def _unknown(who: object) -> NoReturn:
    raise KeyError(f"{who} not found")


def _encode(encoding: str) -> None:
    for name, number in (("stdout", 1), ("stderr", 2)):
        stream = io.TextIOWrapper(os.fdopen(number, "wb", closefd=False), encoding, line_buffering=True)
        setattr(sys, name, stream)


def _copy(terminal: int) -> NoReturn:
    """Let a terminal be read until it is closed."""
    try:
        while data := os.read(terminal, 65536):
            os.write(1, data)
    except OSError:  # so Linux says that it was closed
        pass
    os._exit(0)


def main() -> None:
    """Run each of the command lines in the file that is named, each in a process of its own and in its surroundings.

    The file holds a list of [name, surrounding, arguments]; beside it, NAME.log is what that one printed, and NAME.code
    how it ended.
    """
    sys.path.append(str(Path(__file__).resolve().parents[2]))
    from dvfl_mobile.cli import main as frame
    from tests.faults import quick

    asked = Path(sys.argv[1])
    for place in _RUNNERS:
        mock.patch(place, quick.open_runner).start()
    mock.patch("dvfl_mobile.artifacts.make.lower", quick.lower).start()
    frame._app()  # all that is imported is, once
    for name, surrounding, arguments in json.loads(asked.read_text(encoding="utf-8")):
        pid = os.fork()
        if pid == 0:
            _alone(asked.with_name(f"{name}.log"), surrounding, arguments)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        asked.with_name(f"{name}.code").write_text(str(code), encoding="ascii")


def _alone(log: Path, surrounding: str, arguments: list[str]) -> NoReturn:
    """The command line in its surroundings, in this process and a folder of its own."""
    from dvfl_mobile.cli.main import main as run

    with log.open("wb") as file:
        for number in (1, 2):
            os.dup2(file.fileno(), number)
    folder = log.with_suffix("")
    folder.mkdir()
    os.chdir(folder)
    code = 1
    try:
        SURROUNDINGS[surrounding]()
        run(arguments)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        with suppress(Exception):
            log.with_name("fault.txt").write_text(traceback.format_exc(), encoding="utf-8")
    finally:
        os._exit(code)


_RUNNERS = [
    f"dvfl_mobile.{module}.open_runner"
    for module in (
        "pipeline.compare",
        "pipeline.prediction",
        "evaluation.evaluate",
        "pack.making.build",
        "streaming.stream",
    )
]

if __name__ == "__main__":
    main()
