"""rich's console, as this command line uses it; imported where something is printed, since rich takes its time."""

from __future__ import annotations

from typing import TextIO

from rich.console import Console


class Terminal(Console):
    """A console on `stream`; without one, on stdout as it is when something is printed."""

    def __init__(self, stream: TextIO | None = None, *, soft_wrap: bool = False) -> None:
        super().__init__(file=stream, highlight=False, soft_wrap=soft_wrap)

    def on_broken_pipe(self) -> None:
        """Let the error be: rich would end the process, with 1."""
        raise
