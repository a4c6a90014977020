"""Reductions along axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from dvfl_mobile.mil.ops.arguments import axis_of, flag, integers


def _along(function: Callable[[Tensor, tuple[int, ...], bool], Tensor]) -> Callable[..., Tensor]:
    def operator(*, x: Tensor, axes: Any = None, keep_dims: Any = False) -> Tensor:
        rank = x.dim()
        chosen = tuple(range(rank)) if axes is None else tuple(axis_of(axis, rank) for axis in integers(axes))
        return function(x, chosen, flag(keep_dims))

    return operator


def _mean(x: Tensor, axes: tuple[int, ...], keep: bool) -> Tensor:
    return (x if x.is_floating_point() else x.double()).mean(axes, keepdim=keep)


def _product(x: Tensor, axes: tuple[int, ...], keep: bool) -> Tensor:
    for axis in sorted(axes, reverse=True):
        x = x.prod(axis, keepdim=keep)
    return x


def _index(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def operator(*, x: Tensor, axis: Any = -1, keep_dims: Any = False, output_dtype: Any = "int32") -> Tensor:  # noqa: ARG001
        return function(x, axis_of(axis, x.dim()), keepdim=flag(keep_dims))

    return operator


OPERATORS: dict[str, Callable[..., Any]] = {
    "reduce_argmax": _index(torch.argmax),
    "reduce_argmin": _index(torch.argmin),
    "reduce_l1_norm": _along(lambda x, axes, keep: x.abs().sum(axes, keepdim=keep)),
    "reduce_l2_norm": _along(lambda x, axes, keep: (x * x).sum(axes, keepdim=keep).double().sqrt()),
    "reduce_log_sum": _along(lambda x, axes, keep: x.sum(axes, keepdim=keep).log()),
    "reduce_log_sum_exp": _along(lambda x, axes, keep: torch.logsumexp(x.double(), axes, keepdim=keep)),
    "reduce_max": _along(lambda x, axes, keep: x.amax(axes, keepdim=keep)),
    "reduce_mean": _along(_mean),
    "reduce_min": _along(lambda x, axes, keep: x.amin(axes, keepdim=keep)),
    "reduce_prod": _along(_product),
    "reduce_sum": _along(lambda x, axes, keep: x.sum(axes, keepdim=keep)),
    "reduce_sum_square": _along(lambda x, axes, keep: (x * x).sum(axes, keepdim=keep)),
}
