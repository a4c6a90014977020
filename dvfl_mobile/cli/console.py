"""Console output: results on stdout, everything else on stderr."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

from dvfl_mobile.wording import printable

if TYPE_CHECKING:
    from dvfl_mobile.documents import Document

DEBUG_VARIABLE = "DVFL_MOBILE_DEBUG"


def debugging() -> bool:
    """Whether `--debug` was given, or its environment variable set."""
    return os.environ.get(DEBUG_VARIABLE, "0") not in ("", "0")


def print_json(document: Document | dict[str, Any]) -> None:
    """Print the one document of a `--json` run on stdout."""
    text = json.dumps(document, indent=2) if isinstance(document, dict) else document.model_dump_json(indent=2)
    sys.stdout.write(text + "\n")


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
    from rich.console import Console
    from rich.text import Text

    line = Text.assemble((label, style), " ", _harmless(text))
    if hint:
        line.append(f"\n{_harmless(hint)}", "dim")
    Console(stderr=True, highlight=False, soft_wrap=True).print(line)


def _harmless(text: str) -> str:
    """Its lines, without any terminal command that a file's name or contents may have brought in."""
    return "\n".join(printable(line) for line in text.split("\n"))
