"""Elementwise operators and activations."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from dvfl_mobile.mil.errors import UnpublishedError
from dvfl_mobile.mil.ops.arguments import real, text


def _unary(function: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    def operator(*, x: Tensor) -> Tensor:
        return function(x)

    return operator


def _binary(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    def operator(*, x: Tensor, y: Tensor) -> Tensor:
        return function(x, y)

    return operator


def _real_div(x: Tensor, y: Tensor) -> Tensor:
    if x.is_floating_point() and y.is_floating_point():
        return x / y
    if bool((y == 0).any()) or bool((x % y != 0).any()):
        raise UnpublishedError("real_div of integers that don't divide")
    return torch.div(x, y, rounding_mode="floor")


def _clip(*, x: Tensor, alpha: Any, beta: Any) -> Tensor:
    return x.clamp(real(alpha), real(beta))


def _inverse(*, x: Tensor, epsilon: Any = 1e-4) -> Tensor:
    return 1 / (x + real(epsilon))


def _log(*, x: Tensor, epsilon: Any = 1e-45) -> Tensor:
    return (x + real(epsilon)).log()


def _rsqrt(*, x: Tensor, epsilon: Any = 1e-12) -> Tensor:
    return 1 / (x + real(epsilon)).sqrt()


def _threshold(*, x: Tensor, alpha: Any) -> Tensor:
    return torch.maximum(x, torch.as_tensor(real(alpha)).to(x.dtype))


def _cast(*, x: Tensor, dtype: Any) -> Tensor:
    text(dtype)  # the declared type of the output says the same, and the executor brings it to that
    return x


def _by_channel(values: Tensor, x: Tensor) -> Tensor:
    return values.reshape(1, -1, *[1] * (x.dim() - 2))


def _gelu(*, x: Tensor, mode: Any = "EXACT") -> Tensor:
    name = text(mode)
    if name == "EXACT":
        return functional.gelu(x)
    if name == "TANH_APPROXIMATION":
        return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    if name == "SIGMOID_APPROXIMATION":
        return x * torch.sigmoid(1.702 * x)
    raise UnpublishedError(f"gelu in mode {name}")


def _clamped_relu(*, x: Tensor, alpha: Any, beta: Any) -> Tensor:
    return torch.where(x >= 0, x, real(alpha) * x).clamp(max=real(beta))


def _elu(*, x: Tensor, alpha: Any) -> Tensor:
    return torch.where(x > 0, x, real(alpha) * torch.expm1(x))


def _leaky_relu(*, x: Tensor, alpha: Any) -> Tensor:
    return torch.where(x >= 0, x, real(alpha) * x)


def _linear_activation(*, x: Tensor, alpha: Any, beta: Any = 0.0) -> Tensor:
    return real(alpha) * x + real(beta)


def _prelu(*, x: Tensor, alpha: Tensor) -> Tensor:
    return torch.where(x > 0, x, _by_channel(alpha, x) * x)


def _scaled_tanh(*, x: Tensor, alpha: Any, beta: Any) -> Tensor:
    return real(alpha) * torch.tanh(real(beta) * x)


def _sigmoid_hard(*, x: Tensor, alpha: Any, beta: Any) -> Tensor:
    return (real(alpha) * x + real(beta)).clamp(0, 1)


def _softplus(x: Tensor) -> Tensor:
    return torch.logaddexp(x, torch.zeros_like(x))


def _softplus_parametric(*, x: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    return _by_channel(alpha, x) * _softplus(_by_channel(beta, x) * x)


def _thresholded_relu(*, x: Tensor, alpha: Any) -> Tensor:
    return torch.where(x >= real(alpha), x, torch.zeros_like(x))


def _softmax(*, x: Tensor, axis: Any = -1) -> Tensor:
    return torch.softmax(x, int(axis))


def _select(*, cond: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return torch.where(cond, a, b)


OPERATORS: dict[str, Callable[..., Any]] = {
    "abs": _unary(torch.abs),
    "acos": _unary(torch.acos),
    "asin": _unary(torch.asin),
    "atan": _unary(torch.atan),
    "atanh": _unary(torch.atanh),
    "ceil": _unary(torch.ceil),
    "cos": _unary(torch.cos),
    "cosh": _unary(torch.cosh),
    "erf": _unary(torch.erf),
    "exp": _unary(torch.exp),
    "exp2": _unary(torch.exp2),
    "floor": _unary(torch.floor),
    "logical_not": _unary(torch.logical_not),
    "round": _unary(torch.round),
    "sign": _unary(torch.sign),
    "sin": _unary(torch.sin),
    "sinh": _unary(torch.sinh),
    "sqrt": _unary(torch.sqrt),
    "square": _unary(torch.square),
    "tan": _unary(torch.tan),
    "tanh": _unary(torch.tanh),
    "identity": _unary(lambda x: x),
    "relu": _unary(torch.relu),
    "relu6": _unary(lambda x: x.clamp(0, 6)),
    "sigmoid": _unary(torch.sigmoid),
    "silu": _unary(lambda x: x * torch.sigmoid(x)),
    "softplus": _unary(_softplus),
    "softsign": _unary(lambda x: x / (1 + x.abs())),
    "add": _binary(torch.add),
    "sub": _binary(torch.sub),
    "mul": _binary(torch.mul),
    "real_div": _binary(_real_div),
    "floor_div": _binary(torch.floor_divide),
    "mod": _binary(torch.remainder),
    "pow": _binary(torch.pow),
    "maximum": _binary(torch.maximum),
    "minimum": _binary(torch.minimum),
    "equal": _binary(torch.eq),
    "not_equal": _binary(torch.ne),
    "less": _binary(torch.lt),
    "less_equal": _binary(torch.le),
    "greater": _binary(torch.gt),
    "greater_equal": _binary(torch.ge),
    "logical_and": _binary(torch.logical_and),
    "logical_or": _binary(torch.logical_or),
    "logical_xor": _binary(torch.logical_xor),
    "cast": _cast,
    "clip": _clip,
    "inverse": _inverse,
    "log": _log,
    "rsqrt": _rsqrt,
    "threshold": _threshold,
    "gelu": _gelu,
    "clamped_relu": _clamped_relu,
    "elu": _elu,
    "leaky_relu": _leaky_relu,
    "linear_activation": _linear_activation,
    "prelu": _prelu,
    "scaled_tanh": _scaled_tanh,
    "sigmoid_hard": _sigmoid_hard,
    "softplus_parametric": _softplus_parametric,
    "thresholded_relu": _thresholded_relu,
    "softmax": _softmax,
    "select": _select,
}
