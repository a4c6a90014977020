"""The process's own streams: there even where they were closed, and with a way to write whatever a text holds."""

from __future__ import annotations

import codecs
import errno
import io
import json
import os
import re
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from dvfl_mobile.errors import OutputError
from dvfl_mobile.files import problem_of

PLAINLY = "dvfl-mobile-plainly"
"""The error handler of our streams: what their encoding lacks is written in its place by what ASCII has."""

_STREAMS = ("stdin", "stdout", "stderr")
_BRAILLE = range(0x2800, 0x2900)
_PLAIN = {
    "…": "...",
    "·": "-",
    "─": "-",
    "━": "-",
    "│": "|",
    "├": "|",
    "└": "`",
    "²": "2",
    "Σ": "sum",
    "√": "sqrt",
    "µ": "u",
    "×": "x",
    **dict.fromkeys("▏▎▍▌", " "),
    **dict.fromkeys("▋▊▉█╸╺", "#"),
    **{height: str(place) for place, height in enumerate("▁▂▃▄▅▆▇", 1)},
}
_DISK_PROBLEMS = {
    **{number: problem_of(number) for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)},
    errno.EIO: "the system reported an error",  # a terminal's, too
}


def prepare_streams() -> None:
    """Make the three streams fit for whatever is read and written; call before anything else opens a file.

    One that was closed becomes the null device's: else the next file to be opened would get its number, and whatever
    prints, a C++ library too, would write into that file.
    """
    for number, name in enumerate(_STREAMS):
        _open(number)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w" if number else "r", encoding="utf-8", closefd=False))
    for written in (sys.stdout, sys.stderr):
        if isinstance(written, io.TextIOWrapper):
            written.reconfigure(errors=PLAINLY)


def json_for(text: str, stream: TextIO) -> str:
    """JSON whose strings hold nothing that the stream's encoding lacks."""
    lacking = "[\ud800-\udfff]+" if stream.encoding.lower().startswith("utf") else "[^\x00-\x7f]+"
    return re.sub(lacking, lambda found: json.dumps(found[0])[1:-1], text)


@contextmanager
def printing() -> Iterator[None]:
    """Around what prints a result: an error in writing it is one of stdout, and not of a file that a command writes.

    Raises:
        OutputError: stdout leads to a file that can't take it.
    """
    try:
        yield
        sys.stdout.flush()
    except OSError as error:
        if error.errno not in _DISK_PROBLEMS:
            raise
        raise OutputError(
            f"Can't write the result to stdout: {_DISK_PROBLEMS[error.errno]}.", hint="Send it somewhere else."
        ) from error


@contextmanager
def own_stderr() -> Iterator[TextIO]:
    """A stream to where stderr leads now, wherever file descriptor 2 is sent later; what it can't write is dropped."""
    raw = io.FileIO(os.dup(2), "w")
    stream = _Dropping(io.BufferedWriter(raw), sys.stderr.encoding, PLAINLY, line_buffering=True)
    try:
        yield stream
    finally:
        stream.close()


class _Dropping(io.TextIOWrapper):
    """Messages are nothing that a run may end for: whoever reads them may leave, and the disk below them be full."""

    def write(self, text: str, /) -> int:
        with suppress(OSError):
            return super().write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            super().flush()

    def close(self) -> None:
        with suppress(OSError):
            super().close()


def reader_left() -> bool:
    """Whether nobody reads any more what goes to stdout."""
    watch = select.poll()
    watch.register(1, 0)
    return any(events & (select.POLLERR | select.POLLHUP) for _, events in watch.poll(0))


def close_streams() -> None:
    """Leave nothing in the streams that could fail in the interpreter's last breath, where nobody can catch it."""
    for number, stream in ((1, sys.stdout), (2, sys.stderr)):
        try:
            stream.flush()
        except OSError:
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), number)


def _open(number: int) -> None:
    try:
        os.fstat(number)
    except OSError:
        null = os.open(os.devnull, os.O_RDWR)
        if null != number:
            os.dup2(null, number)
            os.close(null)
        os.set_inheritable(number, True)


def _plainly(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_plain, error.object[error.start : error.end])), error.end


def _plain(char: str) -> str:
    if ord(char) in _BRAILLE:
        return "*"
    return _PLAIN.get(char) or char.encode("unicode_escape").decode("ascii")


codecs.register_error(PLAINLY, _plainly)
