"""Figures and lists as people read them."""

from __future__ import annotations

import pytest

from dvfl_mobile.wording import first_few, first_few_only, plural


@pytest.mark.parametrize(
    ("count", "counted", "abridged"),
    [(0, "", ""), (1, "0", "0"), (3, "0, 1, 2", "0, 1, 2"), (5, "0, 1, 2 and 2 more", "0, 1, 2, …")],
)
def test_the_first_few_are_named(count: int, counted: str, abridged: str) -> None:
    assert first_few(range(count), 3) == counted
    assert first_few_only(range(count), 3) == abridged


def test_only_what_is_shown_is_written() -> None:
    """A hostile file may name a million things."""
    written: list[int] = []

    def write(name: int) -> str:
        written.append(name)
        return str(name)

    assert first_few(range(1_000_000), 2, write) == "0, 1 and 999998 more"
    assert written == [0, 1]


def test_a_plural_takes_its_own_word() -> None:
    assert [plural(count, "class", "classes") for count in (0, 1, 2)] == ["0 classes", "1 class", "2 classes"]
    assert plural(2, "clip") == "2 clips"
