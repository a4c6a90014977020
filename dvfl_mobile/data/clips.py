"""ClipSpec: the preprocessing that turns a video into the network's input clip, exact to the pixel.

Everything here is defined in whole numbers wherever a pixel depends on it, so that an app can do the same sums
in any language and get the same bytes. Numpy only: nothing here decodes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from dvfl_mobile.documents import Document, Line
from dvfl_mobile.errors import UsageError

IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)


class ClipSpec(Document):
    """What one clip is: `frames` RGB pictures, `(T,3,H,W)`, and how they were drawn from a video.

    Attributes:
        frames: T, pictures in a clip.
        size: H and W in pixels, after the crop.
        short_side: length in pixels of the shorter side after the resize, before the crop.
        frame_interval: as `frame_interval` of the official configuration; it only shifts the drawn frames.
        mean, std: per channel, in units of a pixel (0-255); normalized = (pixel - mean) / std.
        pixel_order: the order of the three channels.
        pixels: what the network's input holds: `raw` 0-255 values, or `normalized` ones.
    """

    frames: int = Field(default=8, ge=1, le=1024)
    size: int = Field(default=224, ge=32, le=4096)
    short_side: int = Field(default=256, ge=32, le=8192)
    frame_interval: int = Field(default=4, ge=1, le=1024)
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    pixel_order: Literal["rgb"] = "rgb"
    pixels: Literal["raw", "normalized"] = "raw"

    @classmethod
    def official(cls, frames: int = 8, size: int = 224) -> ClipSpec:
        """The official validation pipeline's spec for a clip of `frames` pictures of `size` pixels."""
        return cls(frames=frames, size=size, short_side=int(256 / 224 * size))

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(T, 3, H, W)."""
        return (self.frames, 3, self.size, self.size)


@dataclass(frozen=True)
class View:
    """Which clip of a video: its place in time, and its place in the picture.

    `View()` is the official single view: one clip over the whole video, cropped in the centre.

    Attributes:
        temporal, temporal_count: the clip's number, from 0, among those drawn over the whole video.
        crop, crop_count: the crop's number, from 0. One crop is the centre; three are left, middle and right of a
            wide picture, or top, middle and bottom of a tall one.
    """

    temporal: int = 0
    temporal_count: int = 1
    crop: int = 0
    crop_count: int = 1

    def __post_init__(self) -> None:
        if self.crop_count not in (1, 3):
            raise UsageError(f"A picture can't be cut into {self.crop_count} crops.", hint="Ask for 1 crop or for 3.")
        if not 0 <= self.temporal < self.temporal_count or not 0 <= self.crop < self.crop_count:
            raise UsageError(f"There is no such view: {self}.", hint="Views and crops are counted from 0.")


SINGLE_VIEW = View()


@dataclass(frozen=True, eq=False)
class Clip:
    """One view of a video, ready for a network that takes raw pixels.

    Attributes:
        pixels: `(T,3,S,S)`, uint8, RGB.
        name: what reports call it; the file's name for a video.
        label: index of its class, or None.
        damage: what was wrong with the video, in one sentence with counts; None if it was whole.
    """

    pixels: NDArray[np.uint8]
    name: str
    label: int | None = None
    damage: str | None = None


def views(temporal_count: int = 1, crop_count: int = 1) -> list[View]:
    """All views of a video: every crop of the first clip, then of the next."""
    return [
        View(temporal, temporal_count, crop, crop_count)
        for temporal in range(temporal_count)
        for crop in range(crop_count)
    ]


def frame_indices(total: int, spec: ClipSpec, view: View = SINGLE_VIEW) -> NDArray[np.int64]:
    """Which of a video's `total` decoded frames a clip is made of: `(T,)`, each in `[0, total)`.

    The first `total - frame_interval + 1` frames are cut into T equal segments, and the frame in the middle of
    each is drawn: mmaction's `SampleFrames(clip_len=1)` in test mode, as the official validation pipeline uses it.
    Clip v of V stands at (v + 0.5) / V of each segment, so that one clip is the official rule. Where the official
    code tests with several clips it draws a random frame of each segment; these are fixed, and a result repeats.

    Raises:
        UsageError: `total` is not at least 1.
    """
    if total < 1:
        raise UsageError(f"No clip can be drawn from {total} frames.")
    span = total - spec.frame_interval + 1
    if span <= 0:
        return np.zeros(spec.frames, np.int64)
    segment = span / spec.frames
    place = (view.temporal + 0.5) / view.temporal_count
    drawn = np.floor(np.arange(spec.frames) * segment + segment * place)
    return drawn.astype(np.int64) % total


def frame_indices_by_time(times: NDArray[Any], spec: ClipSpec, view: View = SINGLE_VIEW) -> NDArray[np.int64]:
    """As `frame_indices`, for a video whose frames don't come at even intervals.

    Think of the same number of frames laid evenly from the first instant to the last. The rule draws from those;
    each drawn instant then gets the decoded frame nearest to it, the earlier of two equally near. A video whose
    frames stray from their even places by less than half an interval gets exactly what `frame_indices` gives.

    Args:
        times: when each decoded frame is shown, `(total,)`, in any unit, never decreasing.
    """
    return nearest_in_time(frame_indices(len(times), spec, view), times)


def nearest_in_time(drawn: NDArray[np.int64], times: NDArray[Any]) -> NDArray[np.int64]:
    """The decoded frames nearest to where `drawn` would be if the frames came at even intervals, `(T,)`.

    Args:
        drawn: indices into as many frames as there are times.
        times: as in `frame_indices_by_time`.
    """
    first, last = float(times[0]), float(times[-1])
    if last <= first:
        return drawn
    instants = first + drawn * ((last - first) / (len(times) - 1))
    after = np.searchsorted(times, instants).clip(1, len(times) - 1)
    is_earlier_nearer = instants - times[after - 1] <= times[after] - instants
    return np.where(is_earlier_nearer, after - 1, after).astype(np.int64)


def prepare(frames: NDArray[np.uint8], spec: ClipSpec, view: View = SINGLE_VIEW) -> NDArray[np.uint8]:
    """Resize and crop decoded pictures: `(T,h,w,3)` uint8 to `(T,3,S,S)` uint8, S = `spec.size`.

    The definition, for an app to repeat (`//` rounds down, all else but the scale is whole numbers):

    1. scale = short / min(w, h), where short is `spec.short_side` for one crop and `spec.size` for three, as a
       double; the resized picture has W = int(w * scale + 0.5) by H = int(h * scale + 0.5) pixels (mmcv).
    2. Its column X looks between two columns of the picture, at half-pixel centres (OpenCV's INTER_LINEAR, no
       antialias): n = (2X + 1) * w - W, left = n // 2W, right = left + 1, both kept inside the picture, and the
       right one's weight is b = ((n % 2W) * 2048 + W) // 2W of 2048. Rows likewise, weight c.
    3. Across: s = left * (2048 - b) + right * b, for the upper and the lower row. Down:
       pixel = (((upper s >> 4) * (2048 - c) >> 16) + ((lower s >> 4) * c >> 16) + 2) >> 2. All fits 32 bits, and
       rounds as OpenCV does.
    4. One crop starts at column (W - S) // 2 and row (H - S) // 2. Three start at 0, 1 and 2 times that along the
       longer side (mmaction's CenterCrop and ThreeCrop).

    OpenCV weighs with floats in step 2: fewer than 1 pixel in 100 differ, by one level.

    Raises:
        UsageError: the pictures have another shape or type, or the crop is larger than the resized picture.
    """
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3 or 0 in frames.shape:
        raise UsageError(f"Pictures must be uint8 (T,h,w,3), not {frames.dtype} {frames.shape}.")
    rows, columns = _plan(frames.shape[1], frames.shape[2], spec, view)
    region = frames.take(rows.used, axis=1).take(columns.used, axis=2)
    left, right = _weighted(region, 2, columns)
    left += right
    left >>= 4
    upper, lower = _weighted(left, 1, rows)
    upper >>= 16
    lower >>= 16
    upper += lower
    pixels = (upper + 2) >> 2
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2), dtype=np.uint8)


def normalize(pixels: NDArray[Any], spec: ClipSpec) -> NDArray[np.float32]:
    """Raw pixels `(...,T,3,H,W)`, 0 to 255, to what the reference form eats: (pixel - mean) / std, float32."""
    normalized = pixels.astype(np.float32)
    normalized -= np.asarray(spec.mean, np.float32)[:, None, None]
    normalized /= np.asarray(spec.std, np.float32)[:, None, None]
    return normalized


@dataclass(frozen=True, eq=False)
class _Axis:
    """Where each pixel of a crop looks along one side of a picture.

    Attributes:
        used: the pixels that are looked at, in order.
        low, high: for each pixel of the crop, its two neighbours' places in `used`.
        weight: the high one's, of 2048.
    """

    used: NDArray[np.int64]
    low: NDArray[np.int64]
    high: NDArray[np.int64]
    weight: NDArray[np.int32]


@lru_cache(maxsize=64)
def _plan(height: int, width: int, spec: ClipSpec, view: View) -> tuple[_Axis, _Axis]:
    """Rows and columns that one crop of a picture needs."""
    short_side = spec.short_side if view.crop_count == 1 else spec.size
    if short_side < spec.size:
        raise UsageError(
            f"A crop of {spec.size} pixels can't be cut from a picture whose short side is {short_side}.",
            hint="Give a short_side of at least size.",
        )
    scale = short_side / min(height, width)
    resized_height, resized_width = int(height * scale + 0.5), int(width * scale + 0.5)
    top, left = (resized_height - spec.size) // 2, (resized_width - spec.size) // 2
    if view.crop_count == 3:
        top, left = top * view.crop, left * view.crop
    return _axis(height, resized_height, top, spec.size), _axis(width, resized_width, left, spec.size)


def _axis(length: int, resized: int, start: int, size: int) -> _Axis:
    place = (2 * np.arange(start, start + size, dtype=np.int64) + 1) * length - resized
    low, rest = np.divmod(place, 2 * resized)
    weight = (rest * 2048 + resized) // (2 * resized)
    low, high = low.clip(0, length - 1), (low + 1).clip(0, length - 1)
    used = np.union1d(low, high)
    return _Axis(used, np.searchsorted(used, low), np.searchsorted(used, high), weight.astype(np.int32))


def _weighted(pictures: NDArray[Any], side: int, axis: _Axis) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """The low and the high neighbours along one side, each times its weight; rows are side 1, columns 2."""
    weight = axis.weight.reshape([-1 if dim == side else 1 for dim in range(4)])
    low = np.multiply(pictures.take(axis.low, side), 2048 - weight, dtype=np.int32)
    return low, np.multiply(pictures.take(axis.high, side), weight, dtype=np.int32)


class ClipFacts(Document):
    """Which clips: how many, where from, and a sentence for each that was damaged."""

    count: int = Field(ge=0)
    source: Line
    notes: tuple[Line, ...] = ()
