"""Options that messages name, held against those that the command has which prints them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

# From here to the end of the line it is another command that is spoken of.
_ANOTHER = re.compile(r"(dvfl-mobile|ffmpeg|pip|adb|torchrun|cmake) .*")
_FLAG = re.compile(r"(?<![\w-])(--[a-z][a-z-]+|-o)(?![\w-])")


def flags_of(command: Any) -> Iterator[str]:
    """Every flag of a command, and of those below it."""
    for parameter in command.params:
        yield from parameter.opts
    for below in getattr(command, "commands", {}).values():
        yield from flags_of(below)


@cache
def flags_by_command() -> dict[str, frozenset[str]]:
    """The flags of each command of the command line."""
    import typer

    from dvfl_mobile.cli.main import _app

    app = typer.main.get_command(_app())
    return {name: frozenset([*flags_of(command), "--debug", "--help"]) for name, command in app.commands.items()}  # type: ignore[attr-defined]


def strange_flags(arguments: Sequence[str], said: str) -> set[str]:
    """Flags that a message names and nobody can give: neither does the command have them, nor were they given."""
    name = next((word for word in arguments if not word.startswith("-")), "")
    own = flags_by_command().get(name)
    if own is None or "--help" in arguments:
        return set()
    every = frozenset().union(*flags_by_command().values())
    named = {flag for line in said.splitlines() for flag in _FLAG.findall(_ANOTHER.sub("", line))}
    return {flag for flag in named & every - own if not any(word.startswith(flag) for word in arguments)}
