"""The executor's products, convolutions and attention against their published definitions."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from tests.mil import Pads, assert_close, assert_same, counted, floats, mb, pads_of, run


def convolved(x: np.ndarray, w: np.ndarray, pads: Pads, strides: Any, dilations: Any, groups: int = 1) -> np.ndarray:
    """Every tap of the kernel over the padded input, in float64."""
    padded = np.pad(x.astype(np.float64), [(0, 0), (0, 0), *pads])
    kernel = w.shape[2:]
    out = [
        (size - (k - 1) * d - 1) // s + 1
        for size, k, s, d in zip(padded.shape[2:], kernel, strides, dilations, strict=True)
    ]
    y = np.zeros((x.shape[0], w.shape[0], *out))
    in_group, out_group = w.shape[1], w.shape[0] // groups
    for tap in itertools.product(*map(range, kernel)):
        steps = zip(tap, dilations, strides, out, strict=True)
        seen = padded[(..., *(slice(t * d, t * d + (n - 1) * s + 1, s) for t, d, s, n in steps))]
        for g in range(groups):
            inputs = seen[:, g * in_group : (g + 1) * in_group]
            outputs = slice(g * out_group, (g + 1) * out_group)
            y[:, outputs] += np.einsum("nc...,oc->no...", inputs, w[(outputs, slice(None), *tap)])
    return y


CONVOLUTIONS = {
    "1-D": ((2, 3, 9), (4, 3, 3), {}),
    "2-D": ((2, 3, 7, 6), (4, 3, 3, 2), {}),
    "3-D": ((1, 2, 5, 4, 6), (3, 2, 2, 3, 2), {}),
    "strides": ((1, 3, 9, 8), (4, 3, 3, 3), {"strides": [2, 3]}),
    "dilations": ((1, 3, 9, 8), (4, 3, 3, 2), {"dilations": [2, 3]}),
    "groups": ((1, 4, 5, 5), (6, 2, 3, 3), {"groups": 2}),
    "depthwise": ((1, 3, 5, 5), (6, 1, 3, 3), {"groups": 3}),
    "custom pads of four sizes": ((1, 2, 5, 6), (3, 2, 3, 3), {"pad_type": "custom", "pad": [1, 2, 0, 3]}),
    "same, odd kernel": ((1, 2, 6, 7), (3, 2, 3, 5), {"pad_type": "same"}),
    "same, even kernel": ((1, 2, 6, 7), (3, 2, 2, 4), {"pad_type": "same"}),
    "same, strides": ((1, 2, 8, 7), (3, 2, 3, 3), {"pad_type": "same", "strides": [2, 3]}),
    "same, dilations": ((1, 2, 8, 7), (3, 2, 2, 3), {"pad_type": "same", "dilations": [3, 2]}),
    "same, kernel below stride": ((1, 2, 8, 7), (3, 2, 1, 2), {"pad_type": "same", "strides": [3, 3]}),
    "same_lower, even kernel": ((1, 2, 6, 7), (3, 2, 2, 4), {"pad_type": "same_lower"}),
    "same_lower, strides": ((1, 2, 8, 7), (3, 2, 3, 3), {"pad_type": "same_lower", "strides": [2, 3]}),
}


@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_conv(case: str) -> None:
    x_shape, w_shape, options = CONVOLUTIONS[case]
    x, w, rank = floats(*x_shape), floats(*w_shape, seed=1), len(x_shape) - 2
    strides, dilations = options.get("strides", [1] * rank), options.get("dilations", [1] * rank)
    pads = pads_of(options.get("pad_type", "valid"), x_shape[2:], w_shape[2:], strides, dilations, options.get("pad"))
    got = run(lambda x: mb.conv(x=x, weight=w, **options), x, opset="iOS16")
    assert_close(got, convolved(x, w, pads, strides, dilations, options.get("groups", 1)))


def test_conv_adds_a_bias_to_each_output_channel() -> None:
    x, w, bias = floats(2, 3, 4, 4), floats(2, 3, 3, 3, seed=1), np.array([10, -20], np.float32)
    got = run(lambda x: mb.conv(x=x, weight=w, bias=bias), x)
    assert_close(got, convolved(x, w, [(0, 0)] * 2, [1, 1], [1, 1]) + bias[:, None, None])


def test_conv_with_a_weight_that_is_an_input() -> None:
    x, w = floats(1, 2, 5, 5), floats(3, 2, 3, 3, seed=1)
    got = run(lambda x, w: mb.conv(x=x, weight=w, pad_type="valid"), x, w)
    assert_close(got, convolved(x, w, [(0, 0)] * 2, [1, 1], [1, 1]))


def transposed(x: np.ndarray, w: np.ndarray, strides: Any, dilations: Any, groups: int = 1) -> np.ndarray:
    """Each value of the input spreads the kernel over the output: the gradient of `conv`, uncropped."""
    kernel, out_group, in_group = w.shape[2:], w.shape[1], w.shape[0] // groups
    full = [
        (size - 1) * s + (k - 1) * d + 1 for size, s, k, d in zip(x.shape[2:], strides, kernel, dilations, strict=True)
    ]
    y = np.zeros((x.shape[0], out_group * groups, *full))
    for tap in itertools.product(*map(range, kernel)):
        steps = zip(tap, dilations, strides, x.shape[2:], strict=True)
        reached = tuple(slice(t * d, t * d + (n - 1) * s + 1, s) for t, d, s, n in steps)
        for g in range(groups):
            inputs = slice(g * in_group, (g + 1) * in_group)
            outputs = slice(g * out_group, (g + 1) * out_group)
            spread = np.einsum("nc...,co->no...", x[:, inputs].astype(np.float64), w[(inputs, slice(None), *tap)])
            y[(slice(None), outputs, *reached)] += spread
    return y


# The last: how much of the full output goes, before and after, of each spatial dimension.
TRANSPOSED: dict[str, tuple[Any, Any, dict[str, Any], Pads]] = {
    "1-D": ((2, 3, 5), (3, 4, 3), {"strides": [2]}, [(0, 0)]),
    "2-D": ((2, 3, 4, 5), (3, 4, 3, 2), {"strides": [2, 3]}, [(0, 0)] * 2),
    "3-D": ((1, 2, 3, 2, 4), (2, 3, 2, 3, 2), {"strides": [1, 2, 3]}, [(0, 0)] * 3),
    "dilations": ((1, 2, 4, 5), (2, 3, 3, 2), {"dilations": [2, 3], "strides": [2, 1]}, [(0, 0)] * 2),
    "groups": ((1, 4, 4, 4), (4, 2, 3, 3), {"groups": 2, "strides": [2, 2]}, [(0, 0)] * 2),
    "custom pads of four sizes": (
        (1, 2, 5, 6),
        (2, 3, 3, 4),
        {"pad_type": "custom", "pad": [1, 2, 0, 3], "strides": [2, 2]},
        [(1, 2), (0, 3)],
    ),
    "same": ((1, 2, 4, 5), (2, 3, 4, 3), {"pad_type": "same", "strides": [2, 1]}, [(1, 1), (1, 1)]),
    # `conv` with `same` brings both 5 and 6 down to 3: `output_shape` says which of them is meant.
    "same, to an odd shape": (
        (1, 2, 3, 3),
        (2, 3, 3, 3),
        {"pad_type": "same", "strides": [2, 2], "output_shape": [1, 3, 5, 5]},
        [(1, 1), (1, 1)],
    ),
}


@pytest.mark.parametrize("case", TRANSPOSED)
def test_conv_transpose(case: str) -> None:
    x_shape, w_shape, options, crop = TRANSPOSED[case]
    x, w, rank = floats(*x_shape), floats(*w_shape, seed=1), len(x_shape) - 2
    groups = options.get("groups", 1)
    full = transposed(x, w, options.get("strides", [1] * rank), options.get("dilations", [1] * rank), groups)
    expected = full[(..., *(slice(before, n - after) for (before, after), n in zip(crop, full.shape[2:], strict=True)))]
    bias = floats(w_shape[1] * groups, seed=2)
    got = run(lambda x: mb.conv_transpose(x=x, weight=w, bias=bias, **options), x)
    assert_close(got, expected + bias.reshape(-1, *[1] * rank))


@pytest.mark.parametrize("shape", [(4,), (3, 4), (2, 3, 4)])
def test_linear_is_the_product_with_the_transposed_weight(shape: tuple[int, ...]) -> None:
    x, w, bias = floats(*shape), floats(5, 4, seed=1), floats(5, seed=2)
    assert_close(run(lambda x: mb.linear(x=x, weight=w, bias=bias), x), x.astype(np.float64) @ w.T + bias)
    assert_close(run(lambda x: mb.linear(x=x, weight=w), x), x.astype(np.float64) @ w.T)


def test_linear_of_ios17_takes_a_weight_of_another_precision() -> None:
    x, w, bias = floats(3, 4), floats(5, 4, seed=1, dtype=np.float16), floats(5, seed=2, dtype=np.float16)
    got = run(lambda x: mb.linear(x=x, weight=w, bias=bias), x, opset="iOS17")
    assert_close(got, x.astype(np.float64) @ w.T.astype(np.float64) + bias)


MATMULS = {
    "two matrices": ((3, 4), (4, 5), {}),
    "batches broadcast": ((2, 1, 3, 4), (5, 4, 6), {}),
    "x transposed": ((2, 4, 3), (2, 4, 5), {"transpose_x": True}),
    "y transposed": ((2, 3, 4), (2, 5, 4), {"transpose_y": True}),
    "both transposed": ((4, 3), (5, 4), {"transpose_x": True, "transpose_y": True}),
    "x is a vector": ((4,), (4, 5), {}),
    "x is a vector, and y a batch": ((4,), (1, 4, 5), {}),
}


@pytest.mark.parametrize("case", MATMULS)
@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_matmul(case: str, dtype: Any) -> None:
    x_shape, y_shape, options = MATMULS[case]
    # Products of int32 that float32 can't count.
    x, y = (floats(*x_shape) * 9000).astype(dtype), (floats(*y_shape, seed=1) * 9000).astype(dtype)
    left = x.swapaxes(-1, -2) if "transpose_x" in options else x
    right = y.swapaxes(-1, -2) if "transpose_y" in options else y
    got = run(lambda x, y: mb.matmul(x=x, y=y, **options), x, y)
    expected = left.astype(np.float64) @ right.astype(np.float64)
    assert_same(got, expected, np.int32) if dtype == np.int32 else assert_close(got, expected)


@pytest.mark.parametrize("const_first", [True, False])
def test_matmul_of_ios17_is_of_the_type_of_what_is_not_constant(const_first: bool) -> None:
    x, constant = floats(3, 3), floats(3, 3, seed=1, dtype=np.float16)
    if const_first:
        got = run(lambda x: mb.matmul(x=constant, y=x), x, opset="iOS17")
        assert_close(got, constant.astype(np.float64) @ x)
    else:
        got = run(lambda x: mb.matmul(x=x, y=constant), x, opset="iOS17")
        assert_close(got, x @ constant.astype(np.float64))


def test_layers_of_ios17_are_of_the_type_of_their_input() -> None:
    """Float16 in and out, whatever the weights are."""
    x, w = floats(2, 4, dtype=np.float16), floats(4, 3, seed=1)
    exact = x.astype(np.float64) @ w
    assert_close(run(lambda x: mb.matmul(x=x, y=w), x, opset="iOS17"), exact, np.float16)
    assert_close(run(lambda x: mb.linear(x=x, weight=w.T.copy()), x, opset="iOS17"), exact, np.float16)
    kernel = w.T.copy()[..., None]
    got = run(lambda x: mb.conv(x=x, weight=kernel), x[..., None], opset="iOS17")
    assert_close(got, exact[..., None], np.float16)


EINSUMS = {
    "nchw,nwhu->nchu": ((2, 3, 4, 5), (2, 5, 4, 6)),
    "abcd,adce->abce": ((1, 3, 4, 5), (2, 5, 1, 6)),
    "chw,whr->chr": ((3, 4, 5), (5, 4, 6)),
    "xyz,zyw->xyw": ((3, 1, 5), (5, 4, 6)),
}


@pytest.mark.parametrize("equation", EINSUMS)
def test_einsum_multiplies_over_the_last_and_the_third_last_and_broadcasts(equation: str) -> None:
    x, y = floats(*EINSUMS[equation][0]), floats(*EINSUMS[equation][1], seed=1)
    # The product of (C,W1) and (W1,W2) for each B and H.
    product = np.swapaxes(np.swapaxes(x.astype(np.float64), -3, -2) @ np.swapaxes(y, -3, -2), -3, -2)
    assert_close(run(lambda x, y: mb.einsum(values=(x, y), equation=equation), x, y), product)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_softmax_over_an_axis(axis: int) -> None:
    x = floats(2, 3, 4).astype(np.float64) + np.where(np.arange(4) == 2, 300, 0)
    e = np.exp(x - x.max(axis, keepdims=True))
    got = run(lambda x: mb.softmax(x=x, axis=axis), x.astype(np.float32))
    # Around 300 the input itself is rounded to 1.5e-5.
    assert_close(got, e / e.sum(axis, keepdims=True), within=5e-5)


MASKS: dict[str, np.ndarray | None] = {
    "none": None,
    "added": floats(2, 5, 6, seed=9),
    "truth": np.tril(np.ones((5, 6), bool)),
    "truth of one row, for all": np.array([[True, False, True, True, False, True]]),
}


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("lead", [(2,), (1, 2)])
def test_attention(mask: str, lead: tuple[int, ...]) -> None:
    q, k, v = floats(*lead, 5, 4, seed=1), floats(*lead, 6, 4, seed=2), floats(*lead, 6, 3, seed=3)
    given = MASKS[mask]
    scores = q.astype(np.float64) @ np.swapaxes(k, -1, -2) / np.sqrt(4)
    if given is not None:
        scores = scores + (np.where(given, 0, -np.inf) if given.dtype == bool else given)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    expected = weights / weights.sum(-1, keepdims=True) @ v
    more = {} if given is None else {"attn_mask": given}
    got = run(lambda q, k, v: mb.scaled_dot_product_attention(query=q, key=k, value=v, **more), q, k, v, opset="iOS18")
    assert_close(got, expected)


def test_products_of_float16_are_rounded_to_float16() -> None:
    ones = np.ones((1, 2), np.float16)
    weight = np.array([[2048, 1]], np.float16)
    conv = weight[..., None]
    sub = np.float16(2048)
    # 2049 lies between two float16 and goes to the even one: nothing is left of the 1.
    got = run(lambda x: mb.sub(x=mb.linear(x=x, weight=weight), y=sub), ones, opset="iOS16")
    assert_same(got, [[0]], np.float16)
    got = run(lambda x: mb.sub(x=mb.matmul(x=x, y=weight, transpose_y=True), y=sub), ones, opset="iOS16")
    assert_same(got, [[0]], np.float16)
    got = run(lambda x: mb.sub(x=mb.conv(x=x, weight=conv), y=sub), ones[..., None], opset="iOS16")
    assert_same(got, [[[0]]], np.float16)


def test_flattened_layers_one_after_another() -> None:
    """Convolution, then a product: the layout between two layers is that of the definition."""
    x, w, v = counted(1, 2, 4, 4) / 16, floats(3, 2, 3, 3), floats(2, 12, seed=1)
    hidden = convolved(x, w, [(0, 0)] * 2, [1, 1], [1, 1]).reshape(1, 12)
    got = run(lambda x: mb.linear(x=mb.reshape(x=mb.conv(x=x, weight=w), shape=[1, 12]), weight=v), x)
    assert_close(got, hidden @ v.T)
