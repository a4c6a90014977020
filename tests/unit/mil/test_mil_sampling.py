"""The executor's operators that sample an image at given points or boxes, against their published definitions.

What a box is to a sampling mode is NeuralNetwork.proto's: "without the loss of generality, assume the interval to be
[0, X-1] from which N points are to be sampled"; a box is such an interval of X = end - start + 1, shifted by its start.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.mil import assert_close, assert_same, counted, floats, grid, mb, run

PADDINGS = ["constant", "border", "reflection", "symmetric"]


def source(place: int, size: int, padding: str) -> int:
    """Where a place of the padded image comes from, by the examples of `resample`; -1 is the padding value."""
    if padding == "border":
        return min(max(place, 0), size - 1)
    if padding == "constant":
        return place if 0 <= place < size else -1
    edge_once = padding == "reflection"
    place %= 2 * size - 2 * edge_once
    return place if place < size else 2 * size - 1 - edge_once - place


@pytest.mark.parametrize(
    ("padding", "expected"),
    [
        ("border", [1, 1, 1, 1, 2, 3, 3, 3, 3]),
        ("reflection", [2, 3, 2, 1, 2, 3, 2, 1, 2]),
        ("symmetric", [3, 2, 1, 1, 2, 3, 3, 2, 1]),
    ],
)
def test_the_source_of_padding_is_that_of_the_examples(padding: str, expected: list[int]) -> None:
    assert [source(place, 3, padding) + 1 for place in range(-3, 6)] == expected


def at(image: np.ndarray, row: int, column: int, padding: str, value: float) -> float:
    i, j = source(row, image.shape[0], padding), source(column, image.shape[1], padding)
    return value if i < 0 or j < 0 else float(image[i, j])


def sampled(image: np.ndarray, x: float, y: float, how: str, padding: str, value: float) -> float:
    """The padded image at column `x` and row `y`, counted in pixels."""
    if how == "nearest":
        return at(image, round(y), round(x), padding, value)
    row, column = int(np.floor(y)), int(np.floor(x))
    down, right = y - row, x - column
    above = at(image, row, column, padding, value) * (1 - right) + at(image, row, column + 1, padding, value) * right
    row += 1
    below = at(image, row, column, padding, value) * (1 - right) + at(image, row, column + 1, padding, value) * right
    return above * (1 - down) + below * down


def in_pixels(coordinate: float, size: int, mode: str, align_corners: bool) -> float:
    """Extrema are the centers of the corner pixels, or without `align_corners` their outer edges."""
    if mode == "unnormalized":
        return coordinate
    share = (coordinate + 1) / 2 if mode == "normalized_minus_one_to_one" else coordinate
    return share * (size - 1) if align_corners else share * size - 0.5


def resampled(x: np.ndarray, coordinates: np.ndarray, options: dict[str, Any]) -> np.ndarray:
    out = np.empty((*x.shape[:2], *coordinates.shape[1:3]))
    mode, align = options["coordinates_mode"], options["align_corners"]
    for b, c, i, j in np.ndindex(*out.shape):
        column, row = coordinates[b, i, j].astype(np.float64)
        out[b, c, i, j] = sampled(
            x[b, c].astype(np.float64),
            in_pixels(column, x.shape[3], mode, align),
            in_pixels(row, x.shape[2], mode, align),
            options["sampling_mode"],
            options["padding_mode"],
            options["padding_value"],
        )
    return out


def resample(x: np.ndarray, coordinates: np.ndarray, options: dict[str, Any], opset: str = "iOS15") -> np.ndarray:
    return run(lambda x, at: mb.resample(x=x, coordinates=at, **options), x, coordinates, opset=opset)


RANGES = {"unnormalized": (-4, 9), "normalized_minus_one_to_one": (-2.2, 2.3), "normalized_zero_to_one": (-0.8, 1.7)}


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("mode", RANGES)
@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("sampling", ["bilinear", "nearest"])
def test_resample(padding: str, mode: str, align_corners: bool, sampling: str) -> None:
    x = floats(2, 2, 4, 5)
    coordinates = np.random.default_rng(1).uniform(*RANGES[mode], (2, 3, 6, 2)).astype(np.float32)
    options = {
        "sampling_mode": sampling,
        "padding_mode": padding,
        "padding_value": 0.75,
        "coordinates_mode": mode,
        "align_corners": align_corners,
    }
    # A coordinate of float32 is off by 4e-7 of a pixel, and so is the weight of its neighbours.
    assert_close(resample(x, coordinates, options), resampled(x, coordinates, options), within=5e-6)


APPLES = np.array([-1, -2, -3.7, -1, 0, 0, 3.5, 1.2], np.float32).reshape(1, 2, 2, 2)
APPLES_TESTS = [
    (("bilinear", "constant", 6.17, "normalized_minus_one_to_one", True), [8.585, 6.17, 27.5, 6.17]),
    (("nearest", "border", -1.0, "unnormalized", False), [11, 11, 11, 44]),
    (("bilinear", "reflection", -1.0, "normalized_zero_to_one", True), [22, 36.3, 11, 34.1]),
    # Points halfway between two pixels.
    (("nearest", "symmetric", -1.0, "normalized_zero_to_one", False), [22, 33, 11, 33]),
]
NAMES = ["sampling_mode", "padding_mode", "padding_value", "coordinates_mode", "align_corners"]


@pytest.mark.parametrize(("values", "expected"), APPLES_TESTS)
@pytest.mark.parametrize("opset", ["iOS15", "iOS17"])
def test_resample_of_apples_tests(values: tuple[Any, ...], expected: list[float], opset: str) -> None:
    x = np.array([11, 22, 33, 44], np.float32).reshape(1, 1, 2, 2)
    got = resample(x, APPLES, dict(zip(NAMES, values, strict=True)), opset)
    assert_close(got, np.reshape(expected, (1, 1, 2, 2)))


def test_resample_at_coordinates_of_int32_and_float16() -> None:
    x, at_pixels = counted(1, 1, 3, 4), np.array([[3, 2], [0, 1]], np.int32).reshape(1, 1, 2, 2)
    options = dict(zip(NAMES, ("bilinear", "constant", 0.0, "unnormalized", True), strict=True))
    assert_close(resample(x, at_pixels, options), [[[[12, 5]]]])
    assert_close(resample(x, at_pixels.astype(np.float16), options, "iOS16"), [[[[12, 5]]]])


AFFINE = {
    "sampling_mode": "bilinear",
    "padding_mode": "constant",
    "padding_value": 0.0,
    "coordinates_mode": "normalized_minus_one_to_one",
    "align_corners": True,
}


def affine(x: np.ndarray, matrices: np.ndarray, height: int, width: int) -> np.ndarray:
    out = np.empty((*x.shape[:2], height, width))
    for b, c, i, j in np.ndindex(*out.shape):
        a0, a1, a2, b0, b1, b2 = matrices[b % len(matrices)].astype(np.float64)
        column, row = 2 * j / (width - 1) - 1, 2 * i / (height - 1) - 1
        x_, y_ = a0 * column + a1 * row + a2, b0 * column + b1 * row + b2
        place = in_pixels(x_, x.shape[3], AFFINE["coordinates_mode"], True)
        down = in_pixels(y_, x.shape[2], AFFINE["coordinates_mode"], True)
        out[b, c, i, j] = sampled(x[b, c].astype(np.float64), place, down, "bilinear", "constant", 0)
    return out


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((3, 3), [10.7525, 2.5025, 0, 1.98, 0, 0, 0, 0, 0]),
        ((2, 5), [10.7525, 5.94, 2.5025, 0.44, 0, 0, 0, 0, 0, 0]),
    ],
)
def test_affine_of_apples_test(size: tuple[int, int], expected: list[float]) -> None:
    x = np.array([11, 22, 33, 44], np.float32).reshape(1, 1, 2, 2)
    matrix = np.array([[-1, -2, -3.7, -1, 3.5, 1.2]], np.float32)
    options = {"output_height": size[0], "output_width": size[1], **AFFINE}
    got = run(lambda x, matrix: mb.affine(x=x, transform_matrix=matrix, **options), x, matrix)
    assert_close(got, np.reshape(expected, (1, 1, *size)), within=3e-6)


@pytest.mark.parametrize("matrices", [1, 2])
def test_affine_with_a_matrix_for_all_or_for_each(matrices: int) -> None:
    x, matrix = floats(2, 3, 4, 5), floats(matrices, 6, seed=3) / 2
    got = run(lambda x, m: mb.affine(x=x, transform_matrix=m, output_height=3, output_width=6, **AFFINE), x, matrix)
    assert_close(got, affine(x, matrix, 3, 6), within=5e-6)


def test_affine_of_the_identity_gives_the_image() -> None:
    x, matrix = counted(1, 1, 3, 4), np.array([[1, 0, 0, 0, 1, 0]], np.float32)
    got = run(lambda x, m: mb.affine(x=x, transform_matrix=m, output_height=3, output_width=4, **AFFINE), x, matrix)
    assert_close(got, x)


Boxes = list[tuple[float, float, float, float]]
BOXES: Boxes = [(0, 0, 3, 4), (1, 1, 2, 3.5), (0.25, 1.75, 2.5, 2.25)]


def cropped(image: np.ndarray, box: Any, size: tuple[int, int], mode: str, pad_value: float = 0) -> np.ndarray:
    """A box of pixels from (top, left) to (bottom, right); points outside of the image are the padding value."""
    top, left, bottom, right = box
    rows, columns = top + grid(mode, bottom - top + 1, size[0]), left + grid(mode, right - left + 1, size[1])
    out = np.full((image.shape[0], *size), pad_value, np.float64)
    for c, i, j in np.ndindex(*out.shape):
        if 0 <= rows[i] <= image.shape[1] - 1 and 0 <= columns[j] <= image.shape[2] - 1:
            out[c, i, j] = sampled(image[c].astype(np.float64), columns[j], rows[i], "bilinear", "border", 0)
    return out


def crop_resize(x: np.ndarray, boxes: Any, opset: str, size: tuple[int, int], **options: Any) -> np.ndarray:
    """Of iOS17, or of the older ones with each box for each image."""
    given = np.array(boxes, np.float32)
    options |= {"target_height": size[0], "target_width": size[1]}
    if opset == "iOS17":
        indices = np.zeros(len(given), np.int32)
        return run(lambda x, b: mb.crop_resize(x=x, boxes=b, box_indices=indices, **options), x, given, opset=opset)
    roi = given.reshape(len(given), 1, 4, 1, 1)
    return run(lambda x, roi: mb.crop_resize(x=x, roi=roi, **options), x, roi, opset=opset)[:, 0]


@pytest.mark.parametrize("opset", ["iOS15", "iOS17"])
@pytest.mark.parametrize("mode", ["STRICT_ALIGN_CORNERS", "ALIGN_CORNERS"])
@pytest.mark.parametrize("size", [(2, 3), (5, 4)])
def test_crop_resize_from_corner_to_corner(opset: str, mode: str, size: tuple[int, int]) -> None:
    x = floats(1, 2, 4, 5)
    got = crop_resize(x, BOXES, opset, size, sampling_mode=mode)
    assert_close(got, [cropped(x[0], box, size, mode) for box in BOXES])


def test_crop_resize_to_one_point_is_the_middle_of_the_box() -> None:
    x = floats(1, 2, 4, 5)
    got = crop_resize(x, BOXES, "iOS17", (1, 1), sampling_mode="ALIGN_CORNERS")
    assert_close(got, [cropped(x[0], box, (1, 1), "ALIGN_CORNERS") for box in BOXES])


@pytest.mark.parametrize("mode", ["DEFAULT", "OFFSET_CORNERS", "UNALIGN_CORNERS"])
def test_crop_resize_by_other_modes(mode: str) -> None:
    x = floats(1, 2, 4, 5)
    got = crop_resize(x, BOXES, "iOS17", (3, 4), sampling_mode=mode)
    assert_close(got, [cropped(x[0], box, (3, 4), mode) for box in BOXES])


@pytest.mark.parametrize(
    ("mode", "box"),
    [
        ("CORNERS_HEIGHT_FIRST", (1, 0.5, 2, 3)),
        ("CORNERS_WIDTH_FIRST", (0.5, 1, 3, 2)),
        ("CENTER_SIZE_HEIGHT_FIRST", (1.5, 1.75, 1, 2.5)),
        ("CENTER_SIZE_WIDTH_FIRST", (1.75, 1.5, 2.5, 1)),
    ],
)
def test_crop_resize_by_each_way_to_write_a_box(mode: str, box: Any) -> None:
    x = floats(1, 2, 4, 5)
    got = crop_resize(x, [box], "iOS17", (3, 4), sampling_mode="ALIGN_CORNERS", box_coordinate_mode=mode)
    assert_close(got, [cropped(x[0], (1, 0.5, 2, 3), (3, 4), "ALIGN_CORNERS")])


@pytest.mark.parametrize("opset", ["iOS15", "iOS17"])
def test_crop_resize_scales_normalized_boxes_by_the_last_pixel(opset: str) -> None:
    x = floats(1, 2, 4, 5)
    box = (1 / 3, 0.125, 2 / 3, 0.75)
    got = crop_resize(x, [box], opset, (3, 4), sampling_mode="ALIGN_CORNERS", normalized_coordinates=True)
    assert_close(got, [cropped(x[0], (1, 0.5, 2, 3), (3, 4), "ALIGN_CORNERS")])


def test_crop_resize_multiplies_boxes_by_the_spatial_scale() -> None:
    x = floats(1, 2, 4, 5)
    got = crop_resize(x, [(4, 2, 8, 12)], "iOS17", (3, 4), sampling_mode="ALIGN_CORNERS", spatial_scale=0.25)
    assert_close(got, [cropped(x[0], (1, 0.5, 2, 3), (3, 4), "ALIGN_CORNERS")])


def test_crop_resize_of_all_images_or_of_a_named_one() -> None:
    x = floats(2, 3, 4, 5)
    corners = {"target_height": 2, "target_width": 3, "sampling_mode": "ALIGN_CORNERS"}
    roi = np.array(BOXES, np.float32).reshape(3, 1, 4, 1, 1)
    got = run(lambda x, roi: mb.crop_resize(x=x, roi=roi, **corners), x, roi)
    assert_close(got, [[cropped(image, box, (2, 3), "ALIGN_CORNERS") for image in x] for box in BOXES])
    indices = np.array([1, 0, 1], np.int32)
    got = run(
        lambda x, b: mb.crop_resize(x=x, boxes=b, box_indices=indices, **corners),
        x,
        np.array(BOXES, np.float32),
        opset="iOS17",
    )
    chosen = zip(indices, BOXES, strict=True)
    assert_close(got, [cropped(x[image], box, (2, 3), "ALIGN_CORNERS") for image, box in chosen])


@pytest.mark.parametrize("opset", ["iOS16", "iOS17"])
@pytest.mark.parametrize("pad", [0.0, 10.0])
def test_crop_resize_pads_points_outside_as_in_apples_test(opset: str, pad: float) -> None:
    boxes = [(0.1, 0.3, 1.3, 1), (0.5, 1.8, 1, 0.3), (0, 0.4, 0.6, 0.7)]
    got = crop_resize(
        counted(1, 1, 4, 4),
        boxes,
        opset,
        (2, 2),
        sampling_mode="ALIGN_CORNERS",
        normalized_coordinates=True,
        pad_value=pad,
    )
    expected = [3.1, 5.2, pad, pad, pad, 7.9, pad, 13.9, 2.2, 3.1, 9.4, 10.3]
    assert_close(got, np.reshape(expected, (3, 1, 2, 2)))


def test_crop_resize_from_the_end_of_a_box_to_its_start() -> None:
    got = crop_resize(counted(1, 1, 4, 4), [(2, 2, 1, 1)], "iOS15", (2, 2), sampling_mode="ALIGN_CORNERS")
    assert_same(got, [[[[11, 10], [7, 6]]]], np.float32)
