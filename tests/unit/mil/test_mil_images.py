"""The executor's operators on images against their published definitions.

Grids are those of the docstrings of `resize_bilinear` and `upsample_bilinear`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.mil import assert_close, assert_same, counted, floats, grid, mb, run

MODES = ["STRICT_ALIGN_CORNERS", "ALIGN_CORNERS", "DEFAULT", "OFFSET_CORNERS", "UNALIGN_CORNERS"]


def along(x: np.ndarray, points: np.ndarray, axis: int) -> np.ndarray:
    """Linear interpolation between the two neighbours of each point."""
    below = np.clip(np.floor(points).astype(int), 0, x.shape[axis] - 1)
    above = np.minimum(below + 1, x.shape[axis] - 1)
    share = (points - below).reshape([-1 if i == axis % x.ndim else 1 for i in range(x.ndim)])
    return x.take(below, axis) * (1 - share) + x.take(above, axis) * share


def resized(x: np.ndarray, mode: str, height: int, width: int) -> np.ndarray:
    rows = along(x.astype(np.float64), grid(mode, x.shape[-2], height), -2)
    return along(rows, grid(mode, x.shape[-1], width), -1)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("UNALIGN_CORNERS", [0, 0.1, 0.5, 0.9, 1]),
        ("STRICT_ALIGN_CORNERS", [0, 0.25, 0.5, 0.75, 1]),
        ("ALIGN_CORNERS", [0, 0.25, 0.5, 0.75, 1]),
        ("DEFAULT", [0, 0.4, 0.8, 1, 1]),
        ("OFFSET_CORNERS", [0.1, 0.3, 0.5, 0.7, 0.9]),
    ],
)
def test_resize_bilinear_of_the_examples(mode: str, expected: list[float]) -> None:
    x = np.array([0, 1], np.float32).reshape(1, 1, 2)
    options = {"target_size_height": 1, "target_size_width": 5, "sampling_mode": mode}
    assert_close(run(lambda x: mb.resize_bilinear(x=x, **options), x), [[expected]])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [(7, 9), (3, 2), (4, 5), (8, 3), (1, 10)])
def test_resize_bilinear(mode: str, size: tuple[int, int]) -> None:
    x = floats(2, 3, 4, 5)
    options = {"target_size_height": size[0], "target_size_width": size[1], "sampling_mode": mode}
    assert_close(run(lambda x: mb.resize_bilinear(x=x, **options), x), resized(x, mode, *size))


def test_resize_bilinear_of_rank_three() -> None:
    x = floats(3, 4, 5)
    options = {"target_size_height": 6, "target_size_width": 2, "sampling_mode": "UNALIGN_CORNERS"}
    assert_close(run(lambda x: mb.resize_bilinear(x=x, **options), x), resized(x, "UNALIGN_CORNERS", 6, 2))


@pytest.mark.parametrize("mode", MODES)
def test_resize_of_ios17_takes_the_sizes_from_the_right(mode: str) -> None:
    x = floats(2, 3, 4, 5)
    shape = np.array([1, 7, 0], np.int32)
    got = run(lambda x: mb.resize(x=x, shape=shape, resized_dims=np.uint32(2), sampling_mode=mode), x, opset="iOS17")
    assert_close(got, resized(x, mode, 7, 5))


def test_resize_of_ios17_to_a_shape_given_at_run_time() -> None:
    x, shape = floats(1, 2, 4, 5), np.array([8, 10], np.int32)
    got = run(lambda x, shape: mb.resize(x=x, shape=shape, resized_dims=np.uint32(2)), x, shape, opset="iOS17")
    assert_close(got, resized(x, "DEFAULT", 8, 10))


def test_resize_of_ios17_to_the_nearest_is_that_of_apples_test() -> None:
    """Two rows to three: the points 0, 0.67 and 1 go to 0, 1 and 1, so the nearest is not the one below."""
    x = np.array([-6.174, 9.371], np.float32).reshape(1, 1, 2, 1)
    options = {"resized_dims": np.uint32(2), "interpolation_mode": "NEAREST_NEIGHBOR", "sampling_mode": "DEFAULT"}
    got = run(lambda x: mb.resize(x=x, shape=[1, 1, 3, 2], **options), x, opset="iOS17")
    assert_same(got, x[:, :, [0, 1, 1]][..., [0, 0]])


@pytest.mark.parametrize("scale", [(1, 1), (2, 3), (3, 1)])
def test_upsample_nearest_neighbor_repeats(scale: tuple[int, int]) -> None:
    x = counted(2, 2, 3, 2)
    options = {"scale_factor_height": scale[0], "scale_factor_width": scale[1]}
    got = run(lambda x: mb.upsample_nearest_neighbor(x=x, **options), x)
    assert_same(got, x.repeat(scale[0], -2).repeat(scale[1], -1))


@pytest.mark.parametrize(
    ("scale", "expected"),
    [((3.17, 0.67), [[1.5, -2.5]] * 3), ((2.0, 1.12), [[1.5, -2.5, 3.5]] * 2)],
)
def test_upsample_nearest_neighbor_of_fractions_is_that_of_apples_test(scale: Any, expected: Any) -> None:
    x = np.array([1.5, -2.5, 3.5], np.float32).reshape(1, 1, 1, 3)
    options = {"scale_factor_height": scale[0], "scale_factor_width": scale[1]}
    assert_same(run(lambda x: mb.upsample_nearest_neighbor(x=x, **options), x), [[expected]], np.float32)


@pytest.mark.parametrize("times", [(1, 1), (2, 3)])
def test_resize_nearest_neighbor_to_a_multiple_repeats(times: tuple[int, int]) -> None:
    """It is documented as `upsample_nearest_neighbor` by size."""
    x = counted(1, 2, 3, 2)
    options = {"target_size_height": 3 * times[0], "target_size_width": 2 * times[1]}
    got = run(lambda x: mb.resize_nearest_neighbor(x=x, **options), x)
    assert_same(got, x.repeat(times[0], -2).repeat(times[1], -1))


UPSAMPLES = {True: "STRICT_ALIGN_CORNERS", False: "UNALIGN_CORNERS"}


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("scale", [(2, 3), (1, 1), (2.5, 1.7), (0.5, 0.75)])
def test_upsample_bilinear_by_the_scale_of_the_size_that_it_gives(align_corners: bool, scale: Any) -> None:
    x = floats(2, 3, 4, 5)
    size = [int(np.floor(n * s)) for n, s in zip(x.shape[-2:], scale, strict=True)]
    options = {"scale_factor_height": scale[0], "scale_factor_width": scale[1], "align_corners": align_corners}
    got = run(lambda x: mb.upsample_bilinear(x=x, **options), x)
    assert_close(got, resized(x, UPSAMPLES[align_corners], *size))


def test_upsample_bilinear_by_a_factor_that_float32_cannot_write() -> None:
    """0.7 of ten is seven: so coremltools declares it, though the float32 next to 0.7 lies below it."""
    x = floats(1, 1, 2, 10)
    got = run(lambda x: mb.upsample_bilinear(x=x, scale_factor_width=0.7, align_corners=False), x)
    assert_close(got, resized(x, "UNALIGN_CORNERS", 2, 7))


@pytest.mark.parametrize(
    ("align", "half", "expected"),
    [
        (True, None, [1, 1.2, 1.4, 1.6, 1.8, 2]),
        (True, False, [1, 1.2, 1.4, 1.6, 1.8, 2]),
        (False, None, [1, 1, 4 / 3, 5 / 3, 2, 2]),
        (False, True, [1, 1, 4 / 3, 5 / 3, 2, 2]),
        (False, False, [1, 4 / 3, 5 / 3, 2, 2, 2]),
    ],
)
def test_upsample_bilinear_of_ios16_is_that_of_apples_test(align: bool, half: Any, expected: list[float]) -> None:
    x = np.array([1, 2], np.float32).reshape(1, 1, 1, 2)
    options = {"scale_factor_height": 2, "scale_factor_width": 3, "align_corners": align}
    more = {} if half is None else {"half_pixel_centers": half}
    got = run(lambda x: mb.upsample_bilinear(x=x, **options, **more), x, opset="iOS16")
    assert_close(got, [[[expected] * 2]])


def test_crop_takes_from_each_side() -> None:
    x = counted(2, 3, 5, 6)
    got = run(lambda x: mb.crop(x=x, crop_height=[1, 2], crop_width=[0, 3]), x)
    assert_same(got, x[:, :, 1:3, 0:3])


def test_a_point_between_two_float16_is_rounded() -> None:
    x = np.array([2048, 2050], np.float16).reshape(1, 1, 1, 2)
    options = {"target_size_height": 1, "target_size_width": 3, "sampling_mode": "ALIGN_CORNERS"}
    got = run(lambda x: mb.resize_bilinear(x=x, **options), x, opset="iOS16")
    assert_same(got, [[[[2048, 2048, 2050]]]], np.float16)
