"""The executor's elementwise operators and activations against their published formulas."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.mil import HALF, assert_close, assert_same, floats, mb, run

VALUES = np.array([-9, -3.5, -2.5, -1.25, -1, -0.75, -0.3, 0, 0.2, 0.5, 1, 1.5, 2.5, 3.7, 6, 8.25], np.float32)
WITHIN_ONE = np.array([-0.99, -0.7, -0.25, 0, 0.1, 0.5, 0.95], np.float32)
POSITIVE = np.array([0.01, 0.3, 1, 2, 7.5, 1000], np.float32)

erf = np.vectorize(math.erf)


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


UNARY: dict[str, tuple[Callable[..., Any], np.ndarray]] = {
    "abs": (np.abs, VALUES),
    "acos": (np.arccos, WITHIN_ONE),
    "asin": (np.arcsin, WITHIN_ONE),
    "atan": (np.arctan, VALUES),
    "atanh": (np.arctanh, WITHIN_ONE),
    "ceil": (np.ceil, VALUES),
    "cos": (np.cos, VALUES),
    "cosh": (np.cosh, VALUES),
    "erf": (erf, VALUES),
    "exp": (np.exp, VALUES),
    "exp2": (np.exp2, VALUES),
    "floor": (np.floor, VALUES),
    "relu": (lambda x: np.maximum(x, 0), VALUES),
    "relu6": (lambda x: np.minimum(np.maximum(x, 0), 6), VALUES),
    "sigmoid": (sigmoid, VALUES),
    "sign": (np.sign, VALUES),
    "silu": (lambda x: x * sigmoid(x), VALUES),
    "sin": (np.sin, VALUES),
    "sinh": (np.sinh, VALUES),
    "softplus": (lambda x: np.log(1 + np.exp(x)), VALUES),
    "softsign": (lambda x: x / (1 + np.abs(x)), VALUES),
    "sqrt": (np.sqrt, POSITIVE),
    "square": (np.square, VALUES),
    "tan": (np.tan, WITHIN_ONE),
    "tanh": (np.tanh, VALUES),
}


@pytest.mark.parametrize("name", UNARY)
def test_unary_is_its_formula(name: str) -> None:
    formula, x = UNARY[name]
    assert_close(run(lambda x: getattr(mb, name)(x=x), x), formula(x.astype(np.float64)))


@pytest.mark.parametrize("name", UNARY)
def test_unary_of_float16_is_its_formula_rounded_to_float16(name: str) -> None:
    formula, x = UNARY[name]
    half = x[np.abs(formula(x.astype(np.float64))) < 60000].astype(np.float16)
    got = run(lambda x: getattr(mb, name)(x=x), half, opset="iOS16")
    exact = formula(half.astype(np.float64))
    assert got.dtype == np.float16
    # A bit more than half of the last bit: the formula may have been rounded once on its way.
    assert np.all(np.abs(got - exact) <= 1.5 * HALF * np.abs(exact) + 6e-8)


@pytest.mark.parametrize("name", ["abs", "sign", "square"])
def test_unary_of_int32_stays_int32_and_exact(name: str) -> None:
    x = np.array([-40001, -3, 0, 2, 46340], np.int32)
    assert_same(run(lambda x: getattr(mb, name)(x=x), x), getattr(np, name)(x))


def test_exp2_of_int32() -> None:
    assert_same(run(lambda x: mb.exp2(x=x), np.array([0, 1, 5, 30], np.int32)), [1, 2, 32, 2**30], np.int32)


def test_round_takes_a_half_to_the_even_neighbour() -> None:
    x = np.array([-2.5, -1.5, -0.5, -0.2, 0.5, 1.5, 2.5, 2.51, 3.49], np.float32)
    assert_same(run(lambda x: mb.round(x=x), x), [-2, -2, 0, 0, 0, 2, 2, 3, 3], np.float32)


def test_softplus_and_sigmoids_of_large_values_do_not_overflow() -> None:
    x = np.array([-200, 200], np.float32)
    assert_close(run(lambda x: mb.softplus(x=x), x), [0, 200])
    assert_close(run(lambda x: mb.sigmoid(x=x), x), [0, 1])
    assert_close(run(lambda x: mb.silu(x=x), x), [0, 200])


WITH_CONSTANTS: dict[str, tuple[dict[str, float], Callable[..., Any]]] = {
    "clamped_relu": (
        {"alpha": -2.0, "beta": 3.0},
        lambda x, alpha, beta: np.minimum(beta, np.where(x >= 0, x, alpha * x)),
    ),
    "clip": ({"alpha": -1.5, "beta": 2.0}, lambda x, alpha, beta: np.minimum(np.maximum(x, alpha), beta)),
    "elu": ({"alpha": 1.7}, lambda x, alpha: np.where(x > 0, x, alpha * (np.exp(x) - 1))),
    "leaky_relu": ({"alpha": 0.3}, lambda x, alpha: np.where(x >= 0, x, alpha * x)),
    "linear_activation": ({"alpha": 1.5, "beta": -0.25}, lambda x, alpha, beta: x * alpha + beta),
    "scaled_tanh": ({"alpha": 1.7, "beta": 0.6}, lambda x, alpha, beta: alpha * np.tanh(beta * x)),
    "sigmoid_hard": (
        {"alpha": 0.3, "beta": 0.4},
        lambda x, alpha, beta: np.minimum(np.maximum(alpha * x + beta, 0), 1),
    ),
    "threshold": ({"alpha": -0.75}, lambda x, alpha: np.maximum(x, alpha)),
    "thresholded_relu": ({"alpha": 1.5}, lambda x, alpha: np.where(x >= alpha, x, 0)),
}


@pytest.mark.parametrize("name", WITH_CONSTANTS)
def test_activation_with_constants_is_its_formula(name: str) -> None:
    constants, formula = WITH_CONSTANTS[name]
    got = run(lambda x: getattr(mb, name)(x=x, **constants), VALUES)
    assert_close(got, formula(VALUES.astype(np.float64), **constants))


@pytest.mark.parametrize("name", sorted(WITH_CONSTANTS.keys() - {"clip", "threshold"}))
def test_constants_of_ios17_may_be_of_another_precision(name: str) -> None:
    constants, formula = WITH_CONSTANTS[name]
    halves = {key: np.float16(value) for key, value in constants.items()}
    got = run(lambda x: getattr(mb, name)(x=x, **halves), VALUES, opset="iOS17")
    assert_close(got, formula(VALUES.astype(np.float64), **{key: float(value) for key, value in halves.items()}))


@pytest.mark.parametrize("name", WITH_CONSTANTS)
def test_activation_of_float16_is_its_formula_rounded_to_float16(name: str) -> None:
    constants, formula = WITH_CONSTANTS[name]
    halves, x = {key: np.float16(value) for key, value in constants.items()}, VALUES.astype(np.float16)
    got = run(lambda x: getattr(mb, name)(x=x, **halves), x, opset="iOS16")
    exact = formula(x.astype(np.float64), **{key: float(value) for key, value in halves.items()})
    assert got.dtype == np.float16
    assert np.all(np.abs(got - exact) <= 1.5 * HALF * np.abs(exact) + 6e-8)


def test_threshold_of_int32() -> None:
    assert_same(run(lambda x: mb.threshold(x=x, alpha=2), np.array([-5, 2, 3], np.int32)), [2, 2, 3], np.int32)


GELU: dict[str, Callable[..., Any]] = {
    "EXACT": lambda x: 0.5 * x * (1 + erf(x / np.sqrt(2))),
    "TANH_APPROXIMATION": lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
    "SIGMOID_APPROXIMATION": lambda x: x * sigmoid(1.702 * x),
}


@pytest.mark.parametrize("mode", GELU)
def test_gelu_of_each_mode(mode: str) -> None:
    assert_close(run(lambda x: mb.gelu(x=x, mode=mode), VALUES), GELU[mode](VALUES.astype(np.float64)))


@pytest.mark.parametrize("opset", ["iOS15", "iOS17"])
def test_prelu_has_an_alpha_for_each_channel(opset: str) -> None:
    x, alpha = floats(2, 3, 4, 5), np.array([0.1, -2, 3], np.float32)
    expected = np.where(x > 0, x, alpha[:, None, None].astype(np.float64) * x)
    assert_close(run(lambda x: mb.prelu(x=x, alpha=alpha), x, opset=opset), expected)


@pytest.mark.parametrize("shape", [(2, 3, 4), (2, 3, 2, 2, 2)])
def test_prelu_of_other_ranks(shape: tuple[int, ...]) -> None:
    x, alpha = floats(*shape), np.full(3, 0.4, np.float32)
    assert_close(run(lambda x: mb.prelu(x=x, alpha=alpha), x), np.where(x > 0, x, 0.4 * x.astype(np.float64)))


def test_softplus_parametric_has_an_alpha_and_a_beta_for_each_channel() -> None:
    x, alpha, beta = floats(2, 3, 4, 5), np.array([0.5, 1, -2], np.float32), np.array([1, -0.5, 3], np.float32)
    exponent = np.exp(beta[:, None, None].astype(np.float64) * x)
    got = run(lambda x: mb.softplus_parametric(x=x, alpha=alpha, beta=beta), x)
    assert_close(got, alpha[:, None, None] * np.log(1 + exponent))


EPSILON: dict[str, tuple[float, Callable[..., Any]]] = {
    "inverse": (1e-4, lambda x: 1 / x),
    "log": (1e-45, np.log),
    "rsqrt": (1e-12, lambda x: 1 / np.sqrt(x)),
}


@pytest.mark.parametrize("name", EPSILON)
@pytest.mark.parametrize("opset", ["iOS15", "iOS17"])
def test_epsilon_is_added_before_the_function(name: str, opset: str) -> None:
    _, formula = EPSILON[name]
    got = run(lambda x: getattr(mb, name)(x=x, epsilon=0.5), POSITIVE, opset=opset)
    assert_close(got, formula(POSITIVE.astype(np.float64) + 0.5))


@pytest.mark.parametrize("name", EPSILON)
def test_the_default_epsilon_keeps_zero_finite(name: str) -> None:
    epsilon, formula = EPSILON[name]
    # 1e-45 as a float32 is its smallest number, 1.4e-45.
    got = run(lambda x: getattr(mb, name)(x=x), np.zeros(2, np.float32))
    assert_close(got, [formula(float(np.float32(epsilon)))] * 2)


X, Y = floats(2, 1, 3, seed=1), floats(4, 1, seed=2)
BINARY: dict[str, Callable[..., Any]] = {
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "real_div": lambda x, y: x / y,
    "floor_div": lambda x, y: np.floor(x / y),
    "mod": lambda x, y: x - y * np.floor(x / y),
    "maximum": np.maximum,
    "minimum": np.minimum,
}


@pytest.mark.parametrize("name", BINARY)
def test_binary_is_its_formula_and_broadcasts_both_ways(name: str) -> None:
    got = run(lambda x, y: getattr(mb, name)(x=x, y=y), X, Y)
    assert got.shape == (2, 4, 3)
    assert_close(got, BINARY[name](X.astype(np.float64), Y.astype(np.float64)))


@pytest.mark.parametrize("name", BINARY)
def test_binary_of_float16_is_its_formula_rounded_to_float16(name: str) -> None:
    x, y = X.astype(np.float16), Y.astype(np.float16)
    exact = BINARY[name](x.astype(np.float64), y.astype(np.float64))
    got = run(lambda x, y: getattr(mb, name)(x=x, y=y), x, y, opset="iOS16")
    assert got.dtype == np.float16
    assert np.all(np.abs(got - exact) <= 1.01 * HALF * np.abs(exact) + 6e-8)


def test_pow_is_x_to_the_y() -> None:
    x, y = np.array([[2.0], [0.5], [9.0]], np.float32), np.array([-1.5, 0, 0.5, 3], np.float32)
    assert_close(run(lambda x, y: mb.pow(x=x, y=y), x, y), x.astype(np.float64) ** y)
    negative = np.array([-2, -3], np.float32)
    assert_close(run(lambda x, y: mb.pow(x=x, y=y), negative, np.float32([2, 3])), [4, -27])


WHOLE_X = np.array([[-7, -6, 7, 0, 16777217]], np.int32)
WHOLE_Y = np.array([[3], [-3], [2]], np.int32)


@pytest.mark.parametrize("name", ["add", "sub", "mul", "floor_div", "mod", "maximum", "minimum"])
def test_binary_of_int32_is_exact_beyond_what_float32_counts(name: str) -> None:
    operation = {
        "add": np.add,
        "sub": np.subtract,
        "mul": np.multiply,
        # Rounded towards negative infinity, and the remainder that belongs to it.
        "floor_div": np.floor_divide,
        "mod": np.mod,
        "maximum": np.maximum,
        "minimum": np.minimum,
    }[name]
    assert_same(run(lambda x, y: getattr(mb, name)(x=x, y=y), WHOLE_X, WHOLE_Y), operation(WHOLE_X, WHOLE_Y))


def test_pow_of_int32() -> None:
    x, y = np.array([3, -2, 5, 7], np.int32), np.array([4, 3, 0, 1], np.int32)
    assert_same(run(lambda x, y: mb.pow(x=x, y=y), x, y), [81, -8, 1, 7], np.int32)


def test_real_div_of_int32_that_divide() -> None:
    x, y = np.array([6, -8, 50331651], np.int32), np.array([3, 2, 3], np.int32)
    assert_same(run(lambda x, y: mb.real_div(x=x, y=y), x, y), [2, -4, 16777217], np.int32)


COMPARISONS = ["equal", "not_equal", "less", "less_equal", "greater", "greater_equal"]


@pytest.mark.parametrize("name", COMPARISONS)
@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_comparison_is_true_or_false(name: str, dtype: Any) -> None:
    x, y = np.array([[1, 2, 16777217]], dtype), np.array([[1], [2], [16777216]], dtype)
    assert_same(run(lambda x, y: getattr(mb, name)(x=x, y=y), x, y), getattr(np, name)(x, y))


@pytest.mark.parametrize("name", ["and", "or", "xor"])
def test_logical_of_two(name: str) -> None:
    x, y = np.array([[True, False]]), np.array([[True], [False]])
    got = run(lambda x, y: getattr(mb, f"logical_{name}")(x=x, y=y), x, y)
    assert_same(got, {"and": x & y, "or": x | y, "xor": x ^ y}[name])


def test_logical_not() -> None:
    assert_same(run(lambda x: mb.logical_not(x=x), np.array([True, False])), [False, True])


CASTS = [
    ("int32", [-2.9, -0.5, 0, 0.99, 7.5], [-2, 0, 0, 0, 7]),
    ("bool", [-2.9, -0.5, 0, 0.99, 7.5], [True, True, False, True, True]),
    ("fp16", [1 / 3, 2049, 1e-8, 65504], [0.333251953125, 2048, 0, 65504]),
]


@pytest.mark.parametrize(("dtype", "values", "expected"), CASTS)
def test_cast_of_float32(dtype: str, values: list[float], expected: list[Any]) -> None:
    got = run(lambda x: mb.cast(x=x, dtype=dtype), np.array(values, np.float32), opset="iOS16")
    assert_same(got, expected, {"int32": np.int32, "bool": bool, "fp16": np.float16}[dtype])


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16"])
def test_cast_of_ios17_to_a_small_integer_and_back(dtype: str) -> None:
    limits = np.iinfo(dtype)
    x = np.array([limits.min, 0.0, 3.9, limits.max], np.float32)
    got = run(lambda x: mb.cast(x=mb.cast(x=x, dtype=dtype), dtype="fp32"), x, opset="iOS17")
    assert_same(got, [limits.min, 0, 3, limits.max], np.float32)


def test_cast_of_truth_is_one_or_zero() -> None:
    x = np.array([True, False])
    assert_same(run(lambda x: mb.cast(x=x, dtype="int32"), x), [1, 0], np.int32)
    assert_same(run(lambda x: mb.cast(x=x, dtype="fp32"), x), [1, 0], np.float32)


def test_a_chain_of_float16_is_rounded_after_each_operator() -> None:
    x = np.array([2048, 2050], np.float16)
    # 2049 and 2051 lie between two float16: the first goes down to the even one, the second up.
    got = run(lambda x: mb.sub(x=mb.add(x=x, y=np.float16(1)), y=np.float16(2048)), x, opset="iOS16")
    assert_same(got, [0, 4], np.float16)


def test_float16_within_a_program_of_float32_is_rounded_too() -> None:
    def body(x: Any) -> Any:
        half = mb.mul(x=mb.cast(x=x, dtype="fp16"), y=np.float16(3))
        return mb.cast(x=half, dtype="fp32")

    # The third is rounded, and then three times that: 0.99976 lies between two float16, and the even one is 1.
    assert_same(run(body, np.array([1 / 3], np.float32)), [np.float16(3) * np.float16(1 / 3)], np.float32)


def test_float16_overflows_to_infinity() -> None:
    got = run(lambda x: mb.mul(x=x, y=np.float16(2)), np.array([-40000, 40000, 1], np.float16), opset="iOS16")
    assert_same(got, [-np.inf, np.inf, 2], np.float16)


def test_not_a_number_stays_one() -> None:
    assert_same(run(lambda x: mb.add(x=x, y=1.0), np.array([np.nan, np.inf], np.float32)), [np.nan, np.inf], np.float32)
