"""Console output: results on stdout, everything else on stderr."""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from dvfl_mobile.cli.streams import json_for, printing
from dvfl_mobile.wording import printable

if TYPE_CHECKING:
    from rich.console import RenderableType

    from dvfl_mobile.documents import Document

DEBUG_VARIABLE = "DVFL_MOBILE_DEBUG"


def debugging() -> bool:
    """Whether `--debug` was given, or its environment variable set."""
    return os.environ.get(DEBUG_VARIABLE, "0") not in ("", "0")


def print_json(document: Document | dict[str, Any]) -> None:
    """Print the one document of a `--json` run on stdout."""
    text = json.dumps(document, indent=2) if isinstance(document, dict) else document.model_dump_json(indent=2)
    print_text(json_for(text, sys.stdout))


def print_text(text: str) -> None:
    """Print lines of a result on stdout as they are."""
    with printing():
        sys.stdout.write(text + "\n")


def print_rich(renderable: RenderableType, *, soft_wrap: bool = False) -> None:
    """Print a result on stdout.

    Args:
        soft_wrap: leave lines that are longer than the terminal is wide as they are. Else sentences are wrapped, and
            words and tables that it can't hold stay whole: half a serial number can't be copied.
    """
    from dvfl_mobile.cli.terminal import Terminal

    with printing():
        Terminal(soft_wrap=soft_wrap).print(renderable, crop=False, overflow="ignore")


def print_note(text: str) -> None:
    """Print a line on stderr that a reader may want and a script may not."""
    _print_labelled("note:", "cyan", text)


def print_warning(text: str) -> None:
    """Print a line on stderr about something that did not stop the run but should be known."""
    _print_labelled("warning:", "yellow", text)


def print_error(problem: str, hint: str = "") -> None:
    """Print what went wrong on stderr, and the next step below it."""
    _print_labelled("error:", "bold red", problem, hint)


def _print_labelled(label: str, style: str, text: str, hint: str = "") -> None:
    from rich.text import Text

    from dvfl_mobile.cli.terminal import Terminal

    line = Text.assemble((label, style), " ", _harmless(text))
    if hint:
        line.append(f"\n{_harmless(hint)}", "dim")
    with suppress(OSError):  # a message that can't be written is nothing to end for
        Terminal(sys.stderr, soft_wrap=True).print(line)


def _harmless(text: str) -> str:
    """Its lines, without any terminal command that a file's name or contents may have brought in."""
    return "\n".join(printable(line) for line in text.split("\n"))
