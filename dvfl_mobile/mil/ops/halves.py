"""Operators that round to half precision on the way too: what hardware may do inside of one operation.

A sum, as of a product, a mean or a norm, is taken in half: of `TERMS` terms at a time, each of these sums rounded, and
they are added one after the other, each result rounded. A mean is such a sum, divided only then. Every other step, a
difference, a square or a root, is rounded by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from dvfl_mobile.mil.ops.arguments import axis_of, flag, integer, integers, real
from dvfl_mobile.mil.ops.layers import OPERATORS as LAYERS

TERMS = 8
"""How many terms are added up before a sum is rounded: as many products as common half-precision units sum at once."""

UNKNOWN = frozenset(
    (
        *("avg_pool", "conv_transpose", "cumsum", "einsum", "l2_pool", "local_response_norm", "reduce_log_sum"),
        *("reduce_log_sum_exp", "scaled_dot_product_attention", "softmax"),
    )
)
"""Operators that sum, and whose sums can't be rounded here."""


def _half(values: Tensor) -> Tensor:
    return values.half().float()


def _added(total: Tensor | None, part: Tensor) -> Tensor:
    return _half(part) if total is None else _half(total + _half(part))


def _total(x: Tensor, axes: Sequence[int]) -> Tensor:
    """The sum along `axes`, which stay at one."""
    kept = [axis for axis in range(x.dim()) if axis not in axes]
    terms = x.permute(*kept, *axes).flatten(len(kept)) if axes else x[..., None]
    total: Tensor | None = None
    for part in terms.split(TERMS, -1):
        total = _added(total, part.sum(-1))
    assert total is not None
    return total.reshape([1 if axis in axes else side for axis, side in enumerate(x.shape)])


def _mean(x: Tensor, axes: Sequence[int]) -> Tensor:
    count = 1
    for axis in axes:
        count *= x.shape[axis]
    return _half(_total(x, axes) / count)


def _matmul(*, x: Tensor, y: Tensor, transpose_x: Any = False, transpose_y: Any = False) -> Tensor:
    x = x.transpose(-1, -2) if flag(transpose_x) and x.dim() > 1 else x
    y = y.transpose(-1, -2) if flag(transpose_y) and y.dim() > 1 else y
    total: Tensor | None = None
    columns = y.split(TERMS, -2 if y.dim() > 1 else -1)
    for part, rows in zip(x.split(TERMS, -1), columns, strict=True):
        total = _added(total, torch.matmul(part, rows))
    assert total is not None
    return total


def _linear(*, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    total = _matmul(x=x, y=weight.transpose(0, 1))
    return total if bias is None else _half(total + bias)


def _conv(*, x: Tensor, weight: Tensor, bias: Tensor | None = None, groups: Any = 1, **options: Any) -> Tensor:
    """Some inputs of each group at a time, and of more than `TERMS` places of the kernel, some of these."""
    count, inputs, places = integer(groups), weight.shape[1], weight[0, 0].numel()
    grouped = x.unflatten(1, (count, inputs))
    step = max(1, TERMS // places)
    total: Tensor | None = None
    for first in range(0, inputs, step):
        some = grouped[:, :, first : first + step].flatten(1, 2)
        kernel = weight[:, first : first + step]
        for place in range(0, places, TERMS):
            part = torch.zeros_like(kernel).flatten(2)
            part[..., place : place + TERMS] = kernel.flatten(2)[..., place : place + TERMS]
            given = LAYERS["conv"](x=some, weight=part.reshape(kernel.shape), groups=count, **options)
            total = _added(total, given)
    assert total is not None
    return total if bias is None else _half(total + bias.reshape(-1, *[1] * (x.dim() - 2)))


def _standardized(x: Tensor, axes: Sequence[int], epsilon: float) -> Tensor:
    centred = _half(x - _mean(x, axes))
    variance = _mean(_half(centred * centred), axes)
    return _half(centred / _half(_half(variance + epsilon).sqrt()))


def _affine(x: Tensor, gamma: Tensor | None, beta: Tensor | None, shape: Sequence[int]) -> Tensor:
    x = x if gamma is None else _half(x * gamma.reshape(shape))
    return x if beta is None else _half(x + beta.reshape(shape))


def _layer_norm(
    *, x: Tensor, axes: Any = None, gamma: Tensor | None = None, beta: Tensor | None = None, epsilon: Any = 1e-5
) -> Tensor:
    rank = x.dim()
    chosen = list(range(rank)) if axes is None else [axis_of(axis, rank) for axis in integers(axes)]
    shape = [x.shape[axis] if axis in chosen else 1 for axis in range(rank)]
    return _affine(_standardized(x, chosen, real(epsilon)), gamma, beta, shape)


def _instance_norm(
    *, x: Tensor, gamma: Tensor | None = None, beta: Tensor | None = None, epsilon: Any = 1e-5
) -> Tensor:
    axes = range(2, x.dim())
    return _affine(_standardized(x, axes, real(epsilon)), gamma, beta, (1, -1, *[1] * len(axes)))


def _batch_norm(
    *,
    x: Tensor,
    mean: Tensor,
    variance: Tensor,
    gamma: Tensor | None = None,
    beta: Tensor | None = None,
    epsilon: Any = 1e-5,
) -> Tensor:
    shape = (1, -1, *[1] * (x.dim() - 2))
    root = _half(_half(variance + real(epsilon)).sqrt())
    return _affine(_half(_half(x - mean.reshape(shape)) / root.reshape(shape)), gamma, beta, shape)


def _l2_norm(*, x: Tensor, epsilon: Any = 1e-6) -> Tensor:
    total = _total(_half(x * x), range(x.dim())[-3:])
    return _half(x / _half(_half(total + real(epsilon)).sqrt()))


def _along(function: Callable[[Tensor, Sequence[int]], Tensor]) -> Callable[..., Tensor]:
    def operator(*, x: Tensor, axes: Any = None, keep_dims: Any = False) -> Tensor:
        rank = x.dim()
        chosen = list(range(rank)) if axes is None else [axis_of(axis, rank) for axis in integers(axes)]
        kept = function(x, chosen)
        return kept if flag(keep_dims) else kept.squeeze(tuple(chosen))

    return operator


OPERATORS: dict[str, Callable[..., Any]] = {
    "linear": _linear,
    "matmul": _matmul,
    "conv": _conv,
    "batch_norm": _batch_norm,
    "instance_norm": _instance_norm,
    "layer_norm": _layer_norm,
    "l2_norm": _l2_norm,
    "reduce_mean": _along(_mean),
    "reduce_sum": _along(_total),
    "reduce_sum_square": _along(lambda x, axes: _total(_half(x * x), axes)),
    "reduce_l1_norm": _along(lambda x, axes: _total(x.abs(), axes)),
    "reduce_l2_norm": _along(lambda x, axes: _half(_total(_half(x * x), axes).sqrt())),
}
