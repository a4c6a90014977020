"""Which frames, which pixels: the official pipeline's arithmetic."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from dvfl_mobile.data.clips import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    ClipSpec,
    View,
    frame_indices,
    frame_indices_by_time,
    normalize,
    prepare,
    views,
)
from dvfl_mobile.errors import UsageError

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "official_frame_indices.json").read_text())
CASES = [
    (int(key.removeprefix("frames")), int(total), indices)
    for key, cases in GOLDEN.items()
    if key.startswith("frames")
    for total, indices in cases.items()
]


@pytest.mark.parametrize(("frames", "total", "expected"), CASES)
def test_frames_are_the_official_ones(frames: int, total: int, expected: list[int]) -> None:
    assert frame_indices(total, ClipSpec(frames=frames)).tolist() == expected


@pytest.mark.parametrize(("frames", "total", "expected"), CASES)
def test_evenly_timed_frames_are_the_official_ones(frames: int, total: int, expected: list[int]) -> None:
    # 29.97 a second in whole milliseconds, as Matroska writes it: 33, 67, 100, ...
    times = np.round(np.arange(total) * 1001 / 30).astype(np.int64) + 5000
    assert frame_indices_by_time(times, ClipSpec(frames=frames)).tolist() == expected


def test_frames_that_stray_less_than_half_an_interval_change_nothing() -> None:
    stray = np.random.default_rng(0).uniform(-0.49, 0.49, 123)
    stray[[0, -1]] = 0
    times = np.arange(123) + stray
    assert frame_indices_by_time(times, ClipSpec()).tolist() == frame_indices(123, ClipSpec()).tolist()


def test_a_still_stretch_is_drawn_as_often_as_it_lasts() -> None:
    # Eight frames in the first second, then one a second: by index they would be drawn alike.
    times = np.array([0, 125, 250, 375, 500, 625, 750, 875, 1000, 2000, 3000, 4000, 5000, 6000, 7000, 8000])
    drawn = frame_indices_by_time(times, ClipSpec(frames=8, frame_interval=1))
    instants = 0 + frame_indices(16, ClipSpec(frames=8, frame_interval=1)) * 8000 / 15
    assert drawn.tolist() == [int(np.abs(times - instant).argmin()) for instant in instants]
    assert (drawn >= 8).sum() == 7


def test_frames_at_one_instant_are_drawn_by_index() -> None:
    assert frame_indices_by_time(np.zeros(30), ClipSpec()).tolist() == frame_indices(30, ClipSpec()).tolist()


@pytest.mark.parametrize("total", [1, 2, 3, 4, 7, 123, 1000])
def test_several_clips_share_the_segments_in_order(total: int) -> None:
    spec = ClipSpec()
    drawn = np.array([frame_indices(total, spec, view) for view in views(4)])
    assert drawn.min() >= 0
    assert drawn.max() < total
    assert (np.diff(drawn, axis=0) >= 0).all()
    if total == 1000:
        assert (np.diff(drawn.T.ravel()) > 0).all()
        assert np.abs(drawn[1:3].mean(axis=0) - frame_indices(total, spec)).max() <= 1


def test_views_go_crop_by_crop_then_clip_by_clip() -> None:
    assert [(view.temporal, view.crop) for view in views(2, 3)] == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]
    assert views() == [View()]


@pytest.mark.parametrize("wrong", [(1, 1, 0, 1), (0, 0, 0, 1), (0, 1, 3, 3), (0, 1, 0, 2), (-1, 1, 0, 1)])
def test_a_view_that_is_not_there_is_refused(wrong: tuple[int, int, int, int]) -> None:
    with pytest.raises(UsageError):
        View(*wrong)


def test_no_frames_give_no_clip() -> None:
    with pytest.raises(UsageError, match="0 frames"):
        frame_indices(0, ClipSpec())


@pytest.mark.parametrize(
    "shape", [(240, 320), (320, 240), (1080, 1920), (100, 37), (40, 44), (44, 40), (2, 300), (1, 1)]
)
@pytest.mark.parametrize("view", views(1, 1) + views(1, 3))
def test_pixels_are_those_of_the_definition(shape: tuple[int, int], view: View) -> None:
    spec = ClipSpec(size=48, short_side=55)
    picture = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    assert (prepare(picture[None], spec, view)[0] == _pixel_by_pixel(picture, spec, view)).all()


def _pixel_by_pixel(picture: np.ndarray, spec: ClipSpec, view: View) -> np.ndarray:
    """The docstring's definition, in plain loops as an app would write it."""
    h, w, _ = picture.shape
    short = spec.short_side if view.crop_count == 1 else spec.size
    scale = short / min(w, h)
    width, height = int(w * scale + 0.5), int(h * scale + 0.5)
    times = 1 if view.crop_count == 1 else view.crop
    first_x, first_y = (width - spec.size) // 2 * times, (height - spec.size) // 2 * times

    def neighbours(place: int, length: int, resized: int) -> tuple[int, int, int]:
        n = (2 * place + 1) * length - resized
        left = n // (2 * resized)
        weight = ((n % (2 * resized)) * 2048 + resized) // (2 * resized)
        return min(max(left, 0), length - 1), min(max(left + 1, 0), length - 1), weight

    out = np.zeros((3, spec.size, spec.size), np.uint8)
    for y in range(spec.size):
        upper, lower, c = neighbours(first_y + y, h, height)
        for x in range(spec.size):
            left, right, b = neighbours(first_x + x, w, width)
            for channel in range(3):
                s = [
                    int(picture[row, left, channel]) * (2048 - b) + int(picture[row, right, channel]) * b
                    for row in (upper, lower)
                ]
                out[channel, y, x] = (((s[0] >> 4) * (2048 - c) >> 16) + ((s[1] >> 4) * c >> 16) + 2) >> 2
    return out


@pytest.mark.parametrize("shape", [(240, 320), (320, 240), (480, 854), (1080, 1920), (224, 300), (100, 37)])
@pytest.mark.parametrize("view", views(1, 1) + views(1, 3))
def test_pixels_are_opencvs_within_a_level(shape: tuple[int, int], view: View) -> None:
    cv2 = pytest.importorskip("cv2")
    spec = ClipSpec()
    picture = np.random.default_rng(2).integers(0, 256, (*shape, 3), dtype=np.uint8)
    short = spec.short_side if view.crop_count == 1 else spec.size
    scale = short / min(shape)
    width, height = int(shape[1] * scale + 0.5), int(shape[0] * scale + 0.5)
    resized = cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR)
    times = 1 if view.crop_count == 1 else view.crop
    x, y = (width - 224) // 2 * times, (height - 224) // 2 * times
    expected = resized[y : y + 224, x : x + 224].transpose(2, 0, 1).astype(int)
    difference = np.abs(prepare(picture[None], spec, view)[0] - expected)
    assert difference.max() <= 1
    assert difference.mean() < 0.01


def test_a_picture_of_the_right_size_is_left_as_it_is() -> None:
    picture = np.random.default_rng(3).integers(0, 256, (2, 224, 224, 3), dtype=np.uint8)
    same = prepare(picture, ClipSpec(short_side=224))
    assert (same == picture.transpose(0, 3, 1, 2)).all()


def test_black_and_white_stay_black_and_white() -> None:
    for level in (0, 255):
        assert (prepare(np.full((1, 100, 173, 3), level, np.uint8), ClipSpec()) == level).all()


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((8, 64, 64), np.uint8),
        np.zeros((8, 64, 64, 4), np.uint8),
        np.zeros((8, 64, 64, 3), np.float32),
        np.zeros((0, 64, 64, 3), np.uint8),
        np.zeros((8, 0, 64, 3), np.uint8),
    ],
)
def test_other_arrays_than_pictures_are_refused(wrong: np.ndarray) -> None:
    with pytest.raises(UsageError, match="Pictures must be"):
        prepare(wrong, ClipSpec())


def test_a_crop_larger_than_the_picture_is_refused() -> None:
    with pytest.raises(UsageError, match="crop of 224"):
        prepare(np.zeros((1, 64, 64, 3), np.uint8), ClipSpec(short_side=128))


def test_normalized_is_pixel_minus_mean_over_std() -> None:
    pixels = np.random.default_rng(5).integers(0, 256, (2, 8, 3, 5, 4), dtype=np.uint8)
    normalized = normalize(pixels, ClipSpec())
    mean, std = (np.array(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
    assert normalized.dtype == np.float32
    np.testing.assert_allclose(normalized, (pixels.astype(float) - mean) / std, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(normalized, normalize(pixels.astype(np.float32), ClipSpec()))


def test_the_official_spec_scales_its_short_side() -> None:
    assert ClipSpec.official() == ClipSpec()
    assert ClipSpec.official(16, 112).short_side == 128
    assert ClipSpec.official(16, 112).shape == (16, 3, 112, 112)
