"""Run a subprocess with a deadline and bounded output; its whole process group ends with it."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

_CHUNK_BYTES = 1 << 16
_MOST_ERROR_BYTES = 1 << 14
_LOOK_S = 0.1


class ExpiredError(Exception):
    """The deadline passed; the program was ended."""


class TooMuchError(Exception):
    """The program wrote more than it may; it was ended."""


@dataclass(frozen=True)
class Ended:
    """How a program ended, and the end of what it wrote to stderr, at most 16 KiB."""

    status: int
    errors: bytes


def run(
    command: Sequence[str],
    seconds: float,
    on_bytes: Callable[[bytes], None],
    most_bytes: int,
    is_enough: Callable[[], bool] = lambda: False,
) -> Ended:
    """Run a program to its end, without stdin; what it writes to stdout goes to `on_bytes` as it comes.

    However this is left, the program and what it started in its process group have ended.

    Args:
        is_enough: whether all has come that will; then the program is given no more than a moment.

    Raises:
        ExpiredError: it ran for longer than `seconds`.
        TooMuchError: it wrote more than `most_bytes` to stdout.
    """
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    read_bytes, errors = 0, b""
    until = time.monotonic() + seconds
    try:
        for is_stdout, data in _chunks(process, until, is_enough):
            if is_stdout:
                read_bytes += len(data)
                if read_bytes > most_bytes:
                    raise TooMuchError
                on_bytes(data)
            else:
                errors = (errors + data)[-_MOST_ERROR_BYTES:]
        if not is_enough():
            process.wait(max(0.0, until - time.monotonic()))
    except subprocess.TimeoutExpired:
        raise ExpiredError from None
    finally:
        _end(process)
    return Ended(process.returncode, errors)


def _chunks(
    process: subprocess.Popen[bytes], until: float, is_enough: Callable[[], bool]
) -> Iterator[tuple[bool, bytes]]:
    """What comes by stdout (True) and stderr (False), until both are closed or nothing more will come."""
    assert process.stdout is not None
    assert process.stderr is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ, True)
        selector.register(process.stderr, selectors.EVENT_READ, False)
        while selector.get_map():
            left = until - time.monotonic()
            if left <= 0:
                raise ExpiredError
            # A server that the program has started, or what a program on the device has left behind, may hold the
            # pipes open for ever.
            may_leave = is_enough() or process.poll() is not None
            ready = selector.select(min(left, _LOOK_S))
            if may_leave and not ready:
                return
            for key, _ in ready:
                data = os.read(key.fd, _CHUNK_BYTES)
                if data:
                    yield key.data, data
                else:
                    selector.unregister(key.fileobj)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()
