"""Progress of several devices on stderr: a live line for each on a terminal, else one line for each finished step."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

from dvfl_mobile.cli.console import debugging
from dvfl_mobile.cli.progress import quiet_vendors
from dvfl_mobile.cli.streams import own_stderr

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from dvfl_mobile.progress import Step


@contextmanager
def device_lines() -> Iterator[Callable[[str], Step]]:
    """A function that gives each device, by its name, what shows its steps; they may come from any thread.

    What libraries print in this block is held back, as in other steps, for all devices together.
    """
    from dvfl_mobile.cli.terminal import Terminal

    with own_stderr() as stream, quiet_vendors():
        console = Terminal(stream, soft_wrap=True)
        if debugging() or not console.is_terminal:
            yield lambda _: _printed(console)
            return
        with _bars(console) as progress:
            yield lambda _: _drawn(progress)


def _bars(console: Console) -> Progress:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    return Progress(*columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False)


def _drawn(progress: Progress) -> Step:
    @contextmanager
    def step(name: str, total: int | None = None, /) -> Iterator[Callable[[], None]]:
        task = progress.add_task(name, total=total)
        try:
            yield lambda: progress.advance(task)
        finally:
            progress.remove_task(task)

    return step


def _printed(console: Console) -> Step:
    def step(name: str, _total: int | None = None, /) -> AbstractContextManager[Callable[[], None]]:
        return _line(console, name)

    return step


@contextmanager
def _line(console: Console, name: str) -> Iterator[Callable[[], None]]:
    start = time.monotonic()
    outcome = "failed after "
    try:
        yield lambda: None
        outcome = ""
    finally:
        console.print(f"  {name} … {outcome}{time.monotonic() - start:.1f} s", markup=False)
