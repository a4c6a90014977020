"""Progress on stderr: a spinner on a terminal, else a line for each finished step; libraries' output is muted."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from dvfl_mobile.cli.console import debugging
from dvfl_mobile.cli.streams import own_stderr

if TYPE_CHECKING:
    from rich.console import Console

_STDOUT, _STDERR = 1, 2
_TAIL_LINES = 60


class Steps:
    """Runs named steps, one after the other; made by `steps`. Call it to open a step."""

    def __init__(self, console: Console, *, quiet: bool) -> None:
        self._console = console
        self._quiet = quiet

    @contextmanager
    def __call__(self, name: str, total: int | None = None) -> Iterator[Callable[[], None]]:
        """One step: what libraries print in it is held back, and its time is shown when it ends.

        Args:
            name: what is being done, such as `executorch fp32`.
            total: how many parts it has, where that is known; call what the block is given once for each part done.
        """
        start = time.monotonic()
        outcome = "failed after "
        try:
            with quiet_vendors(), self._spinning(name, total) as advance:
                yield advance
            outcome = ""
        finally:
            if not self._quiet:
                self._console.print(f"  {name} … {outcome}{time.monotonic() - start:.1f} s", markup=False)

    @contextmanager
    def _spinning(self, name: str, total: int | None) -> Iterator[Callable[[], None]]:
        if self._quiet or debugging() or not self._console.is_terminal:
            yield lambda: None
            return
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        known = [BarColumn(bar_width=24), MofNCompleteColumn()] if total else []
        columns = [SpinnerColumn(), TextColumn("{task.description}", markup=False), *known, TimeElapsedColumn()]
        # Rich's own redirection would show what `quiet_vendors` holds back.
        with Progress(
            *columns, console=self._console, transient=True, redirect_stdout=False, redirect_stderr=False
        ) as progress:
            task = progress.add_task(name, total=total)
            yield lambda: progress.advance(task)


@contextmanager
def steps(*, quiet: bool = False) -> Iterator[Steps]:
    """Show long steps on stderr; `quiet` shows nothing, and still holds the libraries' chatter back.

    ::

        with steps() as step:
            with step("tflite fp32"):
                convert(...)
            with step("parity", total=len(clips)) as advance:
                for clip in clips:
                    compare(clip)
                    advance()
    """
    from dvfl_mobile.cli.terminal import Terminal

    with own_stderr() as stream:
        yield Steps(Terminal(stream, soft_wrap=True), quiet=quiet)


@contextmanager
def quiet_vendors() -> Iterator[None]:
    """Hold back what is written to stdout and stderr in this block, by C++ code too.

    If the block raises, the end of what was held back goes with the error, as a note that `--debug` shows. With
    `--debug` nothing is held back: it all goes to stderr, so that stdout stays a command's own.
    """
    if debugging():
        with _redirected(_STDOUT, to=_STDERR):
            yield
        return
    with _held() as held:
        try:
            with _redirected(_STDOUT, to=held.fileno()), _redirected(_STDERR, to=held.fileno()):
                yield
        except BaseException as error:
            _add_held(error, held)
            raise


@contextmanager
def _redirected(descriptor: int, to: int) -> Iterator[None]:
    _flush()
    before = os.dup(descriptor)
    try:
        os.dup2(to, descriptor)
        yield
    finally:
        _flush()
        os.dup2(before, descriptor)
        os.close(before)


def _held() -> IO[bytes]:
    """What is held is kept in memory where the system can: the temporary folder may be full, or none."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("held"), "w+b")
    return tempfile.TemporaryFile()


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        stream.flush()


def _add_held(error: BaseException, held: IO[bytes]) -> None:
    held.seek(0)
    lines = held.read().decode(errors="replace").splitlines()
    if lines:
        error.add_note("\n".join(["What the libraries said before it:", *lines[-_TAIL_LINES:]]))
