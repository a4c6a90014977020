"""Read numbers and names of classes, and put classes in order: one rule for every source of labels.

**A number** is up to nine of the digits 0 to 9. What only looks like one, such as `0.0`, `-1` or `nan`, is neither a
number nor a name. **A name** is compared in Unicode's composed form, NFC, and with the classes of a model also without
regard to case, spaces, `_` and `-`. **A numbered name** is a number alone, `class_7`, or a number and a name, such as
`7 Archery`. **The order** of classes is that of the numbers that a list gives them, from 0 on and without a hole; of
folders and names it is alphabetical, unless every one of them is a numbered name: then it is by number.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from dvfl_mobile.errors import VideoError
from dvfl_mobile.wording import first_few

_NUMBER = re.compile(r"[0-9]{1,9}")
_NUMBERED = re.compile(r"(?:class[\s_-]*)?(?P<number>[0-9]{1,9})(?:[\s_.:)-].*)?", re.IGNORECASE | re.DOTALL)


def composed(name: str) -> str:
    """A name as it is compared: in NFC, whatever form a file system or an editor gave it."""
    return unicodedata.normalize("NFC", name)


def loosely(name: str) -> str:
    """A name without what doesn't count: case, spaces, `_` and `-`."""
    return composed(re.sub(r"[\s_-]", "", composed(name)).casefold())


def read_number(text: str) -> int | None:
    """The number that a text is; None where it is none."""
    return int(text) if _NUMBER.fullmatch(text) else None


def is_almost_a_number(text: str) -> bool:
    """Whether a text that is no number would be taken for one by others: `0.0`, `-1`, `1e3`, `nan`, `٣`."""
    if read_number(text) is not None:
        return False
    try:
        float(text)
    except ValueError:
        return False
    return True


def number_in(name: str) -> int | None:
    """The number of a numbered name; None for any other."""
    found = _NUMBERED.fullmatch(name)
    return int(found["number"]) if found else None


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Names, each once, in the order that they have where no list numbers them."""
    distinct = sorted({composed(name) for name in names})
    numbers = {name: number for name in distinct if (number := number_in(name)) is not None}
    is_numbered = len(numbers) == len(distinct) == len(set(numbers.values()))
    return tuple(sorted(distinct, key=numbers.__getitem__)) if is_numbered else tuple(distinct)


def misplaced(names: Sequence[str]) -> tuple[int, str] | None:
    """Of names that are all numbered, the first whose number isn't its place, and that place; None where none is.

    A network whose classes nobody named has numbers alone, so that names can be given to it only by theirs.
    """
    numbers = [number_in(name) for name in names]
    if None in numbers:
        return None
    return next(((place, names[place]) for place, number in enumerate(numbers) if number != place), None)


def by_number(
    numbered: Iterable[tuple[int, str]], path: Path, *, first: Sequence[int] | None = (0,)
) -> tuple[str, ...]:
    """The classes of a list in the order of the numbers that it gives them.

    Args:
        numbered: numbers and names, as often as the list says them; names that are loosely alike are one class.
        path: the list, for errors.
        first: what the first number may be; None where they only have to be one-to-one.

    Raises:
        VideoError: a class has two numbers, a number two classes, or the numbers have holes; it names the class.
    """
    numbers: dict[str, tuple[int, str]] = {}
    names: dict[int, str] = {}
    for number, name in numbered:
        known, called = numbers.setdefault(loosely(name), (number, composed(name)))
        if known != number:
            raise VideoError(
                f"{path}: the class {called} has two numbers, {known} and {number}.",
                hint="Give each class one number, the same in all lists.",
            )
        other = names.setdefault(number, called)
        if loosely(other) != loosely(name):
            raise VideoError(
                f"{path}: {other} and {called} are both class {number}.", hint="Give each class a number of its own."
            )
    if first is not None:
        _refuse_holes(names, path, first)
    return tuple(names[number] for number in sorted(names))


def _refuse_holes(names: Mapping[int, str], path: Path, first: Sequence[int]) -> None:
    lowest = min(names, default=0)
    start = lowest if lowest in first else first[0]
    hole = next((number for number in range(start, start + len(names)) if number not in names), None)
    if hole is None:
        return
    beyond = max(names)
    raise VideoError(
        f"{path} numbers {len(names)} classes up to {beyond} ({names[beyond]}), and none of them is {hole}.",
        hint=f"Number the classes from {start} to {start + len(names) - 1}, as the network's outputs are.",
    )


class ClassNames:
    """Class names, found by what they are called; an exact match comes first."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = list(names)
        self._spellings: list[dict[str, list[int]]] = [{}, {}, {}]
        for index, name in enumerate(names):
            for places, spelled in zip(self._spellings, _spellings(name), strict=True):
                places.setdefault(spelled, []).append(index)

    def find(self, name: str) -> int | None:
        """A name's index, or None if it is no class, or could be several."""
        for places, spelled in zip(self._spellings, _spellings(name), strict=True):
            if spelled in places:
                return places[spelled][0] if len(places[spelled]) == 1 else None
        return None

    def index_of(self, text: str) -> int | None:
        """The index that a number is, or that a name has; None if it is neither, or both and not the same."""
        number, named = read_number(text), self.find(text)
        if number is None or named is None:
            return named if number is None else number
        return number if number == named else None

    def first_few(self) -> str:
        """The first of them, for messages."""
        return first_few(self.names)


def _spellings(name: str) -> tuple[str, str, str]:
    return name, composed(name), loosely(name)
