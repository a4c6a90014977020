"""Parse the output of a device's tools: marked sections, name and value lines, and unreliable numbers."""

from __future__ import annotations

import re

from dvfl_mobile.wording import printable

_MOST_CHARACTERS = 200


def sections(text: str) -> dict[str, str]:
    """The parts of a text by the lines `== NAME` that begin them; what comes before the first is left out."""
    _, *rest = re.split(r"^== ([a-z]+)\s*$", text, flags=re.MULTILINE)
    return dict(zip(rest[::2], rest[1::2], strict=True))


def lines_of(text: str) -> list[str]:
    """The lines that aren't empty, without space around them."""
    return [stripped for line in text.splitlines() if (stripped := line.strip())]


def value_of(text: str, name: str, sign: str) -> str:
    """What stands after `name` and `sign` on the first line that has both, as text to show; empty if none does."""
    for line in lines_of(text):
        found, at, value = line.partition(sign)
        if at and found.strip() == name:
            return printable(value.strip()[:_MOST_CHARACTERS])
    return ""


def first_number(text: str) -> int | None:
    """The whole number that a text begins with, of 18 digits at most; None if it begins with none."""
    found = re.match(r"\s*(\d{1,18})(?!\d)", text)
    return int(found[1]) if found else None
