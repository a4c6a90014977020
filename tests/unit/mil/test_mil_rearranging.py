"""The executor's operators that move values about or make new ones, and its control flow, against their definitions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.mil import assert_close, assert_same, counted, floats, mb, run, run_all

X = counted(2, 3, 4)
# NeuralNetwork.proto, ReorganizeDataLayerParams: eight channels of 1 x 2, and what becomes of them.
DEEP = counted(1, 8, 1, 2)
DEPTH_TO_SPACE = np.array([[[[1, 5, 2, 6], [9, 13, 10, 14]], [[3, 7, 4, 8], [11, 15, 12, 16]]]], np.float32)
PIXEL_SHUFFLE = np.array([[[[1, 3, 2, 4], [5, 7, 6, 8]], [[9, 11, 10, 12], [13, 15, 14, 16]]]], np.float32)


def test_depth_to_space_has_the_place_within_the_block_before_the_channel() -> None:
    assert_same(run(lambda x: mb.depth_to_space(x=x, block_size=2), DEEP), DEPTH_TO_SPACE)


def test_space_to_depth_takes_it_back() -> None:
    assert_same(run(lambda x: mb.space_to_depth(x=x, block_size=2), DEPTH_TO_SPACE), DEEP)


def test_pixel_shuffle_has_the_channel_before_the_place_within_the_block() -> None:
    assert_same(run(lambda x: mb.pixel_shuffle(x=x, upscale_factor=2), DEEP), PIXEL_SHUFFLE)


def test_pixel_unshuffle_takes_it_back() -> None:
    got = run(lambda x: mb.pixel_unshuffle(x=x, downscale_factor=np.uint32(2)), PIXEL_SHUFFLE, opset="iOS16")
    assert_same(got, DEEP)


@pytest.mark.parametrize("block", [2, 3])
def test_depth_to_space_and_pixel_shuffle_of_several_rows_and_pictures(block: int) -> None:
    x = counted(2, 2 * block * block, 3, 4)
    n, c, rows, columns = np.indices((2, 2, 3 * block, 4 * block))
    h, i, w, j = rows // block, rows % block, columns // block, columns % block
    got = run(lambda x: mb.depth_to_space(x=x, block_size=block), x)
    assert_same(got, x[n, (i * block + j) * 2 + c, h, w])
    got = run(lambda x: mb.pixel_shuffle(x=x, upscale_factor=block), x)
    assert_same(got, x[n, c * block * block + i * block + j, h, w])


SPACE = counted(2, 1, 2, 4)
BATCHES = np.array(
    [[0, 1, 3], [0, 9, 11], [0, 2, 4], [0, 10, 12], [0, 5, 7], [0, 13, 15], [0, 6, 8], [0, 14, 16]], np.float32
).reshape(8, 1, 1, 3)


def test_space_to_batch_of_apples_test_pads_first() -> None:
    got = run(lambda x: mb.space_to_batch(x=x, block_shape=[2, 2], paddings=[[0, 0], [2, 0]]), SPACE)
    assert_same(got, BATCHES)


def test_batch_to_space_of_apples_test_crops_last() -> None:
    got = run(lambda x: mb.batch_to_space(x=x, block_shape=[2, 2], crops=[[0, 0], [2, 0]]), BATCHES)
    assert_same(got, SPACE)


def test_space_to_batch_of_unequal_blocks_and_several_channels() -> None:
    """Batch `(i*3 + j)*n + b` holds what stands at row `i` and column `j` of each block of image `b`."""
    x = counted(2, 2, 4, 3)
    got = run(lambda x: mb.space_to_batch(x=x, block_shape=[2, 3], paddings=[[1, 1], [0, 3]]), x)
    padded = np.pad(x, [(0, 0), (0, 0), (1, 1), (0, 3)])
    assert_same(got, np.concatenate([padded[:, :, i::2, j::3] for i in range(2) for j in range(3)]))
    back = run(lambda x: mb.batch_to_space(x=x, block_shape=[2, 3], crops=[[1, 1], [0, 3]]), got)
    assert_same(back, x)


@pytest.mark.parametrize(("axis", "size", "stride"), [(1, 2, 1), (-1, 3, 1), (2, 2, 2), (0, 1, 1)])
def test_sliding_windows_stand_after_the_axis(axis: int, size: int, stride: int) -> None:
    got = run(lambda x: mb.sliding_windows(x=x, axis=axis, size=size, stride=stride), X)
    count = (X.shape[axis] - size) // stride + 1
    at = axis % 3
    assert_same(got, np.stack([X.take(range(i * stride, i * stride + size), at) for i in range(count)], at))


@pytest.mark.parametrize("axes", [[0], [-1], [0, 2], None])
def test_reverse_of_axes_or_of_all(axes: list[int] | None) -> None:
    got = run(lambda x: mb.reverse(x=x) if axes is None else mb.reverse(x=x, axes=axes), X)
    assert_same(got, np.flip(X, axes))


def test_reverse_sequence_of_apples_test() -> None:
    x = counted(4, 8)
    expected = x.copy()
    for row, length in enumerate([7, 2, 3, 5]):
        expected[row, :length] = x[row, :length][::-1]
    got = run(lambda x: mb.reverse_sequence(x=x, lengths=[7, 2, 3, 5], seq_axis=1, batch_axis=0), x)
    assert_same(got, expected)


@pytest.mark.parametrize(("seq_axis", "batch_axis"), [(0, 2), (2, 1), (-1, 0)])
def test_reverse_sequence_of_other_axes(seq_axis: int, batch_axis: int) -> None:
    x = counted(3, 3, 3)
    lengths = np.array([0, 3, 2], np.int32)
    expected = x.copy()
    for batch, length in enumerate(lengths):
        place: list[Any] = [slice(None)] * 3
        place[batch_axis], place[seq_axis] = slice(batch, batch + 1), slice(0, length)
        expected[tuple(place)] = np.flip(x[tuple(place)], seq_axis)
    got = run(lambda x, n: mb.reverse_sequence(x=x, lengths=n, seq_axis=seq_axis, batch_axis=batch_axis), x, lengths)
    assert_same(got, expected)


@pytest.mark.parametrize(("lower", "upper"), [(-1, -1), (0, -1), (-1, 0), (0, 0), (1, 0), (0, 2), (1, -1)])
@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_band_part_keeps_diagonals(lower: int, upper: int, dtype: Any) -> None:
    x = counted(2, 3, 4, dtype=dtype)
    m, n = np.indices((3, 4))
    band = ((lower < 0) | (m - n <= lower)) & ((upper < 0) | (n - m <= upper))
    assert_same(run(lambda x: mb.band_part(x=x, lower=lower, upper=upper), x), np.where(band, x, 0).astype(dtype))


@pytest.mark.parametrize(
    ("exclusive", "reverse", "expected"),
    [
        (False, False, [1, 3, 6, 10]),
        (True, False, [0, 1, 3, 6]),
        (False, True, [10, 9, 7, 4]),
        (True, True, [9, 7, 4, 0]),
    ],
)
def test_cumsum_exclusive_and_reverse(exclusive: bool, reverse: bool, expected: list[int]) -> None:
    x = counted(1, 4)
    got = run(lambda x: mb.cumsum(x=x, axis=1, exclusive=exclusive, reverse=reverse), x)
    assert_same(got, [expected], np.float32)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_cumsum_over_an_axis(axis: int) -> None:
    assert_same(run(lambda x: mb.cumsum(x=x, axis=axis), X), np.cumsum(X, axis))


def test_cumsum_of_int32_is_exact_and_of_float16_rounded() -> None:
    whole = np.array([16777216, 1, 1], np.int32)
    assert_same(run(lambda x: mb.cumsum(x=x), whole), [16777216, 16777217, 16777218], np.int32)
    half = np.array([2048, 1], np.float16)
    assert_same(run(lambda x: mb.cumsum(x=x), half, opset="iOS16"), [2048, 2048], np.float16)


def test_non_zero_lists_places_row_by_row() -> None:
    x = np.array([[0, 2, 0], [3, 0, -1]], np.float32)
    assert_same(run(lambda x: mb.non_zero(x=x), x), [[0, 1], [1, 0], [1, 2]], np.int32)
    assert_same(run(lambda x: mb.non_zero(x=x), x != 0), [[0, 1], [1, 0], [1, 2]], np.int32)


def test_shape_of_the_input() -> None:
    assert_same(run(lambda x: mb.shape(x=x), X), [2, 3, 4], np.int32)


@pytest.mark.parametrize(
    ("start", "end", "step", "expected"),
    [(0, 5, 2, [0, 2, 4]), (5, -1, -2, [5, 3, 1]), (1, 4, 3, [1]), (2, 4, 1, [2, 3])],
)
@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_range_excludes_its_end(start: int, end: int, step: int, expected: list[int], dtype: Any) -> None:
    def body(x: Any) -> Any:
        limits = mb.split(x=x, num_splits=3, axis=0)
        start, end, step = (mb.squeeze(x=limit, axes=[0]) for limit in limits)
        return mb.range_1d(start=start, end=end, step=step)

    assert_same(run(body, np.array([start, end, step], dtype)), expected, dtype)


def test_range_of_fractions() -> None:
    x = counted(1)

    def body(x: Any) -> Any:
        return mb.mul(x=mb.range_1d(start=0.5, end=2.1, step=0.4), y=x)

    assert_close(run(body, x), [0.5, 0.9, 1.3, 1.7])


@pytest.mark.parametrize(
    ("value", "dtype"), [(2.5, np.float32), (np.float16(0.1), np.float16), (7, np.int32), (True, bool)]
)
def test_fill(value: Any, dtype: Any) -> None:
    shape = np.array([2, 3], np.int32)
    got = run(lambda shape: mb.fill(shape=shape, value=value), shape, opset="iOS16")
    assert_same(got, np.full((2, 3), value, dtype))
    got = run(lambda x: mb.fill_like(ref_tensor=x, value=value), X, opset="iOS16")
    assert_same(got, np.full((2, 3, 4), value, dtype))


def test_select_by_element_and_broadcast() -> None:
    cond, a, b = np.array([[True, False, True]]), counted(2, 3), np.array([[-1.0], [-2.0]], np.float32)
    expected = [[1, -1, 3], [4, -2, 6]]
    assert_same(run(lambda cond, a, b: mb.select(cond=cond, a=a, b=b), cond, a, b), expected, np.float32)


def test_select_takes_nothing_of_what_it_leaves() -> None:
    cond, a, b = np.array([True, False]), np.array([1, np.nan], np.float32), np.array([np.inf, 2], np.float32)
    assert_same(run(lambda cond, a, b: mb.select(cond=cond, a=a, b=b), cond, a, b), [1, 2], np.float32)


@pytest.mark.parametrize("dtype", [np.int32, bool])
def test_select_of_other_types(dtype: Any) -> None:
    cond, a, b = np.array([True, False]), np.array([1, 0], dtype), np.array([0, 1], dtype)
    assert_same(run(lambda cond, a, b: mb.select(cond=cond, a=a, b=b), cond, a, b), np.array([1, 1], dtype))


@pytest.mark.parametrize(("x", "expected"), [([1, 2], [2, 4]), ([-1, -2], [-11, -12])])
def test_cond_runs_one_branch_which_sees_what_is_outside(x: list[float], expected: list[float]) -> None:
    def body(x: Any) -> Any:
        positive = mb.greater(x=mb.reduce_sum(x=x, axes=[0], keep_dims=False), y=0.0)
        return mb.cond(pred=positive, _true_fn=lambda: mb.mul(x=x, y=2.0), _false_fn=lambda: mb.sub(x=x, y=10.0))

    assert_same(run(body, np.array(x, np.float32)), expected, np.float32)


def test_a_name_within_a_branch_is_its_own() -> None:
    """coremltools stores one name for a constant outside and for what a branch computes: two values all the same."""

    def body(x: Any) -> Any:
        outside = mb.add(x=x, y=mb.const(val=np.float32([1, 2]), name="twice"))
        positive = mb.greater(x=mb.reduce_sum(x=x), y=0.0)
        return mb.cond(
            pred=positive,
            _true_fn=lambda: mb.add(x=outside, y=5.0, name="twice"),
            _false_fn=lambda: mb.mul(x=outside, y=7.0, name="twice"),
        )

    assert_same(run(body, np.array([1, 1], np.float32)), [7, 8], np.float32)
    assert_same(run(body, np.array([-1, -1], np.float32)), [0, 7], np.float32)


def test_cond_of_several_results() -> None:
    def body(x: Any) -> Any:
        pred = mb.squeeze(x=mb.cast(x=x, dtype="bool"), axes=[0])
        return mb.cond(
            pred=pred,
            _true_fn=lambda: (mb.add(x=x, y=1.0), mb.add(x=x, y=2.0)),
            _false_fn=lambda: (mb.add(x=x, y=3.0), mb.add(x=x, y=4.0)),
        )

    first, second = run_all(body, np.array([0], np.float32))
    assert_same(first, [3], np.float32)
    assert_same(second, [4], np.float32)


@pytest.mark.parametrize(("start", "expected"), [(1.0, 128.0), (99.0, 198.0), (100.0, 100.0), (150.0, 150.0)])
def test_while_loop_asks_before_each_round(start: float, expected: float) -> None:
    def body(x: Any) -> Any:
        return mb.while_loop(
            _cond=lambda x: mb.squeeze(x=mb.less(x=x, y=100.0), axes=[0]),
            _body=lambda x: mb.mul(x=x, y=2.0),
            loop_vars=(x,),
        )

    assert_same(run(body, np.array([start], np.float32)), [expected], np.float32)


def test_while_loop_carries_several_values() -> None:
    """Fibonacci: each round's values are those at its start."""

    def body(a: Any, b: Any, n: Any) -> Any:
        return mb.while_loop(
            _cond=lambda *values: mb.squeeze(x=mb.greater(x=values[2], y=0), axes=[0]),
            _body=lambda a, b, n: (mb.identity(x=b), mb.add(x=a, y=b), mb.sub(x=n, y=1)),
            loop_vars=(a, b, n),
        )

    start = [np.array([value], np.int32) for value in (0, 1, 10)]
    got = run_all(body, *start)
    for array, expected in zip(got, [55, 89, 0], strict=True):
        assert_same(array, [expected], np.int32)


def test_moves_of_float16_keep_each_bit() -> None:
    x = floats(1, 8, 1, 2, dtype=np.float16)
    got = run(lambda x: mb.space_to_depth(x=mb.depth_to_space(x=x, block_size=2), block_size=2), x, opset="iOS16")
    assert_same(got, x)
