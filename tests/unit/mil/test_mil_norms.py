"""The executor's normalizations and pools against their published definitions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.mil import assert_close, assert_same, counted, floats, mb, pads_of, run

GAMMA, BETA = np.array([2, -1, 0.5], np.float32), np.array([0.1, 0.2, -3], np.float32)
MEAN, VARIANCE = np.array([0.3, -0.2, 1], np.float32), np.array([0.5, 2, 1e-3], np.float32)


def by_channel(values: np.ndarray, rank: int) -> np.ndarray:
    return values.astype(np.float64).reshape(1, -1, *[1] * (rank - 2))


@pytest.mark.parametrize("shape", [(2, 3, 4), (2, 3, 4, 2), (2, 3, 2, 2, 2)])
@pytest.mark.parametrize("epsilon", [1e-5, 0.25])
def test_batch_norm_is_of_each_channel(shape: tuple[int, ...], epsilon: float) -> None:
    x, rank = floats(*shape), len(shape)
    got = run(lambda x: mb.batch_norm(x=x, mean=MEAN, variance=VARIANCE, gamma=GAMMA, beta=BETA, epsilon=epsilon), x)
    normal = (x - by_channel(MEAN, rank)) / np.sqrt(by_channel(VARIANCE, rank) + epsilon)
    assert_close(got, normal * by_channel(GAMMA, rank) + by_channel(BETA, rank))


def test_batch_norm_without_gamma_and_beta() -> None:
    x = floats(2, 3, 4)
    got = run(lambda x: mb.batch_norm(x=x, mean=MEAN, variance=VARIANCE), x)
    assert_close(got, (x - by_channel(MEAN, 3)) / np.sqrt(by_channel(VARIANCE, 3) + 1e-5))


def test_batch_norm_of_ios17_takes_statistics_of_another_precision() -> None:
    x, mean, variance = floats(2, 3, 4), MEAN.astype(np.float16), VARIANCE.astype(np.float16)
    got = run(lambda x: mb.batch_norm(x=x, mean=mean, variance=variance, epsilon=np.float16(0.5)), x, opset="iOS17")
    assert_close(got, (x - by_channel(mean, 3)) / np.sqrt(by_channel(variance, 3) + 0.5))


@pytest.mark.parametrize("shape", [(2, 3, 5), (2, 3, 4, 5)])
@pytest.mark.parametrize("epsilon", [1e-5, 0.25])
def test_instance_norm_is_over_the_spatial_dimensions_of_each_channel(shape: tuple[int, ...], epsilon: float) -> None:
    x, axes, rank = floats(*shape).astype(np.float64), tuple(range(2, len(shape))), len(shape)
    normal = (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + epsilon)
    got = run(lambda x: mb.instance_norm(x=x, gamma=GAMMA, beta=BETA, epsilon=epsilon), x.astype(np.float32))
    assert_close(got, normal * by_channel(GAMMA, rank) + by_channel(BETA, rank))
    assert_close(run(lambda x: mb.instance_norm(x=x, epsilon=epsilon), x.astype(np.float32)), normal)


LAYER_NORMS = {"last": ([-1], (5,)), "two": ([2, 3], (4, 5)), "middle": ([1], (3,)), "apart": ([1, 3], (3, 5))}


@pytest.mark.parametrize("case", LAYER_NORMS)
@pytest.mark.parametrize("epsilon", [1e-5, 0.25])
def test_layer_norm_over_axes_with_gamma_of_their_shape(case: str, epsilon: float) -> None:
    (axes, shape), x = LAYER_NORMS[case], floats(2, 3, 4, 5).astype(np.float64)
    gamma, beta, over = floats(*shape, seed=1), floats(*shape, seed=2), tuple(axes)
    spread = [x.shape[i] if i in [axis % 4 for axis in axes] else 1 for i in range(4)]
    normal = (x - x.mean(over, keepdims=True)) / np.sqrt(x.var(over, keepdims=True) + epsilon)
    got = run(lambda x: mb.layer_norm(x=x, axes=axes, gamma=gamma, beta=beta, epsilon=epsilon), x.astype(np.float32))
    assert_close(got, normal * gamma.reshape(spread) + beta.reshape(spread))


def test_layer_norm_over_all_axes() -> None:
    """The documented default; coremltools can't build a program that leaves the axes out."""
    x = floats(2, 3, 4).astype(np.float64)
    got = run(lambda x: mb.layer_norm(x=x, axes=[0, 1, 2]), x.astype(np.float32))
    assert_close(got, (x - x.mean()) / np.sqrt(x.var() + 1e-5))


def test_layer_norm_of_a_large_mean_keeps_its_digits() -> None:
    """The variance of values around 1000 is of their distances from the mean, not a difference of large squares."""
    x = (1000 + floats(1, 64)).astype(np.float32)
    exact = x.astype(np.float64)
    normal = (exact - exact.mean()) / np.sqrt(exact.var() + 1e-5)
    # The mean of float32 around 1000 is off by up to 3e-5 of a spread of 1.
    assert_close(run(lambda x: mb.layer_norm(x=x, axes=[-1]), x), normal, within=1e-4)


@pytest.mark.parametrize("shape", [(2, 3, 4), (2, 2, 3, 4), (2, 2, 2, 3, 2)])
@pytest.mark.parametrize("epsilon", [1e-6, 0.5])
def test_l2_norm_is_over_the_last_three_dimensions(shape: tuple[int, ...], epsilon: float) -> None:
    x = floats(*shape).astype(np.float64)
    expected = x / np.sqrt(np.sum(x**2, axis=(-3, -2, -1), keepdims=True) + epsilon)
    assert_close(run(lambda x: mb.l2_norm(x=x, epsilon=epsilon), x.astype(np.float32)), expected)


@pytest.mark.parametrize("shape", [(2, 6, 3), (1, 6, 2, 2)])
@pytest.mark.parametrize("size", [1, 3, 5])
def test_local_response_norm_divides_alpha_by_the_size_of_the_window(shape: tuple[int, ...], size: int) -> None:
    x, alpha, beta, k = floats(*shape).astype(np.float64), 2.0, 0.7, 1.5
    squares = np.zeros_like(x)
    for channel in range(shape[1]):
        window = slice(max(0, channel - size // 2), channel + size // 2 + 1)
        squares[:, channel] = (x[:, window] ** 2).sum(1)
    got = run(lambda x: mb.local_response_norm(x=x, size=size, alpha=alpha, beta=beta, k=k), x.astype(np.float32))
    assert_close(got, x / (k + alpha / size * squares) ** beta)


POOLS: dict[str, dict[str, Any]] = {
    "valid": {"kernel_sizes": [2, 3]},
    "strides": {"kernel_sizes": [2, 3], "strides": [2, 3]},
    "1-D": {"kernel_sizes": [3], "strides": [2]},
    "3-D": {"kernel_sizes": [2, 3, 2], "strides": [1, 2, 2]},
    "same": {"kernel_sizes": [2, 3], "pad_type": "same"},
    "same, strides": {"kernel_sizes": [3, 3], "strides": [2, 2], "pad_type": "same"},
    "same_lower": {"kernel_sizes": [2, 3], "pad_type": "same_lower"},
    "same_lower, strides": {"kernel_sizes": [3, 3], "strides": [2, 2], "pad_type": "same_lower"},
    "custom": {"kernel_sizes": [3, 3], "pad_type": "custom", "pad": [1, 0, 2, 1]},
}
CEILED: dict[str, dict[str, Any]] = {
    "ceil_mode": {"kernel_sizes": [3, 2], "strides": [2, 2], "ceil_mode": True},
    # Rows: a fourth window would start at 9, in the padding below 1 + 7 rows, and is dropped.
    "ceil_mode, custom": {
        "kernel_sizes": [2, 3],
        "strides": [3, 2],
        "pad_type": "custom",
        "pad": [1, 1, 1, 1],
        "ceil_mode": True,
    },
}


def input_of(options: dict[str, Any]) -> np.ndarray:
    return floats(2, 3, *(8, 6, 5)[: len(options["kernel_sizes"])])


def pooled(x: np.ndarray, options: dict[str, Any], of: Any) -> np.ndarray:
    """`of` each window, in which all that lies outside of the input is not a number."""
    kernel, rank = options["kernel_sizes"], x.ndim - 2
    strides, ceil = options.get("strides", [1] * rank), options.get("ceil_mode", False)
    pads = pads_of(options.get("pad_type", "valid"), x.shape[2:], kernel, strides, [1] * rank, options.get("pad"))
    counts, overhang = [], []
    for size, (before, after), k, s in zip(x.shape[2:], pads, kernel, strides, strict=True):
        room = size + before + after - k
        count = (-(-room // s) if ceil else room // s) + 1
        if ceil and before + after > 0 and (count - 1) * s >= size + before:
            count -= 1
        counts.append(count)
        overhang.append((before, max(after, (count - 1) * s + k - size - before)))
    padded = np.pad(x.astype(np.float64), [(0, 0), (0, 0), *overhang], constant_values=np.nan)
    out = np.empty((*x.shape[:2], *counts))
    for place in np.ndindex(*counts):
        window = padded[(..., *(slice(i * s, i * s + k) for i, s, k in zip(place, strides, kernel, strict=True)))]
        out[(..., *place)] = of(window.reshape(*x.shape[:2], -1))
    return out


def pool(name: str, x: np.ndarray, options: dict[str, Any]) -> np.ndarray:
    return run(lambda x: getattr(mb, name)(x=x, **{"pad_type": "valid", **options}), x, opset="iOS16")


@pytest.mark.parametrize("case", [*POOLS, *CEILED])
def test_max_pool_never_takes_the_padding(case: str) -> None:
    options = (POOLS | CEILED)[case]
    x = input_of(options) - 10
    assert_close(pool("max_pool", x, options), pooled(x, options, lambda window: np.nanmax(window, -1)))


@pytest.mark.parametrize("case", [*POOLS, *CEILED])
def test_avg_pool_that_excludes_padding_divides_by_what_is_there(case: str) -> None:
    options = (POOLS | CEILED)[case]
    x = input_of(options)
    got = pool("avg_pool", x, {**options, "exclude_padding_from_average": True})
    assert_close(got, pooled(x, options, lambda window: np.nanmean(window, -1)))


@pytest.mark.parametrize("case", POOLS)
def test_avg_pool_divides_by_the_kernel(case: str) -> None:
    x = input_of(POOLS[case])
    expected = pooled(x, POOLS[case], lambda window: np.nansum(window, -1) / window.shape[-1])
    assert_close(pool("avg_pool", x, POOLS[case]), expected)


@pytest.mark.parametrize("case", sorted(POOLS.keys() - {"3-D"}))
def test_l2_pool_is_the_root_of_the_sum_of_squares(case: str) -> None:
    """So Apple's tests have it: 1 and 2 under a kernel of 2 give 2.236068."""
    x = input_of(POOLS[case])
    expected = pooled(x, POOLS[case], lambda window: np.sqrt(np.nansum(window**2, -1)))
    assert_close(pool("l2_pool", x, POOLS[case]), expected)


@pytest.mark.parametrize(("name", "expected"), [("max_pool", [2, 5, 7]), ("avg_pool", [1.5, 4, 6.5])])
def test_pools_of_same_padding_are_those_of_apples_tests(name: str, expected: list[float]) -> None:
    more = {"exclude_padding_from_average": True} if name == "avg_pool" else {}
    got = pool(name, counted(1, 1, 7), {"kernel_sizes": [3], "strides": [3], "pad_type": "same", **more})
    assert_close(got, [[expected]])


def test_results_of_float16_are_rounded_to_float16() -> None:
    x = np.array([[[2048, 2050]]], np.float16)
    options = {"kernel_sizes": [2], "pad_type": "valid"}
    # Their mean of 2049 goes to the even neighbour.
    assert_same(run(lambda x: mb.avg_pool(x=x, **options), x, opset="iOS16"), [[[2048]]], np.float16)
    normal = run(lambda x: mb.layer_norm(x=x, axes=[-1], epsilon=np.float16(1)), x, opset="iOS16")
    assert_close(normal, np.array([[[-1, 1]]]) / np.sqrt(2), np.float16)


@pytest.mark.parametrize(
    ("name", "options"),
    [("layer_norm", {"axes": [-1]}), ("instance_norm", {}), ("l2_norm", {})],
)
def test_squares_on_the_way_are_no_float16(name: str, options: dict[str, Any]) -> None:
    """300 squared is beyond the largest float16, and only the result is rounded to one."""
    x = np.array([[[-300, 300, 300, -300]]], np.float16)
    got = run(lambda x: getattr(mb, name)(x=x, epsilon=np.float16(0.01), **options), x, opset="iOS16")
    assert_close(got, x / (600 if name == "l2_norm" else 300), np.float16)
