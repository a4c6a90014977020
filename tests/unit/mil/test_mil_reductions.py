"""The executor's reductions against their published definitions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.mil import assert_close, assert_same, floats, mb, run

X = floats(2, 3, 4)
POSITIVE = np.abs(X) + np.float32(0.1)

REDUCTIONS: dict[str, tuple[Callable[..., Any], np.ndarray]] = {
    "reduce_l1_norm": (lambda x, **over: np.sum(np.abs(x), **over), X),
    "reduce_l2_norm": (lambda x, **over: np.sqrt(np.sum(np.square(x), **over)), X),
    "reduce_log_sum": (lambda x, **over: np.log(np.sum(x, **over)), POSITIVE),
    "reduce_log_sum_exp": (lambda x, **over: np.log(np.sum(np.exp(x), **over)), X),
    "reduce_max": (np.max, X),
    "reduce_mean": (np.mean, X),
    "reduce_min": (np.min, X),
    "reduce_prod": (np.prod, X),
    "reduce_sum": (np.sum, X),
    "reduce_sum_square": (lambda x, **over: np.sum(np.square(x), **over), X),
}
AXES = {"first": [0], "last": [-1], "two": [0, 2], "two, one from the end": [-2, 2], "all": None}


@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.parametrize("keep_dims", [True, False])
@pytest.mark.parametrize("axes", AXES)
def test_reduction_over_axes(name: str, keep_dims: bool, axes: str) -> None:
    (formula, x), over = REDUCTIONS[name], AXES[axes]
    more = {} if over is None else {"axes": over}
    got = run(lambda x: getattr(mb, name)(x=x, keep_dims=keep_dims, **more), x)
    expected = formula(x.astype(np.float64), axis=None if over is None else tuple(over), keepdims=keep_dims)
    # A program that gives a scalar declares no shape.
    assert_close(got.reshape(np.shape(expected)) if got.size == 1 else got, expected)


def test_a_scalar_is_used_like_one() -> None:
    got = run(lambda x: mb.sub(x=x, y=mb.reduce_mean(x=x)), X)
    assert_close(got, X - X.astype(np.float64).mean())


@pytest.mark.parametrize("name", ["reduce_max", "reduce_min", "reduce_sum", "reduce_prod", "reduce_l1_norm"])
def test_reduction_of_int32_is_exact(name: str) -> None:
    x = np.array([[16777216, 1], [-3, -30000]], np.int32)
    formula = {
        "reduce_max": np.max,
        "reduce_min": np.min,
        "reduce_sum": np.sum,
        "reduce_prod": np.prod,
        "reduce_l1_norm": lambda x, axis: np.sum(np.abs(x), axis),
    }[name]
    assert_same(run(lambda x: getattr(mb, name)(x=x, axes=[1]), x), formula(x, axis=1), np.int32)


def test_reduce_sum_square_of_int32_is_exact() -> None:
    x = np.array([[40000, 3], [-5, 1]], np.int32)
    assert_same(run(lambda x: mb.reduce_sum_square(x=x, axes=[1]), x), [1600000009, 26], np.int32)


def test_log_sum_exp_of_large_values_does_not_overflow() -> None:
    x = np.array([[1000, 1000], [-1000, -1001]], np.float32)
    expected = [1000 + np.log(2), -1000 + np.log(1 + np.exp(-1))]
    assert_close(run(lambda x: mb.reduce_log_sum_exp(x=x, axes=[1]), x), expected)


ARGUMENTS = [("reduce_argmax", np.argmax), ("reduce_argmin", np.argmin)]


@pytest.mark.parametrize(("name", "formula"), ARGUMENTS)
@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("keep_dims", [True, False])
@pytest.mark.parametrize("opset", ["iOS15", "iOS17"])
def test_place_of_the_extreme(name: str, formula: Any, axis: int, keep_dims: bool, opset: str) -> None:
    got = run(lambda x: getattr(mb, name)(x=x, axis=axis, keep_dims=keep_dims), X, opset=opset)
    assert_same(got, formula(X, axis=axis, keepdims=keep_dims), np.int32)


@pytest.mark.parametrize(("name", "formula"), ARGUMENTS)
def test_place_of_the_extreme_among_int32(name: str, formula: Any) -> None:
    x = np.array([16777216, 16777217, 16777215, 16777216], np.int32)
    got = run(lambda x: getattr(mb, name)(x=x, axis=0, keep_dims=True), x)
    assert_same(got, [formula(x)], np.int32)


@pytest.mark.parametrize(("name", "formula"), ARGUMENTS)
def test_place_of_the_extreme_as_uint16_of_ios17(name: str, formula: Any) -> None:
    def body(x: Any) -> Any:
        return mb.cast(x=getattr(mb, name)(x=x, axis=1, output_dtype="uint16"), dtype="int32")

    assert_same(run(body, X, opset="iOS17"), formula(X, axis=1), np.int32)


def test_a_sum_of_float16_is_rounded_to_float16() -> None:
    x = np.array([[2048, 1], [2048, 3]], np.float16)
    got = run(lambda x: mb.sub(x=mb.reduce_sum(x=x, axes=[1]), y=np.float16(2048)), x, opset="iOS16")
    # 2049 goes to the even neighbour below, 2051 to the one above.
    assert_same(got, [0, 4], np.float16)


def test_means_of_float16_are_of_the_exact_sum() -> None:
    """A mean of 60000 twice is 60000: the sum on the way is no float16, which would be infinite."""
    x = np.array([[60000, 60000]], np.float16)
    assert_same(run(lambda x: mb.reduce_mean(x=x, axes=[1]), x, opset="iOS16"), [60000], np.float16)
