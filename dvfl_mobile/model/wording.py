"""Make text from files safe for messages: short, on one line, without control characters."""

from __future__ import annotations

from collections.abc import Sequence

from dvfl_mobile.wording import first_few

_SHOWN = 10


def brief(value: object, limit: int = 80) -> str:
    """`value` as one short line; what can't be printed comes as `\\x1b`."""
    text = str(value)[: 2 * limit]
    line = text if text.isprintable() else text.encode("unicode_escape").decode("ascii")
    return line if len(line) <= limit else f"{line[: limit - 3]}..."


def listed(names: Sequence[str]) -> str:
    """The first ten names, and how many more there are."""
    return first_few(names, _SHOWN, lambda name: brief(name, 160))
