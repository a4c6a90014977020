"""The progress protocol: long work reports its steps, without knowing who shows them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Step(Protocol):
    """Opens a named step; the block is given a function to call once for each of its `total` parts."""

    def __call__(self, name: str, total: int | None = None, /) -> AbstractContextManager[Callable[[], None]]:
        """Open the step."""


@contextmanager
def silent(_name: str, _total: int | None = None, /) -> Iterator[Callable[[], None]]:
    """A step that shows nothing."""
    yield lambda: None
