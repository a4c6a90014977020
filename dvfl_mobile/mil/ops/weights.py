"""Compressed weights, `constexpr_*`, and quantization of activations."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dvfl_mobile.mil.dtypes import BY_NAME, unpack
from dvfl_mobile.mil.errors import MalformedError, UnpublishedError
from dvfl_mobile.mil.ops.arguments import axis_of, integers, text

_RANGES = {"int8": (-128, 127, torch.int8), "uint8": (0, 255, torch.uint8)}


def _along(values: Tensor, data: Tensor, axis: Any) -> Tensor:
    """A scalar as it is; a vector so that it goes with one axis of the data."""
    if values.dim() == 0:
        return values
    if axis is None:
        raise MalformedError("A vector of scales needs an axis.")
    shape = [1] * data.dim()
    shape[axis_of(axis, data.dim())] = -1
    return values.reshape(shape)


def _quantize(
    *, input: Tensor, scale: Tensor, output_dtype: Any, zero_point: Tensor | None = None, axis: Any = None
) -> Tensor:
    if text(output_dtype) not in _RANGES:
        raise UnpublishedError(f"quantize to {output_dtype}")
    least, most, dtype = _RANGES[output_dtype]
    steps = (input / _along(scale, input, axis)).round_()
    if zero_point is not None:
        steps += _along(zero_point.to(steps.dtype), input, axis)
    return steps.clamp_(least, most).to(dtype)


def _dequantize(*, input: Tensor, scale: Tensor, zero_point: Tensor | None = None, axis: Any = None) -> Tensor:
    values = input.to(scale.dtype, copy=True)
    if zero_point is not None:
        values -= _along(zero_point.to(scale.dtype), input, axis)
    return values.mul_(_along(scale, input, axis))


def _affine_dequantize(*, quantized_data: Tensor, zero_point: Tensor, scale: Tensor, axis: Any) -> Tensor:
    return _dequantize(input=quantized_data, scale=scale, zero_point=zero_point, axis=axis)


def _cast(*, source_val: Tensor, output_dtype: Any) -> Tensor:
    text(output_dtype)
    return source_val


def _blocks(values: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Values, each for a block of the data, repeated to the data's shape."""
    if values.dim() != len(shape):
        raise MalformedError(f"Scales of rank {values.dim()} for data of rank {len(shape)}.")
    for axis, (count, size) in enumerate(zip(values.shape, shape, strict=True)):
        if count == 0 or size % count:
            raise MalformedError(f"{count} scales for {size} values along axis {axis}.")
        if count != size:
            values = values.repeat_interleave(size // count, axis)
    return values


def _blockwise_shift_scale(*, data: Tensor, scale: Tensor, offset: Tensor | None = None) -> Tensor:
    values = data.to(scale.dtype)
    if offset is not None:
        values = values - _blocks(offset.to(scale.dtype), tuple(data.shape))
    return values * _blocks(scale, tuple(data.shape))


def _lut_to_dense(*, indices: Tensor, lut: Tensor, shape: Any = None, vector_axis: Any = None) -> Tensor:
    if shape is not None:  # iOS 16: packed indices of one table
        bits = int(math.log2(lut.numel()))
        if 2**bits != lut.numel():
            raise MalformedError(f"A table of {lut.numel()} values, and it must be a power of two.")
        sizes = integers(shape)
        try:
            places = unpack(indices.numpy().tobytes(), BY_NAME[f"uint{bits}"], math.prod(sizes))
        except (KeyError, ValueError) as error:
            raise MalformedError(f"Indices that don't fit their table: {error}.") from error
        return lut[torch.from_numpy(places.astype(np.int64))].reshape(sizes)
    return _looked_up(indices, lut, None if vector_axis is None else axis_of(vector_axis, indices.dim()))


def _looked_up(indices: Tensor, lut: Tensor, axis: int | None) -> Tensor:
    """iOS 18: a table for each block of the indices, of values or of vectors."""
    *blocks, palette, width = lut.shape
    if len(blocks) != indices.dim() or (width > 1 and axis is None):
        raise MalformedError("Tables that don't fit their indices.")
    if indices.numel() and int(indices.max()) >= palette:
        raise MalformedError(f"An index of {int(indices.max())} into a table of {palette}.")
    number = _blocks(torch.arange(math.prod(blocks)).reshape(blocks), tuple(indices.shape))
    vectors = lut.reshape(-1, palette, width)[number, indices.long()]
    if width == 1:
        return vectors.squeeze(-1)
    assert axis is not None
    return vectors.movedim(-1, axis + 1).flatten(axis, axis + 1)


def _sparse_to_dense(*, nonzero_data: Tensor, mask: Tensor, shape: Any = None) -> Tensor:
    if shape is None:
        return _spread(nonzero_data, mask)
    sizes = integers(shape)
    bits = np.unpackbits(mask.numpy(), bitorder="little")
    count = math.prod(sizes)
    if len(bits) < count:
        raise MalformedError("A mask that is shorter than its weight.")
    return _spread(nonzero_data, torch.from_numpy(bits[:count]).reshape(sizes))


def _spread(values: Tensor, mask: Tensor) -> Tensor:
    """Values in order where the mask is set, and 0 elsewhere."""
    places = mask.bool()
    if int(places.sum()) != values.numel():
        raise MalformedError(f"{values.numel()} values for a mask of {int(places.sum())}.")
    dense = torch.zeros(mask.shape, dtype=values.dtype)
    dense[places] = values.reshape(-1)
    return dense


def _lut_to_sparse(
    *, indices_mask: Tensor, indices_nonzero_data: Tensor, lut: Tensor, vector_axis: Any = None
) -> tuple[Tensor, Tensor]:
    axis = None if vector_axis is None else axis_of(vector_axis, indices_mask.dim())
    dense = _looked_up(_spread(indices_nonzero_data, indices_mask), lut, axis)
    mask = indices_mask
    if lut.shape[-1] > 1:
        assert axis is not None
        mask = mask.repeat_interleave(lut.shape[-1], axis)
    return mask, dense[mask.bool()]


def _sparse_blockwise_shift_scale(
    *, data_mask: Tensor, nonzero_data: Tensor, scale: Tensor, offset: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    dense = _blockwise_shift_scale(data=_spread(nonzero_data, data_mask), scale=scale, offset=offset)
    return data_mask, dense[data_mask.bool()]


OPERATORS: dict[str, Callable[..., Any]] = {
    "quantize": _quantize,
    "dequantize": _dequantize,
    "constexpr_affine_dequantize": _affine_dequantize,
    "constexpr_cast": _cast,
    "constexpr_blockwise_shift_scale": _blockwise_shift_scale,
    "constexpr_lut_to_dense": _lut_to_dense,
    "constexpr_sparse_to_dense": _sparse_to_dense,
    "constexpr_lut_to_sparse": _lut_to_sparse,
    "constexpr_sparse_blockwise_shift_scale": _sparse_blockwise_shift_scale,
}
