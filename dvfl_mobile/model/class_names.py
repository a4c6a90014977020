"""The names of classes that nobody has named."""

from __future__ import annotations

from collections.abc import Sequence


def numbered_names(count: int) -> tuple[str, ...]:
    """`class_0`, `class_1`, …: what loading a checkpoint without names puts in their place."""
    return tuple(f"class_{index}" for index in range(count))


def are_numbered(names: Sequence[str]) -> bool:
    """Whether names are those of `numbered_names`."""
    return tuple(names) == numbered_names(len(names))
