"""Text from files, made fit for a message: short, on one line, and unable to steer a terminal."""

from __future__ import annotations

from collections.abc import Sequence

_SHOWN = 10


def brief(value: object, limit: int = 80) -> str:
    """`value` as one short line; what can't be printed comes as `\\x1b`."""
    text = str(value)[: 2 * limit]
    line = text if text.isprintable() else text.encode("unicode_escape").decode("ascii")
    return line if len(line) <= limit else f"{line[: limit - 3]}..."


def listed(names: Sequence[str]) -> str:
    """The first ten names, and how many more there are."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(brief(name, 160) for name in names[:_SHOWN]) + more
