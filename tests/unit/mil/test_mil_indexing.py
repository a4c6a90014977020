"""The executor's operators that take, put, sort and mark by index, against their published definitions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dvfl_mobile.errors import DvflMobileError
from tests.mil import assert_same, counted, floats, mb, run, run_all

X = counted(2, 3, 4)
OPSETS = ["iOS15", "iOS16", "iOS17"]


def int32(*values: Any) -> np.ndarray:
    return np.array(values, np.int32)


GATHERS = {
    "scalar": (np.int32(1), 0),
    "vector": (int32(2, 0, 0, 1), 1),
    "matrix": (int32([3, 0], [1, 1]), 2),
    "axis from the end": (int32(1, 3), -1),
}


@pytest.mark.parametrize("case", GATHERS)
@pytest.mark.parametrize("opset", OPSETS)
def test_gather_puts_the_shape_of_the_indices_in_place_of_the_axis(case: str, opset: str) -> None:
    indices, axis = GATHERS[case]
    got = run(lambda x: mb.gather(x=x, indices=indices, axis=axis), X, opset=opset)
    assert_same(got, X.take(indices, axis))


@pytest.mark.parametrize("opset", OPSETS)
def test_gather_by_indices_that_are_an_input(opset: str) -> None:
    indices = int32(2, 0, 0, 1)
    assert_same(run(lambda x, i: mb.gather(x=x, indices=i, axis=1), X, indices, opset=opset), X[:, indices])


def test_gather_of_one_value_is_a_scalar() -> None:
    x = counted(5)
    got = run(lambda x: mb.add(x=x, y=mb.gather(x=x, indices=3, axis=0)), x)
    assert_same(got, x + 4)


@pytest.mark.parametrize("opset", ["iOS15", "iOS16"])
def test_negative_indices_count_from_the_end_before_ios17(opset: str) -> None:
    indices = int32(-1, 0, -3)
    assert_same(run(lambda x, i: mb.gather(x=x, indices=i, axis=1), X, indices, opset=opset), X[:, indices])


BATCHED = {
    "one, over the next axis": ((2, 3, 4), int32([0, 2], [1, 1]), 1, 1),
    "one, over a later axis": ((2, 3, 4), int32([0, 2], [3, 1]), 2, 1),
    "two": ((2, 3, 4), int32([[0], [1], [2]], [[3], [0], [1]]), 2, 2),
    "of a vector each": ((2, 4), int32(3, 0), 1, 1),
}


@pytest.mark.parametrize("case", BATCHED)
@pytest.mark.parametrize("opset", ["iOS16", "iOS17"])
def test_gather_with_batch_dims_takes_from_each_batch_by_its_own_indices(case: str, opset: str) -> None:
    shape, indices, axis, batch = BATCHED[case]
    x = counted(*shape)
    expected = np.empty(shape[:axis] + indices.shape[batch:] + shape[axis + 1 :], np.float32)
    for place in np.ndindex(*shape[:batch]):
        expected[place] = x[place].take(indices[place], axis - batch)
    got = run(lambda x, i: mb.gather(x=x, indices=i, axis=axis, batch_dims=batch), x, indices, opset=opset)
    assert_same(got, expected)


@pytest.mark.parametrize("dtype", ["int16", "uint16", "int8", "uint8"])
def test_gather_of_ios17_by_small_indices(dtype: str) -> None:
    got = run(lambda x, i: mb.gather(x=x, indices=mb.cast(x=i, dtype=dtype), axis=2), X, int32(3, 1), opset="iOS17")
    assert_same(got, X[:, :, [3, 1]])


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("opset", OPSETS)
def test_gather_along_axis_has_an_index_for_each_value(axis: int, opset: str) -> None:
    shape = [2, 3, 4]
    shape[axis] = 5
    indices = np.random.default_rng(0).integers(0, X.shape[axis], shape).astype(np.int32)
    got = run(lambda x, i: mb.gather_along_axis(x=x, indices=i, axis=axis), X, indices, opset=opset)
    assert_same(got, np.take_along_axis(X, indices, axis))


@pytest.mark.parametrize("indices", [int32([1], [0]), int32([1, 2], [0, 0]), int32([[1, 2, 3]], [[0, 1, 0]])])
@pytest.mark.parametrize("opset", OPSETS)
def test_gather_nd_takes_what_stands_at_each_place(indices: np.ndarray, opset: str) -> None:
    expected = np.stack([X[tuple(place)] for place in indices.reshape(-1, indices.shape[-1])])
    got = run(lambda x, i: mb.gather_nd(x=x, indices=i), X, indices, opset=opset)
    assert_same(got, expected.reshape(indices.shape[:-1] + X.shape[indices.shape[-1] :]))


@pytest.mark.parametrize("opset", ["iOS16", "iOS17"])
def test_gather_nd_with_batch_dims(opset: str) -> None:
    indices = int32([[2, 3], [0, 0]], [[1, 1], [2, 0]])
    expected = [[X[b][tuple(place)] for place in indices[b]] for b in range(2)]
    got = run(lambda x, i: mb.gather_nd(x=x, indices=i, batch_dims=1), X, indices, opset=opset)
    assert_same(got, expected, np.float32)


MODES = ["update", "add", "sub", "mul", "div", "max", "min"]


def combine(mode: str, old: Any, new: Any) -> Any:
    return {
        "update": lambda: new,
        "add": lambda: old + new,
        "sub": lambda: old - new,
        "mul": lambda: old * new,
        "div": lambda: old / new,
        "max": lambda: np.maximum(old, new),
        "min": lambda: np.minimum(old, new),
    }[mode]()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("opset", ["iOS15", "iOS17"])
def test_scatter_along_a_dimension(mode: str, opset: str) -> None:
    data, indices, updates = floats(2, 4, 3), int32(3, 0), floats(2, 2, 3, seed=1)
    expected = data.copy()
    for i, index in enumerate(indices):
        expected[:, index] = combine(mode, expected[:, index], updates[:, i])
    got = run(
        lambda d, i, u: mb.scatter(data=d, indices=i, updates=u, axis=1, mode=mode), data, indices, updates, opset=opset
    )
    assert_same(got, expected)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("opset", ["iOS15", "iOS17"])
def test_scatter_along_axis_has_an_index_for_each_update(mode: str, opset: str) -> None:
    data, indices, updates = floats(2, 5), int32([4, 0, 1], [2, 3, 0]), floats(2, 3, seed=1)
    expected = data.copy()
    for row, i in np.ndindex(2, 3):
        at = row, indices[row, i]
        expected[at] = combine(mode, expected[at], updates[row, i])
    got = run(
        lambda d, i, u: mb.scatter_along_axis(data=d, indices=i, updates=u, axis=1, mode=mode),
        data,
        indices,
        updates,
        opset=opset,
    )
    assert_same(got, expected)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("opset", ["iOS15", "iOS17"])
def test_scatter_nd_of_slices(mode: str, opset: str) -> None:
    data, indices, updates = floats(2, 3, 4), int32([0, 1], [1, 2]), floats(2, 4, seed=1)
    expected = data.copy()
    for i, place in enumerate(indices):
        expected[tuple(place)] = combine(mode, expected[tuple(place)], updates[i])
    got = run(
        lambda d, i, u: mb.scatter_nd(data=d, indices=i, updates=u, mode=mode), data, indices, updates, opset=opset
    )
    assert_same(got, expected)


@pytest.mark.parametrize("name", ["scatter", "scatter_along_axis", "scatter_nd"])
@pytest.mark.parametrize(("mode", "expected"), [("add", 16), ("sub", -6), ("mul", 150), ("max", 6), ("min", 5)])
def test_updates_of_one_place_all_count(name: str, mode: str, expected: int) -> None:
    indices = int32([1], [1]) if name == "scatter_nd" else int32(1, 1)
    data, updates = int32(0, 5), int32(5, 6)

    def body(data: Any, indices: Any, updates: Any) -> Any:
        return getattr(mb, name)(data=data, indices=indices, updates=updates, mode=mode)

    assert_same(run(body, data, indices, updates), [0, expected], np.int32)


def test_the_example_of_scatter() -> None:
    data, updates = int32([1, 2, 3], [4, 5, 6]), int32([5, 6, 7], [8, 9, 10])
    got = run(lambda d, u: mb.scatter(data=d, indices=int32(1, 0), updates=u, axis=0, mode="add"), data, updates)
    assert_same(got, [[9, 11, 13], [9, 11, 13]], np.int32)


@pytest.mark.parametrize("name", ["scatter", "scatter_along_axis", "scatter_nd"])
def test_negative_indices_of_scatters_count_from_the_end_before_ios17(name: str) -> None:
    """iOS17 documents as new that "indices now supports only positive values"."""
    indices = int32([-1]) if name == "scatter_nd" else int32(-1)
    got = run(
        lambda d, i, u: getattr(mb, name)(data=d, indices=i, updates=u, mode="update"),
        int32(1, 2, 3),
        indices,
        int32(9),
    )
    assert_same(got, [1, 2, 9], np.int32)


VALIDATED: dict[str, tuple[Any, ...]] = {
    "gather": (int32(5, 6, 7), lambda i: i),
    "gather_along_axis": (int32(5, 6, 7), lambda i: i),
    "gather_nd": (int32(5, 6, 7), lambda i: i[:, None]),
    "scatter": (int32(5, 6, 7), lambda i: i),
    "scatter_along_axis": (int32(5, 6, 7), lambda i: i),
    "scatter_nd": (int32(5, 6, 7), lambda i: i[:, None]),
}


def validated(name: str, indices: np.ndarray) -> np.ndarray:
    x, shaped = VALIDATED[name]
    if name.startswith("gather"):
        return run(
            lambda x, i: getattr(mb, name)(x=x, indices=i, validate_indices=True), x, shaped(indices), opset="iOS17"
        )
    updates = np.zeros(len(indices), np.int32)

    def body(data: Any, indices: Any, updates: Any) -> Any:
        return getattr(mb, name)(data=data, indices=indices, updates=updates, mode="update", validate_indices=True)

    return run(body, x, shaped(indices), updates, opset="iOS17")


@pytest.mark.parametrize("name", VALIDATED)
@pytest.mark.parametrize("index", [-1, 3])
def test_validated_indices_of_ios17_stop_out_of_bounds(name: str, index: int) -> None:
    with pytest.raises((DvflMobileError, IndexError), match=name):
        validated(name, int32(0, index))


@pytest.mark.parametrize("name", VALIDATED)
def test_validated_indices_of_ios17_pass_in_bounds(name: str) -> None:
    got = validated(name, int32(2, 0))
    assert_same(got, [7, 5] if name.startswith("gather") else [0, 6, 0], np.int32)


@pytest.mark.parametrize("axis", [-1, 0, 1, -2])
def test_one_hot_puts_the_new_axis_in_its_place(axis: int) -> None:
    indices = int32([1, 0, 2], [0, 2, 2])
    expected = np.where(np.arange(4) == indices[..., None], 7.0, -1.0)
    got = run(lambda i: mb.one_hot(indices=i, one_hot_vector_size=4, axis=axis, on_value=7.0, off_value=-1.0), indices)
    assert_same(got, np.moveaxis(expected, -1, axis), np.float32)


def test_one_hot_is_of_the_type_of_its_values() -> None:
    got = run(lambda i: mb.one_hot(indices=i, one_hot_vector_size=3), int32(2, 0))
    assert_same(got, [[0, 0, 1], [1, 0, 0]], np.int32)


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("ascending", [False, True])
@pytest.mark.parametrize("axis", [-1, 0, 1])
def test_topk_is_sorted_and_says_where(opset: str, ascending: bool, axis: int) -> None:
    x, k = floats(3, 4, 5), 2
    order = np.argsort(x if ascending else -x, axis).take(range(k), axis)
    values, indices = run_all(lambda x: mb.topk(x=x, k=k, axis=axis, ascending=ascending), x, opset=opset)
    assert_same(values, np.take_along_axis(x, order, axis))
    assert_same(indices, order.astype(np.int32))


@pytest.mark.parametrize("opset", ["iOS16", "iOS17"])
def test_topk_without_indices_or_order(opset: str) -> None:
    x = floats(3, 6)
    values = run(lambda x: mb.topk(x=x, k=2, axis=1, return_indices=False), x, opset=opset)
    assert_same(values, -np.sort(-x, 1)[:, :2])
    loose, places = run_all(lambda x: mb.topk(x=x, k=3, axis=1, sort=False), x, opset=opset)
    assert_same(np.sort(loose, 1), np.sort(x, 1)[:, -3:])
    assert_same(loose, np.take_along_axis(x, places, 1))


def test_topk_of_ios17_gives_indices_of_the_type_asked_for() -> None:
    def body(x: Any) -> Any:
        values, indices = mb.topk(x=x, k=2, axis=1, output_indices_dtype="uint16")
        return values, mb.cast(x=indices, dtype="int32")

    values, indices = run_all(body, int32([2, 3, 1], [5, 4, 6]), opset="iOS17")
    assert_same(values, [[3, 2], [6, 5]], np.int32)
    assert_same(indices, [[1, 0], [2, 0]], np.int32)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16"])
def test_topk_of_small_integers_of_ios17(dtype: str) -> None:
    def body(x: Any) -> Any:
        values, indices = mb.topk(x=mb.cast(x=x, dtype=dtype), k=2, axis=1)
        return mb.cast(x=values, dtype="int32"), indices

    values, indices = run_all(body, int32([2, 3, 1], [5, 4, 127]), opset="iOS17")
    assert_same(values, [[3, 2], [127, 5]], np.int32)
    assert_same(indices, [[1, 0], [2, 0]], np.int32)


@pytest.mark.parametrize("ascending", [False, True])
@pytest.mark.parametrize("axis", [-1, 0])
def test_argsort(ascending: bool, axis: int) -> None:
    x = floats(4, 5)
    got = run(lambda x: mb.argsort(x=x, axis=axis, ascending=ascending), x)
    assert_same(got, np.argsort(x if ascending else -x, axis).astype(np.int32))


def test_float16_is_combined_in_float16() -> None:
    data, updates = np.array([2048, 1], np.float16), np.array([1], np.float16)
    got = run(
        lambda d, u: mb.sub(x=mb.scatter(data=d, indices=int32(0), updates=u, mode="add"), y=np.float16(2048)),
        data,
        updates,
        opset="iOS16",
    )
    assert_same(got, [0, -2047], np.float16)
