"""The numbers of a tensor as they lie in memory, whatever its dimensions are called."""

from __future__ import annotations

from torch import Tensor


def in_memory_order(values: Tensor) -> Tensor:
    """All numbers in one row, `(n,)`: a view where they lie side by side, in any order of dimensions, else a copy."""
    by_stride = sorted(range(values.dim()), key=values.stride, reverse=True)
    return values.permute(by_stride).reshape(-1)
