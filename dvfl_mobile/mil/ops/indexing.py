"""Gather, scatter and sort operators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dvfl_mobile.mil.errors import MalformedError, UnpublishedError
from dvfl_mobile.mil.ops.arguments import axis_of, flag, integer, text

_NEGATIVE_UNTIL = 16
"""The last iOS whose operators count a negative index from the end; later ones call it out of bounds."""

_COMBINE = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "max": np.maximum,
    "min": np.minimum,
}


def _checked(indices: Tensor, size: int, opset: int) -> np.ndarray:
    """Indices from 0 to size - 1."""
    found = indices.numpy().astype(np.int64)
    if opset <= _NEGATIVE_UNTIL:
        found = np.where(found < 0, found + size, found)
    if found.size and not 0 <= found.min() <= found.max() < size:
        raise MalformedError(f"An index is outside of 0 to {size - 1}.")
    return found


def _gather(
    *,
    x: Tensor,
    indices: Tensor,
    opset: int,
    axis: Any = 0,
    batch_dims: Any = 0,
    validate_indices: Any = False,  # noqa: ARG001
) -> Tensor:
    along, batch = axis_of(axis, x.dim()), integer(batch_dims)
    chosen = _checked(indices, x.shape[along], opset)
    if batch == 0:
        return torch.from_numpy(np.asarray(np.take(x.numpy(), chosen, along)))
    if along < batch or x.shape[:batch] != indices.shape[:batch]:
        raise MalformedError("gather whose batch dimensions differ, or hold its axis.")
    lead = x.shape[:batch]
    parts = [
        np.take(part, index, along - batch)
        for part, index in zip(
            x.numpy().reshape(-1, *x.shape[batch:]), chosen.reshape(-1, *chosen.shape[batch:]), strict=True
        )
    ]
    return torch.from_numpy(np.stack(parts).reshape(*lead, *parts[0].shape))


def _gather_along_axis(
    *,
    x: Tensor,
    indices: Tensor,
    opset: int,
    axis: Any = 0,
    validate_indices: Any = False,  # noqa: ARG001
) -> Tensor:
    along = axis_of(axis, x.dim())
    return torch.from_numpy(np.take_along_axis(x.numpy(), _checked(indices, x.shape[along], opset), along))


def _gather_nd(
    *,
    x: Tensor,
    indices: Tensor,
    opset: int,
    batch_dims: Any = 0,
    validate_indices: Any = False,  # noqa: ARG001
) -> Tensor:
    batch = integer(batch_dims)
    array, depth = x.numpy(), indices.shape[-1]
    places = tuple(_checked(indices[..., each], x.shape[batch + each], opset) for each in range(depth))
    lead = tuple(
        np.arange(size).reshape([-1 if axis == other else 1 for other in range(indices.dim() - 1)])
        for axis, size in enumerate(x.shape[:batch])
    )
    return torch.from_numpy(np.array(array[lead + places]))


def _put(result: np.ndarray, places: tuple[Any, ...], updates: np.ndarray, mode: str) -> Tensor:
    """In order, so that of several updates of one place the last one stays."""
    if mode == "update":
        result[places] = updates
    elif mode in _COMBINE:
        _COMBINE[mode].at(result, places, updates)
    else:
        raise UnpublishedError(f"scatter in mode {mode!r}")
    return torch.from_numpy(result)


def _scatter(
    *,
    data: Tensor,
    indices: Tensor,
    updates: Tensor,
    opset: int,
    axis: Any = 0,
    mode: Any = "update",
    validate_indices: Any = False,  # noqa: ARG001
) -> Tensor:
    along = axis_of(axis, data.dim())
    chosen = _checked(indices, data.shape[along], opset)
    return _put(data.numpy().copy(), (slice(None),) * along + (chosen,), updates.numpy(), text(mode))


def _scatter_along_axis(
    *,
    data: Tensor,
    indices: Tensor,
    updates: Tensor,
    opset: int,
    axis: Any = 0,
    mode: Any = "add",
    validate_indices: Any = False,  # noqa: ARG001
) -> Tensor:
    along = axis_of(axis, data.dim())
    places = list(np.indices(tuple(indices.shape), sparse=True))
    places[along] = _checked(indices, data.shape[along], opset)
    return _put(data.numpy().copy(), tuple(places), updates.numpy(), text(mode))


def _scatter_nd(
    *,
    data: Tensor,
    indices: Tensor,
    updates: Tensor,
    opset: int,
    mode: Any = "add",
    validate_indices: Any = False,  # noqa: ARG001
) -> Tensor:
    places = tuple(_checked(indices[..., each], data.shape[each], opset) for each in range(indices.shape[-1]))
    return _put(data.numpy().copy(), places, updates.numpy(), text(mode))


def _argsort(*, x: Tensor, axis: Any = -1, ascending: Any = False) -> Tensor:
    return torch.sort(x, dim=axis_of(axis, x.dim()), descending=not flag(ascending), stable=True).indices


def _topk(
    *,
    x: Tensor,
    k: Any = 1,
    axis: Any = -1,
    ascending: Any = False,
    sort: Any = True,  # noqa: ARG001 (sorted is one of the orders that unsorted may have)
    return_indices: Any = True,
    output_indices_dtype: Any = "int32",  # noqa: ARG001 (the declared type says it)
) -> tuple[Tensor, ...]:
    along = axis_of(axis, x.dim())
    count = x.shape[along] if integer(k) == -1 else integer(k)
    values, indices = torch.sort(x, dim=along, descending=not flag(ascending), stable=True)
    found = values.narrow(along, 0, count), indices.narrow(along, 0, count)
    return found if flag(return_indices) else found[:1]


def _non_zero(*, x: Tensor) -> Tensor:
    return torch.nonzero(x)


OPERATORS: dict[str, Callable[..., Any]] = {
    "gather": _gather,
    "gather_along_axis": _gather_along_axis,
    "gather_nd": _gather_nd,
    "scatter": _scatter,
    "scatter_along_axis": _scatter_along_axis,
    "scatter_nd": _scatter_nd,
    "argsort": _argsort,
    "topk": _topk,
    "non_zero": _non_zero,
}
