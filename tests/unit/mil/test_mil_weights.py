"""The executor's stored weights, quantized or packed, and its quantizers, against their published definitions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.mil import assert_close, assert_same, counted, floats, mb, run, types

BITS = [1, 2, 3, 4, 6, 8]


def weight(build: Any, shape: tuple[int, ...], opset: str = "iOS16", dtype: Any = np.float32) -> np.ndarray:
    """What a stored weight is once it is unpacked: added to nothing."""
    return run(lambda x: mb.add(x=x, y=build()), np.zeros(shape, dtype), opset=opset)


def packed(values: np.ndarray, bits: int) -> np.ndarray:
    """Least significant bit first, from one byte into the next."""
    flags = (values.reshape(-1, 1) >> np.arange(bits)) & 1
    return np.packbits(flags.astype(np.uint8).ravel(), bitorder="little")


def small(values: Any, bits: int, signed: bool = False) -> np.ndarray:
    """An array whose type says how few bits a value has, as coremltools marks it."""
    name = f"np_{'int' if signed else 'uint'}{bits}_dtype"
    return np.array(values).astype(getattr(types, name) if bits < 8 else np.int8 if signed else np.uint8)


QUANTIZED: dict[str, tuple[Any, Any, int]] = {
    "per tensor": (np.float32(0.25), np.int8(-3), 0),
    "per channel": (np.array([0.5, 0.125, 3], np.float32), np.array([1, -128, 127], np.int8), 0),
    "per channel of the second axis": (counted(4) / 8, np.array([0, -5, 6, 7], np.int8), 1),
    "axis from the end, one zero point": (counted(4) / 8, np.int8(4), -1),
}


@pytest.mark.parametrize("case", QUANTIZED)
@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_affine_dequantize_of_ios16(case: str, dtype: Any) -> None:
    scale, zero, axis = QUANTIZED[case]
    limits, zero = np.iinfo(dtype), (zero.astype(np.int64) % 120).astype(dtype) if dtype == np.uint8 else zero
    data = np.linspace(limits.min, limits.max, 12).astype(dtype).reshape(3, 4)
    lead = [1, 1]
    lead[axis] = -1
    s, z = (np.asarray(part, np.float64).reshape(lead if part.ndim else ()) for part in (scale, zero))
    got = weight(
        lambda: mb.constexpr_affine_dequantize(quantized_data=data, scale=scale, zero_point=zero, axis=axis), (3, 4)
    )
    assert_close(got, s * (data - z))


def test_affine_dequantize_of_ios16_rounds_to_float16() -> None:
    data, scale = np.arange(-8, 8, dtype=np.int8).reshape(4, 4), np.float16(0.1)
    got = weight(
        lambda: mb.constexpr_affine_dequantize(quantized_data=data, scale=scale, zero_point=np.int8(5), axis=0),
        (4, 4),
        dtype=np.float16,
    )
    assert_same(got, (float(scale) * (data.astype(np.float64) - 5)).astype(np.float16))


@pytest.mark.parametrize("bits", [1, 2, 4, 6, 8])
def test_lut_to_dense_of_ios16_unpacks_from_the_least_significant_bit(bits: int) -> None:
    # 15 values: the last byte is only begun, and with six bits most values lie across two bytes.
    indices = np.random.default_rng(bits).integers(0, 2**bits, 15)
    lut = floats(2**bits)
    got = weight(
        lambda: mb.constexpr_lut_to_dense(indices=packed(indices, bits), lut=lut, shape=np.array([3, 5], np.uint32)),
        (3, 5),
    )
    assert_same(got, lut[indices].reshape(3, 5))


def test_lut_to_dense_of_ios16_of_the_example() -> None:
    """The bytes as documented: 01 10 11 00, and then 11."""
    bytes_ = np.array([0b01101100, 0b00000011], np.uint8)
    lut = np.array([10, 11, 12, 13], np.float32)
    got = weight(lambda: mb.constexpr_lut_to_dense(indices=bytes_, lut=lut, shape=np.array([5], np.uint32)), (5,))
    assert_same(got, [10, 13, 12, 11, 13], np.float32)


def test_sparse_to_dense_of_ios16_of_the_example() -> None:
    mask, values = np.array([0b00001100], np.uint8), np.array([7, 8], np.float32)
    got = weight(
        lambda: mb.constexpr_sparse_to_dense(nonzero_data=values, mask=mask, shape=np.array([5], np.uint32)), (5,)
    )
    assert_same(got, [0, 0, 7, 8, 0], np.float32)


def test_sparse_to_dense_of_ios16_row_by_row() -> None:
    dense = np.where(np.arange(24) % 3 == 1, floats(24), 0).astype(np.float32).reshape(4, 6)
    mask = packed((dense != 0).astype(np.uint8), 1)
    got = weight(
        lambda: mb.constexpr_sparse_to_dense(
            nonzero_data=dense[dense != 0], mask=mask, shape=np.array([4, 6], np.uint32)
        ),
        (4, 6),
    )
    assert_same(got, dense)


@pytest.mark.parametrize("opset", ["iOS16", "iOS18"])
def test_cast_of_a_stored_float16(opset: str) -> None:
    half = floats(3, 4, dtype=np.float16)
    got = weight(lambda: mb.constexpr_cast(source_val=half, output_dtype="fp32"), (3, 4), opset)
    assert_same(got, half.astype(np.float32))


# Scales of a weight of (4, 6): the block size is what is left of each dimension.
BLOCKS = {"per tensor": (1, 1), "per row": (4, 1), "per column": (1, 6), "blocks": (2, 3), "each by itself": (4, 6)}


@pytest.mark.parametrize("blocks", BLOCKS)
@pytest.mark.parametrize(("bits", "signed"), [(4, True), (4, False), (8, True), (8, False)])
@pytest.mark.parametrize("offset", [True, False])
def test_blockwise_shift_scale_of_ios18(blocks: str, bits: int, signed: bool, offset: bool) -> None:
    shape = BLOCKS[blocks]
    low = -(2 ** (bits - 1)) if signed else 0
    draw = np.random.default_rng(bits)
    data = draw.integers(low, low + 2**bits, (4, 6))
    shift = draw.integers(low, low + 2**bits, shape)
    scale = floats(*shape)
    more = {"offset": small(shift, bits, signed)} if offset else {}
    got = weight(
        lambda: mb.constexpr_blockwise_shift_scale(data=small(data, bits, signed), scale=scale, **more),
        (4, 6),
        "iOS18",
    )
    spread = np.ones((4 // shape[0], 6 // shape[1]))
    assert_close(got, np.kron(scale.astype(np.float64), spread) * (data - offset * np.kron(shift, spread)))


def test_blockwise_shift_scale_of_ios18_by_an_offset_that_is_no_integer() -> None:
    data, scale, shift = np.arange(-4, 4, dtype=np.int8).reshape(2, 4), floats(2, 1), np.float32([[0.5], [-1.25]])
    got = weight(lambda: mb.constexpr_blockwise_shift_scale(data=data, scale=scale, offset=shift), (2, 4), "iOS18")
    assert_close(got, scale.astype(np.float64) * (data - shift))


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("groups", [(1, 1), (2, 1), (1, 3), (4, 6)])
def test_lut_to_dense_of_ios18_has_a_palette_for_each_group(bits: int, groups: tuple[int, int]) -> None:
    indices = np.random.default_rng(bits).integers(0, 2**bits, (4, 6))
    lut = floats(*groups, 2**bits, 1)
    got = weight(lambda: mb.constexpr_lut_to_dense(indices=small(indices, bits), lut=lut), (4, 6), "iOS18")
    expected = np.empty((4, 6), np.float32)
    for i, j in np.ndindex(4, 6):
        expected[i, j] = lut[i * groups[0] // 4, j * groups[1] // 6, indices[i, j], 0]
    assert_same(got, expected)


def test_lut_to_dense_of_ios18_of_the_first_example() -> None:
    indices = small([[2, 3], [3, 0], [1, 0], [3, 0], [2, 1], [0, 3]], 2)
    lut = np.array([1, 5, 9, 13, 2, 10, 18, 26], np.float32).reshape(2, 1, 4, 1)
    got = weight(lambda: mb.constexpr_lut_to_dense(indices=indices, lut=lut), (6, 2), "iOS18")
    assert_same(got, [[9, 13], [13, 1], [5, 1], [26, 2], [18, 10], [2, 26]], np.float32)


@pytest.mark.parametrize(("axis", "shape"), [(1, (2, 6, 2)), (2, (2, 2, 6)), (-1, (2, 2, 6)), (0, (6, 2, 2))])
def test_lut_to_dense_of_ios18_fills_vectors_along_their_axis(axis: int, shape: tuple[int, ...]) -> None:
    """The second example, and the axes that it leaves out."""
    places = np.array([[[0, 0], [1, 0]], [[1, 1], [0, 0]]])
    lut = np.array([[1, 2, 3], [10, 20, 30]], np.float32).reshape(1, 1, 1, 2, 3)
    expected = np.empty(shape, np.float32)
    for place in np.ndindex(*shape):
        of = list(place)
        of[axis] //= 3
        expected[place] = lut[0, 0, 0, places[tuple(of)], place[axis] % 3]
    got = weight(lambda: mb.constexpr_lut_to_dense(indices=small(places, 1), lut=lut, vector_axis=axis), shape, "iOS18")
    assert_same(got, expected)


def test_lut_to_dense_of_ios18_with_vectors_of_several_groups() -> None:
    places, lut = np.random.default_rng(0).integers(0, 4, (4, 3)), floats(2, 1, 4, 2)
    expected = np.empty((8, 3), np.float32)
    for i, j in np.ndindex(8, 3):
        expected[i, j] = lut[i // 4, 0, places[i // 2, j], i % 2]
    got = weight(lambda: mb.constexpr_lut_to_dense(indices=small(places, 2), lut=lut, vector_axis=0), (8, 3), "iOS18")
    assert_same(got, expected)


MASK = np.array([[1, 1, 0, 0, 0, 0], [1, 1, 0, 0, 0, 1], [0, 1, 1, 0, 1, 0], [0, 0, 0, 1, 0, 0]])


def test_sparse_to_dense_of_ios18() -> None:
    expected = np.where(MASK, floats(4, 6), 0).astype(np.float32)
    got = weight(
        lambda: mb.constexpr_sparse_to_dense(nonzero_data=expected[MASK != 0], mask=small(MASK, 1)), (4, 6), "iOS18"
    )
    assert_same(got, expected)


@pytest.mark.parametrize("vector", [False, True])
def test_lut_to_sparse_of_the_examples(vector: bool) -> None:
    of = [0, 1, 1, 0, 1, 1, 0, 0, 1]
    scalar_lut, vector_lut = [2, 3], [[2, 2.5], [3, 3.5]]
    lut = np.array(vector_lut if vector else scalar_lut, np.float32).reshape(1, 1, 2, -1)

    def build() -> Any:
        more = {"vector_axis": 0} if vector else {}
        mask, values = mb.constexpr_lut_to_sparse(
            indices_mask=small(MASK, 1), indices_nonzero_data=small(of, 1), lut=lut, **more
        )
        return mb.constexpr_sparse_to_dense(nonzero_data=values, mask=mask)

    expected = np.zeros((4, 6, lut.shape[-1]), np.float32)
    expected[MASK != 0] = lut[0, 0][of]
    # The vectors stand along the first axis: rows 2i and 2i + 1 are of row i.
    expected = np.moveaxis(expected, -1, 1).reshape(-1, 6)
    assert_same(weight(build, expected.shape, "iOS18"), expected)


def test_sparse_blockwise_shift_scale_of_the_example() -> None:
    mask = small([[1, 1, 0, 0], [1, 1, 1, 0], [0, 0, 1, 1], [1, 1, 0, 0]], 1)
    values = np.array([10, 11, 3, 4, 5, 6, 7, 8, 9], np.int8)
    scale, shift = np.array([[0.1, 0.2, 0.3, 0.4]], np.float32), np.array([[1, 2, 3, 4]], np.int8)

    def build() -> Any:
        mask_, values_ = mb.constexpr_sparse_blockwise_shift_scale(
            data_mask=mask, nonzero_data=values, scale=scale, offset=shift
        )
        return mb.constexpr_sparse_to_dense(nonzero_data=values_, mask=mask_)

    expected = [[0.9, 1.8, 0, 0], [0.2, 0.4, 0.6, 0], [0, 0, 0.9, 1.2], [0.7, 1.4, 0, 0]]
    assert_close(weight(build, (4, 4), "iOS18"), expected)


def test_a_palette_that_is_quantized_itself() -> None:
    """One stored weight within another: the palette is of int8, scaled after it is looked up."""
    places, lut = np.random.default_rng(0).integers(0, 4, (3, 5)), np.array([-100, 3, 50, 127], np.int8)
    scale = np.array([[0.5], [0.25], [2]], np.float32)

    def build() -> Any:
        looked_up = mb.constexpr_lut_to_dense(indices=small(places, 2), lut=lut.reshape(1, 1, 4, 1))
        return mb.constexpr_blockwise_shift_scale(data=looked_up, scale=scale)

    assert_close(weight(build, (3, 5), "iOS18"), scale * lut[places].astype(np.float64))


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_quantize_rounds_halves_to_even_then_shifts_then_saturates(dtype: str) -> None:
    limits = np.iinfo(dtype)
    x = np.array([-1000, -2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 0.74, 1000], np.float32) * np.float32(0.5)
    zero = np.array(3, dtype)
    got = run(
        lambda x: mb.cast(
            x=mb.quantize(input=x, scale=np.float32(0.5), zero_point=zero, output_dtype=dtype), dtype="int32"
        ),
        x,
        opset="iOS17",
    )
    expected = [limits.min, *(max(limits.min, 3 + step) for step in (-2, -2, 0, 0, 2, 2, 1)), limits.max]
    assert_same(got, expected, np.int32)


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_quantize_and_dequantize_per_axis(axis: int, dtype: str) -> None:
    x = floats(3, 4, 5) * 100
    size = x.shape[axis]
    scale, zero = counted(size) / 7, np.arange(size).astype(dtype)
    lead = [1, 1, 1]
    lead[axis] = size
    s, z = scale.astype(np.float64).reshape(lead), zero.astype(np.float64).reshape(lead)
    # The quotient itself is of float32.
    steps = np.clip(np.rint(x / scale.reshape(lead)) + z, np.iinfo(dtype).min, np.iinfo(dtype).max)

    def quantized(x: Any) -> Any:
        return mb.quantize(input=x, scale=scale, zero_point=zero, axis=axis, output_dtype=dtype)

    assert_same(run(lambda x: mb.cast(x=quantized(x), dtype="int32"), x, opset="iOS17"), steps, np.int32)
    back = run(lambda x: mb.dequantize(input=quantized(x), scale=scale, zero_point=zero, axis=axis), x, opset="iOS17")
    assert_close(back, s * (steps - z))


def test_quantize_and_dequantize_without_a_zero_point() -> None:
    x, scale = np.array([-3, -0.26, 0.24, 70], np.float32), np.float32(0.5)

    def body(x: Any) -> Any:
        return mb.dequantize(input=mb.quantize(input=x, scale=scale, output_dtype="int8"), scale=scale)

    assert_same(run(body, x, opset="iOS17"), [-3, -0.5, 0, 63.5], np.float32)


def test_dequantize_to_float16_rounds() -> None:
    x, scale = np.array([-7, 3, 11], np.float16), np.float16(0.1)

    def body(x: Any) -> Any:
        whole = mb.quantize(input=x, scale=np.float16(1), output_dtype="int8")
        return mb.dequantize(input=whole, scale=scale)

    assert_same(run(body, x, opset="iOS17"), (x.astype(np.float64) * float(scale)).astype(np.float16))
