"""The executor's operators that change shapes, slice, join and repeat, against their published definitions."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.mil import assert_same, convert, counted, mb, run, run_all, run_model

X = counted(2, 3, 4)

RESHAPES = {
    "given": ("iOS15", (2, 3, 4), [4, 6], (4, 6)),
    "-1 is what is left": ("iOS15", (2, 3, 4), [3, -1], (3, 8)),
    "0 is the dimension at its place": ("iOS15", (2, 3, 4), [0, 12, 1], (2, 12, 1)),
    "0 and -1": ("iOS15", (2, 3, 4), [-1, 0, 1], (8, 3, 1)),
    "0 of iOS17 counts from the right": ("iOS17", (2, 3, 4), [0, -1], (3, 8)),
    "0 of iOS17 beyond the left is 1": ("iOS17", (2, 50), [1, 0, -1, 0], (1, 1, 2, 50)),
}


@pytest.mark.parametrize("case", RESHAPES)
@pytest.mark.parametrize("at_run_time", [False, True])
def test_reshape(case: str, at_run_time: bool) -> None:
    opset, before, shape, after = RESHAPES[case]
    x, given = counted(*before), np.array(shape, np.int32)
    if at_run_time:
        got = run(lambda x, shape: mb.reshape(x=x, shape=shape), x, given, opset=opset)
    else:
        got = run(lambda x: mb.reshape(x=x, shape=given), x, opset=opset)
    assert_same(got, x.reshape(after))


def test_reshape_like_takes_parts_of_the_shapes_of_others() -> None:
    """The example of the definition: (2,3) of the first, (5,6) of the second."""
    x, first, second = counted(2, 90), counted(2, 3, 4), counted(1, 5, 6)

    def body(x: Any, first: Any, second: Any) -> Any:
        refs = {"ref_tensors": (first, second), "begins": (0, 1), "ends": (2, 0), "end_masks": (False, True)}
        return mb.reshape_like(x=x, **refs)

    assert_same(run(body, x, first, second, opset="iOS16"), x.reshape(2, 3, 5, 6))


@pytest.mark.parametrize("perm", [[2, 0, 1], [-1, 0, -2], [0, 2, 1]])
def test_transpose(perm: list[int]) -> None:
    assert_same(run(lambda x: mb.transpose(x=x, perm=perm), X), X.transpose(perm))


@pytest.mark.parametrize(
    ("axes", "after"),
    [([0], (1, 2, 3)), ([-1], (2, 3, 1)), ([0, 1], (1, 1, 2, 3)), ([-2, -1], (2, 3, 1, 1)), ([3, 1], (2, 1, 3, 1))],
)
def test_expand_dims_at_places_of_the_result(axes: list[int], after: tuple[int, ...]) -> None:
    x = counted(2, 3)
    assert_same(run(lambda x: mb.expand_dims(x=x, axes=axes), x), x.reshape(after))


@pytest.mark.parametrize(
    ("axes", "after"),
    [([0], (3, 1, 2)), ([-2], (1, 3, 2)), ([0, 2], (3, 2)), (None, (3, 2)), ([0, 1], (3, 1, 2))],
)
def test_squeeze_leaves_what_is_not_one(axes: list[int] | None, after: tuple[int, ...]) -> None:
    x = counted(1, 3, 1, 2)
    got = run(lambda x: mb.squeeze(x=x) if axes is None else mb.squeeze(x=x, axes=axes), x)
    assert_same(got, x.reshape(after))


@pytest.mark.parametrize(
    ("shape", "axis", "after"),
    [((3,), -1, (1, 3)), ((3,), 1, (3, 1)), ((4, 3), -1, (4, 3)), ((2, 3, 2), -1, (6, 2)), ((5, 5, 2), 1, (5, 10))],
)
def test_flatten2d_of_the_examples(shape: tuple[int, ...], axis: int, after: tuple[int, ...]) -> None:
    x = counted(*shape)
    assert_same(run(lambda x: mb.flatten2d(x=x, axis=axis), x), x.reshape(after))


@pytest.mark.parametrize("dtype", [np.float32, np.int32, bool])
def test_identity_and_shapes_of_each_type(dtype: Any) -> None:
    x = (X % 5).astype(dtype)
    got = run_all(lambda x: (mb.identity(x=x), mb.reshape(x=x, shape=[4, 6]), mb.transpose(x=x, perm=[2, 1, 0])), x)
    for array, expected in zip(got, [x, x.reshape(4, 6), x.transpose(2, 1, 0)], strict=True):
        assert_same(array, expected)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16"])
def test_shapes_of_small_integers_of_ios17(dtype: str) -> None:
    def body(x: Any) -> Any:
        return mb.cast(x=mb.transpose(x=mb.cast(x=x, dtype=dtype), perm=[1, 0]), dtype="int32")

    x = counted(2, 3, dtype=np.int32) * 20
    assert_same(run(body, x, opset="iOS17"), x.T)


S = slice
SLICES: dict[str, tuple[dict[str, Any], Any]] = {
    "begin and end": ({"begin": [0, 1, 1], "end": [2, 3, 4]}, (S(0, 2), S(1, 3), S(1, 4))),
    "negative begin and end": ({"begin": [0, -3, -3], "end": [2, -1, -1]}, (S(None), S(-3, -1), S(-3, -1))),
    "end beyond": ({"begin": [1, 1, 2], "end": [9, 9, 9]}, (S(1, 9), S(1, 9), S(2, 9))),
    "stride": ({"begin": [0, 0, 0], "end": [2, 3, 4], "stride": [1, 2, 3]}, (S(None), S(0, 3, 2), S(0, 4, 3))),
    "negative stride": (
        {"begin": [1, 2, 3], "end": [0, 0, 0], "stride": [-1, -1, -2]},
        (S(1, 0, -1), S(2, 0, -1), S(3, 0, -2)),
    ),
    "begin_mask": ({"begin": [1, 2, 2], "end": [2, 3, 3], "begin_mask": [False, True, True]}, (S(1, 2), S(3), S(3))),
    "end_mask": ({"begin": [1, 1, 2], "end": [0, 0, 0], "end_mask": [True, True, True]}, (S(1, 9), S(1, 9), S(2, 9))),
    "both masks": (
        {"begin": [1, 1, 1], "end": [1, 1, 1], "begin_mask": [True] * 3, "end_mask": [True] * 3},
        (S(None), S(None), S(None)),
    ),
    # numpy's `::-1`, all of it: type_inference counts as many.
    "both masks, negative stride": (
        {"begin": [0] * 3, "end": [0] * 3, "stride": [1, -1, -3], "begin_mask": [True] * 3, "end_mask": [True] * 3},
        (S(None), S(None, None, -1), S(None, None, -3)),
    ),
    "end_mask, negative stride": (
        {"begin": [0, 1, 2], "end": [9, 0, 0], "stride": [1, -1, -1], "end_mask": [True] * 3},
        (S(None), S(1, None, -1), S(2, None, -1)),
    ),
    "squeeze_mask": (
        {"begin": [1, 0, 2], "end": [0, 2, 0], "squeeze_mask": [True, False, True]},
        (1, S(0, 2), 2),
    ),
    "squeeze_mask, from the end": (
        {"begin": [0, -1, 0], "end": [2, 0, 4], "squeeze_mask": [False, True, False]},
        (S(None), -1, S(None)),
    ),
}


@pytest.mark.parametrize("case", SLICES)
@pytest.mark.parametrize("at_run_time", [False, True])
def test_slice_by_index(case: str, at_run_time: bool) -> None:
    options, expected = SLICES[case]
    begin, end = np.array(options["begin"], np.int32), np.array(options["end"], np.int32)
    more = {key: value for key, value in options.items() if key not in ("begin", "end")}
    if at_run_time:
        got = run(lambda x, begin, end: mb.slice_by_index(x=x, begin=begin, end=end, **more), X, begin, end)
    else:
        got = run(lambda x: mb.slice_by_index(x=x, begin=begin, end=end, **more), X)
    assert_same(got, X[expected])


def test_slice_by_index_may_squeeze_all() -> None:
    got = run(lambda x: mb.slice_by_index(x=x, begin=[1, 2, -1], end=[0, 0, 0], squeeze_mask=[True] * 3), X)
    assert got.size == 1
    assert got.item() == X[1, 2, -1]


@pytest.mark.parametrize(
    ("begin", "size", "expected"),
    [([0, 1, 2], [1, 2, 2], (S(0, 1), S(1, 3), S(2, 4))), ([1, 0, 1], [-1, 2, -1], (S(1, 2), S(0, 2), S(1, 4)))],
)
@pytest.mark.parametrize("at_run_time", [False, True])
def test_slice_by_size_where_minus_one_is_the_rest(begin: Any, size: Any, expected: Any, at_run_time: bool) -> None:
    b, n = np.array(begin, np.int32), np.array(size, np.int32)
    if at_run_time:
        got = run(lambda x, b, n: mb.slice_by_size(x=x, begin=b, size=n), X, b, n)
    else:
        got = run(lambda x: mb.slice_by_size(x=x, begin=b, size=n), X)
    assert_same(got, X[expected])


@pytest.mark.parametrize("case", SLICES)
def test_slice_update_writes_where_slice_by_index_reads(case: str) -> None:
    options, place = SLICES[case]
    expected = X.copy()
    update = -counted(*X[place].shape)
    expected[place] = update
    got = run(lambda x, update: mb.slice_update(x=x, update=update, **options), X, update, opset="iOS18")
    assert_same(got, expected)


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("dtype", [np.float32, np.int32, bool])
def test_concat(axis: int, dtype: Any) -> None:
    x, y = (X % 3).astype(dtype), (X % 2)[:, :, ::-1].astype(dtype)
    assert_same(run(lambda x, y: mb.concat(values=(x, y, x), axis=axis), x, y), np.concatenate([x, y, x], axis))


def test_concat_of_unequal_lengths() -> None:
    x, y = counted(2, 1), -counted(2, 3)
    assert_same(
        run(lambda x, y: mb.concat(values=(x, y), axis=1), x, y), [[1, -1, -2, -3], [2, -4, -5, -6]], np.float32
    )


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_concat_interleaved_takes_one_of_each_in_turn(axis: int) -> None:
    x, y, z = X, X + 100, X + 200
    got = run(lambda x, y, z: mb.concat(values=(x, y, z), axis=axis, interleave=True), x, y, z)
    expected = np.empty_like(np.concatenate([x, y, z], axis))
    for start, part in enumerate((x, y, z)):
        place: list[Any] = [slice(None)] * 3
        place[axis] = slice(start, None, 3)
        expected[tuple(place)] = part
    assert_same(got, expected)


def test_concat_of_scalars_is_a_vector() -> None:
    """As converters write a shape: two dimensions of one tensor, one after the other."""

    def body(x: Any) -> Any:
        shape = mb.shape(x=x)
        ends = mb.gather(x=shape, indices=2, axis=0), mb.gather(x=shape, indices=0, axis=0)
        return mb.concat(values=ends, axis=0)

    assert_same(run(body, X), [4, 2], np.int32)


@pytest.mark.parametrize(
    ("options", "cuts", "axis"),
    [
        ({"num_splits": 2, "axis": 2}, [2], 2),
        ({"split_sizes": [1, 2], "axis": 1}, [1], 1),
        ({"num_splits": 3, "split_sizes": [1, 1, 2], "axis": -1}, [1, 2], 2),
    ],
)
def test_split(options: dict[str, Any], cuts: list[int], axis: int) -> None:
    parts = run_all(lambda x: mb.split(x=x, **options), X)
    for got, expected in zip(parts, np.split(X, cuts, axis), strict=True):
        assert_same(got, expected)


@pytest.mark.parametrize("axis", [0, 1, 3, -1])
def test_stack(axis: int) -> None:
    assert_same(run(lambda x, y: mb.stack(values=(x, y), axis=axis), X, -X), np.stack([X, -X], axis))


@pytest.mark.parametrize("at_run_time", [False, True])
def test_tile_repeats_the_whole(at_run_time: bool) -> None:
    x, reps = counted(2, 3), np.array([2, 3], np.int32)
    if at_run_time:
        got = run(lambda x, reps: mb.tile(x=x, reps=reps), x, reps)
    else:
        got = run(lambda x: mb.tile(x=x, reps=reps), x)
    assert_same(got, np.concatenate([np.concatenate([x] * 3, 1)] * 2, 0))


def index_of(mode: str, place: int, size: int) -> int:
    """Where the padded value at `place` comes from."""
    if mode == "replicate":
        return min(max(place, 0), size - 1)
    return -place if place < 0 else 2 * (size - 1) - place if place >= size else place


@pytest.mark.parametrize("mode", ["reflect", "replicate"])
@pytest.mark.parametrize("pad", [[1, 2], [2, 0, 3, 1]])
def test_pad_of_the_last_dimensions(mode: str, pad: list[int]) -> None:
    x = counted(2, 4, 5)
    expected = x
    for axis, (before, after) in zip(range(3 - len(pad) // 2, 3), np.reshape(pad, (-1, 2)), strict=True):
        size = expected.shape[axis]
        expected = expected.take([index_of(mode, i, size) for i in range(-before, size + after)], axis)
    assert_same(run(lambda x: mb.pad(x=x, pad=pad, mode=mode), x), expected)


@pytest.mark.parametrize("pad", [[1, 2], [0, 1, 2, 0], [1, 0, 0, 2, 3, 1]])
@pytest.mark.parametrize("value", [0.0, -1.5])
def test_pad_with_a_constant(pad: list[int], value: float) -> None:
    widths = [(0, 0)] * (3 - len(pad) // 2) + np.reshape(pad, (-1, 2)).tolist()
    expected = np.full([n + before + after for n, (before, after) in zip(X.shape, widths, strict=True)], value)
    inside = tuple(slice(before, before + n) for n, (before, _) in zip(X.shape, widths, strict=True))
    expected[inside] = X
    assert_same(run(lambda x: mb.pad(x=x, pad=pad, constant_val=value), X), expected, np.float32)


def test_pad_given_at_run_time() -> None:
    x, pad = counted(2, 3), np.array([0, 1, 2, 0], np.int32)
    expected = [[0, 0, 1, 2, 3], [0, 0, 4, 5, 6], [0] * 5]
    assert_same(run(lambda x, pad: mb.pad(x=x, pad=pad), x, pad), expected, np.float32)


def test_values_of_float16_pass_unchanged() -> None:
    x = np.array([[65504, 6e-8, -0.1], [1e-4, np.inf, 2049]], np.float32).astype(np.float16)
    got = run(lambda x: mb.concat(values=(mb.transpose(x=x, perm=[1, 0]),) * 2, axis=0), x, opset="iOS16")
    assert_same(got, np.concatenate([x.T, x.T], 0))


@pytest.mark.filterwarnings("ignore:Some dimensions in the input shape are unknown")
def test_a_dimension_that_is_open_until_the_run(tmp_path: Path) -> None:
    symbol = pytest.importorskip("coremltools.converters.mil.mil").get_new_symbol()
    flexible = SimpleNamespace(shape=(symbol, 3), dtype=np.dtype(np.float32))

    def body(x: Any) -> Any:
        rows = mb.slice_by_index(x=mb.shape(x=x), begin=[0], end=[1])
        doubled = mb.concat(values=(x, x), axis=0)
        return mb.reshape(x=doubled, shape=mb.concat(values=(rows, np.int32([-1])), axis=0))

    model = convert(body, [flexible], "iOS15", tmp_path / "model.mlpackage")
    for rows in (1, 2, 5):
        x = counted(rows, 3)
        (got,) = run_model(model, x)
        assert_same(got, np.concatenate([x, x]).reshape(rows, 6))
