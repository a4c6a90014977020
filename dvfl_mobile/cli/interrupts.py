"""Signal handling: Ctrl-C, SIGTERM and SIGHUP unwind the run, so that partial output is removed."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_UNWINDING_SECONDS = 3.0


class Interrupted(BaseException):
    """A signal asked the run to end; not an `Exception`, so that no `except Exception` takes it for a fault."""


class Interrupts:
    """The signal that came, if any."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self._since = 0.0

    @property
    def exit_code(self) -> int:
        """128 and the signal's number, as shells have it: 130 after Ctrl-C."""
        return 128 + (self.signal or 0)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        # A second Ctrl-C would break off the tidying-up; a later one means that a library swallowed the first.
        if self.signal is not None and time.monotonic() - self._since < _UNWINDING_SECONDS:
            return
        self.signal, self._since = number, time.monotonic()
        raise Interrupted


@contextmanager
def raising_interrupts() -> Iterator[Interrupts]:
    """Turn the signals that end a run into `Interrupted`, inside this block; call from the main thread.

    A signal that the run was started to ignore (`nohup`, a shell's background job) stays ignored.
    """
    interrupts = Interrupts()
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, interrupts._handle)
    try:
        yield interrupts
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
