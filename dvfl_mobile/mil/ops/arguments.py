"""Operator arguments as Python values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from dvfl_mobile.mil.errors import MalformedError


def integer(value: Any) -> int:
    """A whole number, from a tensor of one."""
    return int(_one(value))


def real(value: Any) -> float:
    """A number, from a tensor of one."""
    return float(_one(value))


def flag(value: Any) -> bool:
    """A truth value, from a tensor of one."""
    return bool(_one(value))


def text(value: Any) -> str:
    """A string."""
    if not isinstance(value, str):
        raise MalformedError(f"A string is needed, and {value!r:.80} was given.")
    return value


def integers(value: Any) -> list[int]:
    """Whole numbers, from a tensor of any rank, or from several tensors of one."""
    return [int(each) for each in _flat(value)]


def flags(value: Any) -> list[bool]:
    """Truth values, likewise."""
    return [bool(each) for each in _flat(value)]


def many(values: Any) -> tuple[Any, ...]:
    """Several arguments, where one alone stands by itself."""
    return tuple(values) if isinstance(values, tuple | list) else (values,)


def axis_of(value: Any, rank: int) -> int:
    """An axis, counted from the front: 0 to rank - 1."""
    axis = integer(value)
    if not -rank <= axis < rank:
        raise MalformedError(f"There is no axis {axis} in a tensor of rank {rank}.")
    return axis % rank


def _one(value: Any) -> Any:
    if isinstance(value, Tensor):
        if value.numel() != 1:
            raise MalformedError(f"One number is needed, and a tensor of shape {tuple(value.shape)} was given.")
        return value.item()
    if isinstance(value, bool | int | float):
        return value
    raise MalformedError(f"A number is needed, and {value!r:.80} was given.")


def _flat(value: Any) -> Sequence[Any]:
    if isinstance(value, Tensor):
        return value.reshape(-1).tolist()
    return [_one(each) for each in value]
