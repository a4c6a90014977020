"""Operators that resize, crop and resample the last two dimensions, `(...,H,W)`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dvfl_mobile.mil.errors import MalformedError, UnpublishedError
from dvfl_mobile.mil.ops.arguments import flag, integer, integers, real, text


def grid(mode: str, size: int, count: int) -> Tensor:
    """Where `count` samples of `size` values are taken, in values, `(count,)`; the modes of `resize_bilinear`."""
    return spread(mode, size - 1, count)


def spread(mode: str, length: float, count: int) -> Tensor:
    """The same along `length`, the distance from the first value to the last, `(count,)`; it may be negative."""
    return _spread(mode, length, count).clamp(min(0.0, length), max(0.0, length))


def _spread(mode: str, length: float, count: int) -> Tensor:
    places = torch.arange(count, dtype=torch.float64)
    if mode in ("STRICT_ALIGN_CORNERS", "ALIGN_CORNERS"):
        if count == 1:
            return torch.tensor([length / 2 if mode == "ALIGN_CORNERS" else 0.0], dtype=torch.float64)
        return places * (length / (count - 1))
    if mode == "DEFAULT":
        return places * ((length + 1) / count)
    if mode == "OFFSET_CORNERS":
        return (places + 0.5) * (max(1, length) / count)
    if mode == "UNALIGN_CORNERS":
        return (places + 0.5) * ((length + 1) / count) - 0.5
    raise UnpublishedError(f"sampling_mode {mode!r}")


def _between(x: Tensor, axis: int, places: Tensor) -> Tensor:
    """Linear interpolation at points within the axis."""
    size = x.shape[axis]
    below = places.floor().clamp(0, size - 1)
    above = (below + 1).clamp(max=size - 1)
    share = (places - below).to(x.dtype).reshape([-1 if each == axis % x.dim() else 1 for each in range(x.dim())])
    low, high = x.index_select(axis, below.long()), x.index_select(axis, above.long())
    return low + (high - low) * share


def _linear(x: Tensor, height: int, width: int, mode: str) -> Tensor:
    x = _between(x, -2, grid(mode, x.shape[-2], height))
    return _between(x, -1, grid(mode, x.shape[-1], width))


def _nearest(x: Tensor, height: int, width: int) -> Tensor:
    rows = torch.arange(height) * x.shape[-2] // height
    columns = torch.arange(width) * x.shape[-1] // width
    return x.index_select(-2, rows).index_select(-1, columns)


def _scaled(x: Tensor, factor_height: Any, factor_width: Any) -> tuple[int, int]:
    # In float32, as coremltools computes the shapes that programs declare.
    height, width = (
        np.float32(x.shape[axis]) * np.float32(real(by)) for axis, by in ((-2, factor_height), (-1, factor_width))
    )
    return int(height), int(width)


def _upsample_nearest_neighbor(*, x: Tensor, scale_factor_height: Any = 1, scale_factor_width: Any = 1) -> Tensor:
    height, width = _scaled(x, scale_factor_height, scale_factor_width)
    return _nearest(x, height, width)


def _upsample_bilinear(
    *,
    x: Tensor,
    scale_factor_height: Any = 1,
    scale_factor_width: Any = 1,
    align_corners: Any = True,
    half_pixel_centers: Any = None,
) -> Tensor:
    height, width = _scaled(x, scale_factor_height, scale_factor_width)
    aligned = flag(align_corners)
    centred = not aligned if half_pixel_centers is None else flag(half_pixel_centers)
    if aligned and centred:
        raise UnpublishedError("upsample_bilinear with align_corners and half_pixel_centers")
    mode = "STRICT_ALIGN_CORNERS" if aligned else "UNALIGN_CORNERS" if centred else "DEFAULT"
    return _linear(x, height, width, mode)


def _resize_nearest_neighbor(*, x: Tensor, target_size_height: Any, target_size_width: Any) -> Tensor:
    return _nearest(x, integer(target_size_height), integer(target_size_width))


def _resize_bilinear(
    *, x: Tensor, target_size_height: Any = 1, target_size_width: Any = 1, sampling_mode: Any = "DEFAULT"
) -> Tensor:
    return _linear(x, integer(target_size_height), integer(target_size_width), text(sampling_mode))


def _resize(
    *, x: Tensor, shape: Any, resized_dims: Any, interpolation_mode: Any = "LINEAR", sampling_mode: Any = "DEFAULT"
) -> Tensor:
    count, kind, mode = integer(resized_dims), text(interpolation_mode), text(sampling_mode)
    if kind not in ("LINEAR", "NEAREST_NEIGHBOR") or (kind == "NEAREST_NEIGHBOR" and mode != "DEFAULT"):
        raise UnpublishedError(f"resize by {kind} in sampling_mode {mode!r}")
    sizes = integers(shape)[-count:] if count else []
    integral, dtype = not x.is_floating_point(), x.dtype
    for axis, size in enumerate(sizes, start=x.dim() - count):
        target = size or x.shape[axis]
        if kind == "LINEAR":
            if integral and target != x.shape[axis]:
                raise UnpublishedError("resize of integers by interpolation")
            x = _between(x, axis, grid(mode, x.shape[axis], target))
        else:
            # Rounded, as Apple's own test of it has it; nearest neighbours of iOS 15 are cut off.
            x = x.index_select(axis, grid(mode, x.shape[axis], target).round().long())
    return x.to(dtype)


def _crop(*, x: Tensor, crop_height: Any, crop_width: Any) -> Tensor:
    (top, bottom), (left, right) = integers(crop_height), integers(crop_width)
    return x[..., top : x.shape[-2] - bottom, left : x.shape[-1] - right]


_COORDINATES = ("unnormalized", "normalized_minus_one_to_one", "normalized_zero_to_one")


def _pixels(points: Tensor, size: int, mode: str, aligned: bool) -> Tensor:
    """Coordinates along one side, in pixels."""
    if mode == "unnormalized":
        return points
    if mode not in _COORDINATES:
        raise UnpublishedError(f"coordinates_mode {mode!r}")
    share = (points + 1) / 2 if mode == "normalized_minus_one_to_one" else points
    return share * (size - 1) if aligned else share * size - 0.5


def _placed(places: Tensor, size: int, mode: str) -> tuple[Tensor, Tensor]:
    """Whole places along one side as places in the image, and which of them the padding value takes."""
    outside = (places < 0) | (places >= size)
    if mode == "constant":
        return places.clamp(0, size - 1), outside
    none = torch.zeros_like(outside)
    if mode == "border":
        return places.clamp(0, size - 1), none
    if mode == "reflection":
        period = max(2 * (size - 1), 1)
        folded = places.remainder(period)
        return torch.minimum(folded, period - folded).clamp(0, size - 1), none
    if mode == "symmetric":
        folded = places.remainder(2 * size)
        return torch.minimum(folded, 2 * size - 1 - folded), none
    raise UnpublishedError(f"padding_mode {mode!r}")


def _nearest_place(points: Tensor, size: int, mode: str) -> Tensor:
    """Points rounded to places; symmetric padding reflects a point first, as Apple's own test of it has it."""
    if mode == "symmetric":
        folded = (points + 0.5).remainder(2 * size)
        points = torch.minimum(folded, 2 * size - folded) - 0.5
        return points.round().clamp(0, size - 1)
    return points.round()


def _resample(
    *,
    x: Tensor,
    coordinates: Tensor,
    sampling_mode: Any,
    padding_mode: Any,
    padding_value: Any,
    coordinates_mode: Any,
    align_corners: Any,
) -> Tensor:
    if x.dim() != 4 or coordinates.dim() != 4 or coordinates.shape[-1] != 2:
        raise MalformedError("resample takes an image of rank 4 and pairs of coordinates.")
    height, width = x.shape[-2:]
    aligned, mode = flag(align_corners), text(coordinates_mode)
    points = coordinates.double()
    columns = _pixels(points[..., 0], width, mode, aligned)
    rows = _pixels(points[..., 1], height, mode, aligned)
    kind, padding, value = text(sampling_mode), text(padding_mode), real(padding_value)

    def at(row: Tensor, column: Tensor) -> Tensor:
        """Values at whole places, `(B,C,H2,W2)`."""
        r, r_out = _placed(row.long(), height, padding)
        c, c_out = _placed(column.long(), width, padding)
        batch = torch.arange(x.shape[0]).reshape(-1, 1, 1)
        found = x.permute(0, 2, 3, 1)[batch, r, c].permute(0, 3, 1, 2)
        return torch.where((r_out | c_out)[:, None], torch.tensor(value, dtype=x.dtype), found)

    if kind == "nearest":
        return at(_nearest_place(rows, height, padding), _nearest_place(columns, width, padding))
    if kind != "bilinear":
        raise UnpublishedError(f"resample in sampling_mode {kind!r}")
    top, left = rows.floor(), columns.floor()
    down, right = (rows - top)[:, None].to(x.dtype), (columns - left)[:, None].to(x.dtype)
    upper = at(top, left) * (1 - right) + at(top, left + 1) * right
    lower = at(top + 1, left) * (1 - right) + at(top + 1, left + 1) * right
    return upper * (1 - down) + lower * down


def _affine(
    *,
    x: Tensor,
    transform_matrix: Tensor,
    output_height: Any,
    output_width: Any,
    sampling_mode: Any,
    padding_mode: Any,
    padding_value: Any,
    coordinates_mode: Any,
    align_corners: Any,
) -> Tensor:
    height, width = integer(output_height), integer(output_width)
    if min(height, width) < 2 or not flag(align_corners):
        raise UnpublishedError("affine without aligned corners, or to a side of one pixel")
    rows, columns = torch.meshgrid(
        torch.linspace(-1, 1, height, dtype=torch.float64),
        torch.linspace(-1, 1, width, dtype=torch.float64),
        indexing="ij",
    )
    matrix = transform_matrix.double().expand(x.shape[0], 6).reshape(-1, 2, 3)
    points = torch.stack([columns, rows, torch.ones_like(rows)], -1)
    coordinates = torch.einsum("bij,hwj->bhwi", matrix, points)
    return _resample(
        x=x,
        coordinates=coordinates,
        sampling_mode=sampling_mode,
        padding_mode=padding_mode,
        padding_value=padding_value,
        coordinates_mode=coordinates_mode,
        align_corners=align_corners,
    )


OPERATORS: dict[str, Callable[..., Any]] = {
    "upsample_nearest_neighbor": _upsample_nearest_neighbor,
    "upsample_bilinear": _upsample_bilinear,
    "resize_nearest_neighbor": _resize_nearest_neighbor,
    "resize_bilinear": _resize_bilinear,
    "resize": _resize,
    "crop": _crop,
    "resample": _resample,
    "affine": _affine,
}
