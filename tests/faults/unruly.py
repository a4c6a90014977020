"""A child process whose runtime does what the variable UNRULY says: `STEP:DEED`, such as `open:crash`.

Steps are `prepare`, `open`, `run` and `time`; whatever comes before behaves.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from dvfl_mobile import errors
from dvfl_mobile.runners.child import child, frames
from dvfl_mobile.spelling import option

CLASSES = 5
STEP, _, DEED = os.environ["UNRULY"].partition(":")


def take_memory() -> None:
    """More and more, as an honest list does."""
    taken = []
    while True:
        taken.append(np.ones(2**25, np.uint8))


def fall_short() -> None:
    """Take memory, and say something else when there is no more."""
    try:
        take_memory()
    except MemoryError:
        raise RuntimeError("it failed to prepare") from None


_send = frames.Wire.send
_instead: list[Callable[[frames.Wire], None]] = []


def send(wire: frames.Wire, *message: Any) -> None:
    """Send a message, or what a deed has put in its place."""
    if _instead:
        _instead[0](wire)
    else:
        _send(wire, *message)


def talk_nonsense(data: bytes) -> Callable[[], None]:
    """Answer with these bytes, whatever was asked."""
    return lambda: _instead.append(lambda wire: wire._connection.sendall(data))


def answer(document: Any, array: np.ndarray = frames.NO_ARRAY) -> Callable[[], None]:
    """Answer with this message, whatever was asked."""
    return lambda: _instead.append(lambda wire: _send(wire, document, array))


def fail(kind: type[BaseException], *arguments: Any, **named: Any) -> Callable[[], None]:
    """Raise this."""

    def deed() -> None:
        raise kind(*arguments, **named)

    return deed


def sleep() -> None:
    """Wait for what never comes."""
    time.sleep(600)


def spin() -> None:
    """Compute for ever."""
    while True:
        pass


def chatter() -> None:
    """Print, and read what isn't meant for it."""
    os.write(1, b"said on stdout\n")
    print("said by print", flush=True)
    assert sys.stdin.read() == ""


def fill_disk() -> None:
    """Write a file that no runtime needs."""
    with Path(os.environ["UNRULY_FILE"]).open("wb") as file:
        for _ in range(1000):
            file.write(bytes(2**20))


DEEDS: dict[str, Callable[[], None]] = {
    "behave": lambda: None,
    "crash": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    "abort": os.abort,
    "killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "cpu": lambda: os.kill(os.getpid(), signal.SIGXCPU),
    "exit": lambda: os._exit(3),
    "sleep": sleep,
    "spin": spin,
    "memory": take_memory,
    "short of memory": fall_short,
    "stdout": chatter,
    "disk": fill_disk,
    "raise": fail(IndexError, "list index out of range"),
    "terminal": fail(RuntimeError, "\x1b[2Jcleared\nsecond line"),
    "missing": fail(errors.MissingDependencyError, "abacus", extra="tflite", why="to count"),
    "refused": fail(errors.ArtifactError, "model can't be.", hint="Convert again."),
    "advises": lambda: fail(errors.UsageError, "Too many.", hint=f"Leave {option('threads')} out.")(),
    "undecided": fail(errors.InconclusiveError, "Nobody knows.", hint="Ask a Mac."),
    "bytes": talk_nonsense(b"\xff" * 64),
    "short": talk_nonsense(b"\0" * 15 + b"\2[]"),
    "list": answer([]),
    "nothing": answer({}),
    "error": answer({"error": 7}),
    "wide": answer({}, np.zeros((1, 2**23), np.float32)),
    "flat": answer({}, np.zeros(3, np.float32)),
    "bits": answer({}, np.zeros((1, 3), np.uint8)),
    "text": answer({"times": ["1"], "facts": {"runtime": [1]}}),
}


def _do(step: str) -> None:
    if step == STEP:
        DEEDS[DEED]()


class UnrulyRunner:
    """Gives zeros."""

    def __init__(self) -> None:
        self.facts = {"runtime": "unruly", "threads": 1}

    def run(self, clips: np.ndarray) -> np.ndarray:
        _do("run")
        return np.zeros((len(clips), CLASSES), np.float32)

    def time(self, _clip: np.ndarray, _warmup: int, runs: int) -> list[int]:
        _do("time")
        return [1] * runs


def open_artifact(_path: Path, _manifest: object) -> UnrulyRunner:
    """A runner of anything."""
    _do("open")
    return UnrulyRunner()


def runtime_of(_target: str, *, alone: bool) -> Any:
    """This."""
    assert alone
    _do("prepare")
    return SimpleNamespace(open_artifact=open_artifact)


if __name__ == "__main__":
    child.runtime_of = runtime_of
    frames.Wire.send = send  # type: ignore[method-assign]
    _do("start")
    child.main(int(sys.argv[1]))
