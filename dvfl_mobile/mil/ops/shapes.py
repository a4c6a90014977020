"""Operators that move, slice, join, pad and fill, without arithmetic."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from dvfl_mobile.mil.errors import MalformedError, UnpublishedError
from dvfl_mobile.mil.ops.arguments import axis_of, flag, flags, integer, integers, many, real, text


def _reshape(*, x: Tensor, shape: Any) -> Tensor:
    asked = integers(shape)
    rank = x.dim()
    sizes = []
    for index, size in enumerate(asked):
        counterpart = rank - (len(asked) - index)  # counted from the right, as iOS 17 does; equal ranks are as before
        sizes.append((x.shape[counterpart] if counterpart >= 0 else 1) if size == 0 else size)
    return x.reshape(sizes)


def _reshape_like(*, x: Tensor, ref_tensors: Any, begins: Any, ends: Any, end_masks: Any) -> Tensor:
    sizes: list[int] = []
    for tensor, begin, end, mask in zip(
        many(ref_tensors), integers(many(begins)), integers(many(ends)), flags(many(end_masks)), strict=True
    ):
        sizes += tensor.shape[begin:] if mask else tensor.shape[begin:end]
    return x.reshape(sizes)


def _transpose(*, x: Tensor, perm: Any) -> Tensor:
    return x.permute(integers(perm))


def _expand_dims(*, x: Tensor, axes: Any) -> Tensor:
    inserted = integers(axes)
    rank = x.dim() + len(inserted)
    for axis in sorted(axis_of(axis, rank) for axis in inserted):
        x = x.unsqueeze(axis)
    return x


def _squeeze(*, x: Tensor, axes: Any = None) -> Tensor:
    chosen = range(x.dim()) if axes is None else {axis_of(axis, x.dim()) for axis in integers(axes)}
    return x.reshape([size for axis, size in enumerate(x.shape) if axis not in chosen or size != 1])


def _flatten2d(*, x: Tensor, axis: Any = 1) -> Tensor:
    cut = integer(axis)
    cut = cut + x.dim() if cut < 0 else cut
    return x.reshape(math.prod(x.shape[:cut]), math.prod(x.shape[cut:]))


def _slices(
    shape: tuple[int, ...], begin: Any, end: Any, stride: Any, begin_mask: Any, end_mask: Any, squeeze_mask: Any
) -> tuple[slice | int, ...]:
    """As numpy takes them."""
    rank = len(shape)
    steps = [1] * rank if stride is None else integers(stride)
    free_begin, free_end, point = (
        [False] * rank if mask is None else flags(mask) for mask in (begin_mask, end_mask, squeeze_mask)
    )
    found: list[slice | int] = []
    for axis, (first, last, step) in enumerate(zip(integers(begin), integers(end), steps, strict=True)):
        if point[axis]:
            found.append(first)
        else:
            found.append(slice(None if free_begin[axis] else first, None if free_end[axis] else last, step))
    return tuple(found)


def _slice_by_index(
    *,
    x: Tensor,
    begin: Any,
    end: Any,
    stride: Any = None,
    begin_mask: Any = None,
    end_mask: Any = None,
    squeeze_mask: Any = None,
) -> Tensor:
    slices = _slices(tuple(x.shape), begin, end, stride, begin_mask, end_mask, squeeze_mask)
    return torch.from_numpy(np.array(x.numpy()[slices]))


def _slice_update(
    *,
    x: Tensor,
    update: Tensor,
    begin: Any,
    end: Any,
    stride: Any = None,
    begin_mask: Any = None,
    end_mask: Any = None,
    squeeze_mask: Any = None,
) -> Tensor:
    slices = _slices(tuple(x.shape), begin, end, stride, begin_mask, end_mask, squeeze_mask)
    result = x.numpy().copy()
    if result[slices].shape != tuple(update.shape):
        raise MalformedError(f"slice_update puts {tuple(update.shape)} where {result[slices].shape} is.")
    result[slices] = update.numpy()
    return torch.from_numpy(result)


def _slice_by_size(*, x: Tensor, begin: Any, size: Any) -> Tensor:
    for axis, (first, count) in enumerate(zip(integers(begin), integers(size), strict=True)):
        first = first + x.shape[axis] if first < 0 else first
        x = x.narrow(axis, first, x.shape[axis] - first if count == -1 else count)
    return x


def _concat(*, values: Any, axis: Any, interleave: Any = False) -> Tensor:
    tensors = many(values)
    if tensors[0].dim() == 0:
        return torch.stack(tensors)
    along = axis_of(axis, tensors[0].dim())
    if not flag(interleave):
        return torch.cat(tensors, along)
    return torch.stack(tensors, along + 1).flatten(along, along + 1)


def _split(*, x: Tensor, axis: Any, num_splits: Any = None, split_sizes: Any = None) -> tuple[Tensor, ...]:
    along = axis_of(axis, x.dim())
    if split_sizes is not None:
        return torch.split(x, integers(split_sizes), along)
    parts = integer(num_splits)
    if parts < 1 or x.shape[along] % parts:
        raise MalformedError(f"split cuts {x.shape[along]} into {parts} equal parts.")
    return torch.split(x, x.shape[along] // parts, along)


def _stack(*, values: Any, axis: Any) -> Tensor:
    tensors = many(values)
    return torch.stack(tensors, axis_of(axis, tensors[0].dim() + 1))


def _tile(*, x: Tensor, reps: Any) -> Tensor:
    return x.repeat(integers(reps))


_NUMPY_MODES = {"reflect": "reflect", "replicate": "edge"}


def _pad(*, x: Tensor, pad: Any, mode: Any = "constant", constant_val: Any = 0.0) -> Tensor:
    amounts, kind = integers(pad), text(mode)
    pairs = list(zip(amounts[::2], amounts[1::2], strict=True))
    around = [(0, 0)] * (x.dim() - len(pairs)) + pairs
    if kind == "constant":
        return torch.from_numpy(np.pad(x.numpy(), around, constant_values=real(constant_val)))
    if kind not in _NUMPY_MODES:
        raise UnpublishedError(f"pad in mode {kind!r}")
    return torch.from_numpy(np.pad(x.numpy(), around, mode=_NUMPY_MODES[kind]))  # type: ignore[call-overload]


def _reverse(*, x: Tensor, axes: Any = None) -> Tensor:
    return x.flip(list(range(x.dim())) if axes is None else integers(axes))


def _reverse_sequence(*, x: Tensor, lengths: Any, seq_axis: Any = 0, batch_axis: Any = 0) -> Tensor:
    along, batch = axis_of(seq_axis, x.dim()), axis_of(batch_axis, x.dim())
    if along == batch:
        raise MalformedError("reverse_sequence needs two axes.")
    result = x.clone()
    for index, length in enumerate(integers(lengths)):
        begin = x.select(batch, index).narrow(along - (batch < along), 0, length)
        result.select(batch, index).narrow(along - (batch < along), 0, length).copy_(
            begin.flip(along - (batch < along))
        )
    return result


def _depth_to_space(*, x: Tensor, block_size: Any) -> Tensor:
    size = integer(block_size)
    n, channels, height, width = x.shape
    blocks = x.reshape(n, size, size, channels // size**2, height, width)
    return blocks.permute(0, 3, 4, 1, 5, 2).reshape(n, channels // size**2, height * size, width * size)


def _space_to_depth(*, x: Tensor, block_size: Any) -> Tensor:
    size = integer(block_size)
    n, channels, height, width = x.shape
    blocks = x.reshape(n, channels, height // size, size, width // size, size)
    return blocks.permute(0, 3, 5, 1, 2, 4).reshape(n, channels * size**2, height // size, width // size)


def _space_to_batch(*, x: Tensor, block_shape: Any, paddings: Any) -> Tensor:
    rows, columns = integers(block_shape)
    top, bottom, left, right = integers(paddings)
    x = functional.pad(x, (left, right, top, bottom))
    n, channels, height, width = x.shape
    blocks = x.reshape(n, channels, height // rows, rows, width // columns, columns)
    return blocks.permute(3, 5, 0, 1, 2, 4).reshape(n * rows * columns, channels, height // rows, width // columns)


def _batch_to_space(*, x: Tensor, block_shape: Any, crops: Any) -> Tensor:
    rows, columns = integers(block_shape)
    top, bottom, left, right = integers(crops)
    n, channels, height, width = x.shape
    blocks = x.reshape(rows, columns, n // (rows * columns), channels, height, width)
    whole = blocks.permute(2, 3, 4, 0, 5, 1).reshape(-1, channels, height * rows, width * columns)
    return whole[:, :, top : height * rows - bottom, left : width * columns - right]


def _pixel_shuffle(*, x: Tensor, upscale_factor: Any) -> Tensor:
    return functional.pixel_shuffle(x, integer(upscale_factor))


def _pixel_unshuffle(*, x: Tensor, downscale_factor: Any) -> Tensor:
    return functional.pixel_unshuffle(x, integer(downscale_factor))


def _sliding_windows(*, x: Tensor, axis: Any, size: Any, stride: Any = 1) -> Tensor:
    along = axis_of(axis, x.dim())
    return x.unfold(along, integer(size), integer(stride)).movedim(-1, along + 1)


def _shape(*, x: Tensor) -> Tensor:
    return torch.tensor(x.shape, dtype=torch.int32)


def _fill(*, shape: Any, value: Any = 0.0) -> Tensor:
    number = value if isinstance(value, Tensor) else torch.tensor(float(value))
    return number.reshape(()).expand(integers(shape)).clone()


def _fill_like(*, ref_tensor: Tensor, value: Any = 0.0) -> Tensor:
    return _fill(shape=list(ref_tensor.shape), value=value)


def _range_1d(*, start: Any, end: Any, step: Any) -> Tensor:
    first, last, by = (each if isinstance(each, Tensor) else torch.tensor(each) for each in (start, end, step))
    # In the numbers' own type, as the length that programs declare is computed.
    bounds: Any = (first.numpy(), last.numpy(), by.numpy())
    return torch.from_numpy(np.arange(*bounds))


def _one_hot(
    *, indices: Tensor, one_hot_vector_size: Any, axis: Any = -1, on_value: Any = 1, off_value: Any = 0
) -> Tensor:
    size = integer(one_hot_vector_size)
    if indices.numel() and not 0 <= int(indices.min()) <= int(indices.max()) < size:
        raise UnpublishedError("one_hot of an index outside of the vector")
    on, off = (each if isinstance(each, Tensor) else torch.tensor(each) for each in (on_value, off_value))
    along = axis_of(axis, indices.dim() + 1)
    places = torch.arange(size).reshape([-1 if each == along else 1 for each in range(indices.dim() + 1)])
    return torch.where(indices.unsqueeze(along) == places, on.reshape(()), off.reshape(()))


def _band_part(*, x: Tensor, lower: Any = -1, upper: Any = -1) -> Tensor:
    below, above = integer(lower), integer(upper)
    rows, columns = torch.arange(x.shape[-2])[:, None], torch.arange(x.shape[-1])[None]
    band = torch.ones(x.shape[-2:], dtype=torch.bool)
    if below >= 0:
        band &= (rows - columns) <= below
    if above >= 0:
        band &= (columns - rows) <= above
    return torch.where(band, x, torch.zeros_like(x))


def _cumsum(*, x: Tensor, axis: Any = 0, exclusive: Any = False, reverse: Any = False) -> Tensor:
    along = axis_of(axis, x.dim())
    backwards = flag(reverse)
    x = x.flip(along) if backwards else x
    total = x.cumsum(along).to(x.dtype)
    if flag(exclusive):
        total = torch.cat([torch.zeros_like(total.narrow(along, 0, 1)), total], along).narrow(along, 0, x.shape[along])
    return total.flip(along) if backwards else total


OPERATORS: dict[str, Callable[..., Any]] = {
    "reshape": _reshape,
    "reshape_like": _reshape_like,
    "transpose": _transpose,
    "expand_dims": _expand_dims,
    "squeeze": _squeeze,
    "flatten2d": _flatten2d,
    "slice_by_index": _slice_by_index,
    "slice_by_size": _slice_by_size,
    "slice_update": _slice_update,
    "concat": _concat,
    "split": _split,
    "stack": _stack,
    "tile": _tile,
    "pad": _pad,
    "reverse": _reverse,
    "reverse_sequence": _reverse_sequence,
    "depth_to_space": _depth_to_space,
    "space_to_depth": _space_to_depth,
    "space_to_batch": _space_to_batch,
    "batch_to_space": _batch_to_space,
    "pixel_shuffle": _pixel_shuffle,
    "pixel_unshuffle": _pixel_unshuffle,
    "sliding_windows": _sliding_windows,
    "shape": _shape,
    "fill": _fill,
    "fill_like": _fill_like,
    "range_1d": _range_1d,
    "one_hot": _one_hot,
    "band_part": _band_part,
    "cumsum": _cumsum,
}
