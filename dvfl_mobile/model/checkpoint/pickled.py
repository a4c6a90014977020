"""What a pickle holds, as objects that do nothing, and what can be wrong with one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

PLAIN = (str, int, float, type(None))


class PickleProblemError(Exception):
    """A pickle that is damaged, or that does or claims something that a checkpoint has no need of."""


class RefusedGlobalsError(PickleProblemError):
    """A pickle that names functions or classes that a checkpoint has no need of.

    Args:
        names: each of them once, in the order they were met, such as `posix.system`.
    """

    def __init__(self, names: list[str]) -> None:
        super().__init__(", ".join(names))
        self.names = names


@dataclass(frozen=True)
class Storage:
    """A claim to `numel` numbers of `item_bytes` each, kept elsewhere in the file under `key`."""

    key: str
    numel: int
    item_bytes: int

    @property
    def size_bytes(self) -> int:
        return self.numel * self.item_bytes


@dataclass(frozen=True, slots=True)
class Global:
    """A function or a class by its name."""

    name: str


@dataclass(slots=True)
class Result:
    """What a call would return; `name` is what would be called, `dict` for a plain dictionary.

    Attributes:
        entries: of a dictionary, keys and values in turn.
        arguments: that it would be called with.
    """

    name: str
    entries: list[Any] = field(default_factory=list)
    arguments: tuple[Any, ...] = ()


def is_result(value: Any, *names: str) -> bool:
    """Whether a value is what a call of one of these would return."""
    return isinstance(value, Result) and value.name in names
