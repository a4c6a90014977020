"""Matrix products, convolutions, pooling, normalizations and attention."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from dvfl_mobile.mil.errors import MalformedError, UnpublishedError
from dvfl_mobile.mil.ops.arguments import axis_of, flag, integer, integers, many, real, text

_CONV = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}
_CONV_TRANSPOSE = {1: functional.conv_transpose1d, 2: functional.conv_transpose2d, 3: functional.conv_transpose3d}
_MAX_POOL = {1: functional.max_pool1d, 2: functional.max_pool2d, 3: functional.max_pool3d}
_AVG_POOL = {1: functional.avg_pool1d, 2: functional.avg_pool2d, 3: functional.avg_pool3d}


def _linear(*, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return functional.linear(x, weight, bias)


def _matmul(*, x: Tensor, y: Tensor, transpose_x: Any = False, transpose_y: Any = False) -> Tensor:
    x = x.transpose(-1, -2) if flag(transpose_x) and x.dim() > 1 else x
    y = y.transpose(-1, -2) if flag(transpose_y) and y.dim() > 1 else y
    return torch.matmul(x, y)


def _einsum(*, values: Any, equation: Any) -> Tensor:
    return torch.einsum(text(equation), *many(values))


def _padding(
    kind: str, pad: Any, sides: Sequence[int], kernel: Sequence[int], strides: Sequence[int]
) -> list[tuple[int, int]]:
    """What is added before and after each spatial side; `kernel` is the dilated one."""
    if kind == "valid":
        return [(0, 0)] * len(sides)
    if kind == "custom":
        amounts = integers(pad)
        return list(zip(amounts[::2], amounts[1::2], strict=True))
    if kind not in ("same", "same_lower"):
        raise UnpublishedError(f"pad_type {kind!r}")
    found = []
    for side, reach, stride in zip(sides, kernel, strides, strict=True):
        total = max(0, (math.ceil(side / stride) - 1) * stride + reach - side)
        less, more = total // 2, total - total // 2
        found.append((less, more) if kind == "same" else (more, less))
    return found


def _padded(x: Tensor, padding: Sequence[tuple[int, int]], value: float = 0.0) -> Tensor:
    if not any(before or after for before, after in padding):
        return x
    return functional.pad(x, [each for pair in reversed(padding) for each in pair], value=value)


def _conv(
    *,
    x: Tensor,
    weight: Tensor,
    strides: Any = None,
    pad_type: Any = "valid",
    pad: Any = None,
    dilations: Any = None,
    groups: Any = 1,
    bias: Tensor | None = None,
) -> Tensor:
    sides = x.shape[2:]
    steps = [1] * len(sides) if strides is None else integers(strides)
    apart = [1] * len(sides) if dilations is None else integers(dilations)
    reach = [(size - 1) * gap + 1 for size, gap in zip(weight.shape[2:], apart, strict=True)]
    padding = _padding(text(pad_type), pad if pad is not None else [0] * 2 * len(sides), sides, reach, steps)
    return _CONV[len(sides)](_padded(x, padding), weight, bias, stride=steps, dilation=apart, groups=integer(groups))


def _conv_transpose(
    *,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    pad: Any = None,
    output_shape: Any = None,
    pad_type: Any = "valid",
    strides: Any = None,
    dilations: Any = None,
    groups: Any = 1,
) -> Tensor:
    sides, kind = x.shape[2:], text(pad_type)
    steps = [1] * len(sides) if strides is None else integers(strides)
    apart = [1] * len(sides) if dilations is None else integers(dilations)
    whole = _CONV_TRANSPOSE[len(sides)](x, weight, bias, stride=steps, dilation=apart, groups=integer(groups))
    if kind == "valid" and output_shape is None:
        return whole
    amounts = integers(pad) if kind == "custom" and pad is not None else [0] * 2 * len(sides)
    if kind == "same":
        amounts = []
        meant = [side * step for side, step in zip(sides, steps, strict=True)]
        for size, target in zip(
            whole.shape[2:], meant if output_shape is None else integers(output_shape)[2:], strict=True
        ):
            total = size - target
            if total < 0 or total % 2:
                raise UnpublishedError("conv_transpose with pad_type 'same' that cuts off an odd number")
            amounts += [total // 2, total // 2]
    elif kind != "custom":
        raise UnpublishedError(f"conv_transpose with pad_type {kind!r} and an output shape of its own")
    for axis, (before, after) in enumerate(zip(amounts[::2], amounts[1::2], strict=True), start=2):
        size = whole.shape[axis] - before - after
        if output_shape is not None:
            size = integers(output_shape)[axis]
            if size + before > whole.shape[axis]:
                # Rows that no input reaches: only the bias is there.
                missing = size + before - whole.shape[axis]
                grown = torch.zeros_like(whole.narrow(axis, 0, 1)).expand(
                    *[missing if other == axis else side for other, side in enumerate(whole.shape)]
                )
                if bias is not None:
                    grown = grown + bias.reshape(1, -1, *[1] * len(sides))
                whole = torch.cat([whole, grown], axis)
        whole = whole.narrow(axis, before, size)
    return whole


def _windows(
    x: Tensor, kernel_sizes: Any, strides: Any, pad_type: Any, pad: Any
) -> tuple[list[int], list[int], list[tuple[int, int]]]:
    kernel = integers(kernel_sizes)
    steps = [1] * len(kernel) if strides is None else integers(strides)
    return (
        kernel,
        steps,
        _padding(text(pad_type), pad if pad is not None else [0] * 2 * len(kernel), x.shape[2:], kernel, steps),
    )


def _symmetric(padding: Sequence[tuple[int, int]], kernel: Sequence[int]) -> list[int]:
    if any(before != after or before * 2 > size for (before, after), size in zip(padding, kernel, strict=True)):
        raise UnpublishedError("A pool with ceil_mode and padding that isn't symmetric, or is above half the window")
    return [before for before, _ in padding]


def _max_pool(
    *,
    x: Tensor,
    kernel_sizes: Any,
    strides: Any = None,
    pad_type: Any = "valid",
    pad: Any = None,
    ceil_mode: Any = False,
) -> Tensor:
    kernel, steps, padding = _windows(x, kernel_sizes, strides, pad_type, pad)
    pool = _MAX_POOL[len(kernel)]
    if flag(ceil_mode):
        return pool(x, kernel, steps, padding=_symmetric(padding, kernel), ceil_mode=True)
    return pool(_padded(x, padding, -math.inf), kernel, steps)


def _avg_pool(
    *,
    x: Tensor,
    kernel_sizes: Any,
    strides: Any = None,
    pad_type: Any = "valid",
    pad: Any = None,
    exclude_padding_from_average: Any = False,
    ceil_mode: Any = False,
) -> Tensor:
    kernel, steps, padding = _windows(x, kernel_sizes, strides, pad_type, pad)
    pool, exclude = _AVG_POOL[len(kernel)], flag(exclude_padding_from_average)
    if flag(ceil_mode):
        around = _symmetric(padding, kernel)
        return pool(x, kernel, steps, padding=around, ceil_mode=True, count_include_pad=not exclude)
    mean = pool(_padded(x, padding), kernel, steps)
    if not exclude:
        return mean
    return mean / pool(_padded(torch.ones_like(x), padding), kernel, steps)


def _batch_norm(
    *,
    x: Tensor,
    mean: Tensor,
    variance: Tensor,
    gamma: Tensor | None = None,
    beta: Tensor | None = None,
    epsilon: Any = 1e-5,
) -> Tensor:
    return functional.batch_norm(x, mean, variance, gamma, beta, eps=real(epsilon))


def _instance_norm(
    *, x: Tensor, gamma: Tensor | None = None, beta: Tensor | None = None, epsilon: Any = 1e-5
) -> Tensor:
    axes = tuple(range(2, x.dim()))
    return _affine(_standardized(x, axes, real(epsilon)), gamma, beta, (1, -1, *[1] * len(axes)))


def _layer_norm(
    *, x: Tensor, axes: Any = None, gamma: Tensor | None = None, beta: Tensor | None = None, epsilon: Any = 1e-5
) -> Tensor:
    rank = x.dim()
    chosen = list(range(rank)) if axes is None else [axis_of(axis, rank) for axis in integers(axes)]
    shape = [x.shape[axis] if axis in chosen else 1 for axis in range(rank)]
    if (gamma is not None or beta is not None) and chosen != sorted(chosen):
        raise UnpublishedError("layer_norm whose axes are out of order")
    return _affine(_standardized(x, tuple(chosen), real(epsilon)), gamma, beta, tuple(shape))


def _standardized(x: Tensor, axes: tuple[int, ...], epsilon: float) -> Tensor:
    centred = x - x.mean(axes, keepdim=True)
    return centred / ((centred * centred).mean(axes, keepdim=True) + epsilon).sqrt()


def _affine(x: Tensor, gamma: Tensor | None, beta: Tensor | None, shape: tuple[int, ...]) -> Tensor:
    x = x if gamma is None else x * gamma.reshape(shape)
    return x if beta is None else x + beta.reshape(shape)


def _l2_norm(*, x: Tensor, epsilon: Any = 1e-6) -> Tensor:
    if x.dim() < 3:
        raise MalformedError("l2_norm needs a tensor of rank 3 at least.")
    return x / ((x * x).sum((-3, -2, -1), keepdim=True) + real(epsilon)).sqrt()


def _local_response_norm(*, x: Tensor, size: Any, alpha: Any = 1e-4, beta: Any = 0.75, k: Any = 1.0) -> Tensor:
    width = integer(size)
    if width % 2 == 0:
        raise UnpublishedError("local_response_norm over an even number of channels")
    squares = functional.pad((x * x).flatten(2), (0, 0, width // 2, width // 2))
    total = squares.unfold(1, width, 1).sum(-1).reshape(x.shape)
    return x / (real(k) + real(alpha) / width * total) ** real(beta)


def _attention(*, query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None) -> Tensor:
    scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
    if attn_mask is not None:
        scores = scores.masked_fill(~attn_mask, -math.inf) if attn_mask.dtype == torch.bool else scores + attn_mask
    return torch.softmax(scores, -1) @ value


def _l2_pool(
    *,
    x: Tensor,
    kernel_sizes: Any,
    strides: Any = None,
    pad_type: Any = "valid",
    pad: Any = None,
    ceil_mode: Any = False,
) -> Tensor:
    means = _avg_pool(
        x=x * x, kernel_sizes=kernel_sizes, strides=strides, pad_type=pad_type, pad=pad, ceil_mode=ceil_mode
    )
    return (means * math.prod(integers(kernel_sizes))).sqrt()


OPERATORS: dict[str, Callable[..., Any]] = {
    "linear": _linear,
    "matmul": _matmul,
    "einsum": _einsum,
    "conv": _conv,
    "conv_transpose": _conv_transpose,
    "max_pool": _max_pool,
    "avg_pool": _avg_pool,
    "l2_pool": _l2_pool,
    "batch_norm": _batch_norm,
    "instance_norm": _instance_norm,
    "layer_norm": _layer_norm,
    "l2_norm": _l2_norm,
    "local_response_norm": _local_response_norm,
    "scaled_dot_product_attention": _attention,
}
