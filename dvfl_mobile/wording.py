"""Format numbers and foreign text for people: units, rounding, and text safe for one line."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from decimal import ROUND_FLOOR, Decimal
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from pydantic import ValidationError

NOT_FINITE = "not finite"
_MOST_OF_A_PLACE = 120
_Named = TypeVar("_Named")


def printable(text: Any) -> Any:
    """`text` on one line that XML, JSON and any terminal can take: whatever isn't printable becomes its escape.

    File names come from outside and may hold line breaks, terminal commands or bytes that aren't UTF-8.
    """
    if not isinstance(text, str):
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)


def decibels(value: float | None) -> str:
    """`63.2 dB`, `inf dB` for identical logits; `not finite` for None, an SQNR of logits that aren't."""
    if value is None:
        return NOT_FINITE
    return f"{value if math.isinf(value) else rounded_down(value, 1)} dB"


def percent(share: float) -> str:
    """`99.9 %` of a share from 0 to 1; only a whole is `100 %`."""
    return f"{rounded_down(share, 3) * 100:f}".rstrip("0").rstrip(".") + " %"


def rounded_down(value: float, digits: int) -> Decimal:
    """`value` cut to so many decimals, downwards: 44.97 must not be shown as the 45.0 that it missed."""
    return Decimal(repr(float(value))).quantize(Decimal(1).scaleb(-digits), ROUND_FLOOR)


def plural(count: int, noun: str, nouns: str = "") -> str:
    """`1 clip`, `2 clips`; `nouns` where it isn't the noun with an s: `2 classes`."""
    return f"{count} {noun}" if count == 1 else f"{count} {nouns or noun + 's'}"


def first_few(names: Sequence[_Named], most: int = 5, write: Callable[[_Named], str] = str) -> str:
    """`a, b, c, d, e and 3 more`: the first of them, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(write, names[:most])) + more


def first_few_only(names: Sequence[_Named], most: int = 5, write: Callable[[_Named], str] = str) -> str:
    """`a, b, c, d, e, …`: the first of them, where their number stands beside them."""
    return ", ".join([*map(write, names[:most]), *(["…"] if len(names) > most else [])])


def either(choices: Sequence[object]) -> str:
    """`16, 17 or 18`."""
    *others, last = map(str, choices)
    return f"{', '.join(others)} or {last}" if others else last


def first_problem(error: ValidationError) -> str:
    """`clip.size: Input should be greater than 0`: the first thing that is wrong with a document, and where."""
    first = error.errors(include_url=False)[0]
    place = printable(".".join(map(str, first["loc"])))[:_MOST_OF_A_PLACE] or "the document"
    return f"{place}: {first['msg']}"
