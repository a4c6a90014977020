"""Augmentation of a training clip: random crop, resize, colour jitter and grey, in numpy, so that threads can do it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dvfl_mobile.training.settings import Augmentation

_TRIES = 10
_BRIGHTNESS, _CONTRAST, _SATURATION, _HUE = 0.4, 0.4, 0.2, 0.1
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, as Pillow has it


@dataclass(frozen=True)
class Box:
    """A part of a picture in shares of its sides."""

    top: float
    left: float
    height: float
    width: float


def draw_indices(stream: np.random.RandomState, total: int, frames: int, frame_interval: int) -> NDArray[np.int64]:
    """Which of `total` decoded frames a training clip is made of, `(frames,)`.

    mmaction's `SampleFrames(clip_len=1)` in training, as the official pipeline uses it: one frame from anywhere in
    each of as many equal parts as the clip has pictures, of whole frames. As many random
    numbers are taken whatever the length.
    """
    places = stream.random_sample(frames)
    span = total - frame_interval + 1
    interval = span // frames
    if interval > 0:
        return np.arange(frames) * interval + np.floor(places * interval).astype(np.int64)
    if span > 0 and total > max(frames, frame_interval):
        return np.sort(np.floor(places * span).astype(np.int64))
    if span > 0:
        return np.round(np.arange(frames) * (span / frames)).astype(np.int64).clip(0, total - 1)
    return np.zeros(frames, np.int64)


def draw_box(stream: np.random.RandomState, height: int, width: int, augmentation: Augmentation) -> Box:
    """The part of a picture of `height` by `width` that is cut out: of random area and ratio, the same for a clip.

    The first of ten that fit into the picture; where none does, the largest square in the middle.
    """
    low, high = (math.log(ratio) for ratio in augmentation.crop_ratio)
    ratios = np.exp(stream.uniform(low, high, _TRIES))
    areas = stream.uniform(*augmentation.crop_area, _TRIES) * height * width
    place = stream.random_sample(2)
    for ratio, area in zip(ratios, areas, strict=True):
        cut_width, cut_height = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < cut_width <= width and 0 < cut_height <= height:
            top, left = int(place[0] * (height - cut_height + 1)), int(place[1] * (width - cut_width + 1))
            return Box(top / height, left / width, cut_height / height, cut_width / width)
    side = min(height, width)
    return Box((height - side) / 2 / height, (width - side) / 2 / width, side / height, side / width)


def cut(picture: NDArray[np.uint8], box: Box, size: int) -> NDArray[np.uint8]:
    """A box of a picture `(h,w,3)`, brought to `(size,size,3)` by straight lines between pixels, without antialias."""
    rows, columns = (
        _between(start * length, share * length, size, length)
        for start, share, length in (
            (box.top, box.height, picture.shape[0]),
            (box.left, box.width, picture.shape[1]),
        )
    )
    low, high, weight = columns
    first, last = low[0], high[-1] + 1
    # The three channels of a column are columns of their own: numpy is quick along rows, and slow along triples.
    flat = np.ascontiguousarray(picture[:, first:last]).reshape(len(picture), -1)
    lines = _blended(flat, rows, axis=0)
    thrice = [(3 * (place - first)[:, None] + np.arange(3)).ravel() for place in (low, high)]
    pixels = _blended(lines, (thrice[0], thrice[1], np.repeat(weight, 3)), axis=1)
    return np.rint(pixels, out=pixels).astype(np.uint8).reshape(size, size, 3)


def recolour(clip: NDArray[np.uint8], stream: np.random.RandomState, augmentation: Augmentation) -> NDArray[np.uint8]:
    """A clip `(T,S,S,3)` with other colours, alike in all of its pictures; or as it is.

    Brightness, contrast, saturation and hue in a random order, and within the official bounds. The official code
    draws them anew for each picture, which makes a clip flicker as no camera does.
    """
    is_jittered, is_grey = stream.random_sample(2) < (augmentation.jitter, augmentation.grey)
    factors, order = stream.uniform(-1, 1, 4), stream.permutation(4)
    if not is_jittered and not is_grey:
        return clip
    pixels = clip.astype(np.float32)
    if is_jittered:
        for kind in order:
            pixels = _RECOLOURINGS[kind](pixels, float(factors[kind]))
    if is_grey:
        pixels = np.repeat((pixels @ _LUMA)[..., None], 3, axis=-1)
    return np.rint(pixels).clip(0, 255).astype(np.uint8)


def _blended(
    lines: NDArray[Any], places: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]], axis: int
) -> NDArray[np.float32]:
    """Each of two neighbours along one side times its weight, added up."""
    low, high, weight = places
    shaped = weight[:, None] if axis == 0 else weight
    blended, other = (lines.take(place, axis).astype(np.float32, copy=False) for place in (low, high))
    blended *= 1 - shaped
    other *= shaped
    blended += other
    return blended


def _between(
    start: float, length: float, size: int, whole: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """For each of `size` pixels over a stretch of a side: its two neighbours, and the second one's weight."""
    place = start + (np.arange(size) + 0.5) * (length / size) - 0.5
    low = np.floor(place)
    weight = (place - low).astype(np.float32)
    first = low.astype(np.int64)
    return first.clip(0, whole - 1), (first + 1).clip(0, whole - 1), weight


def _brighten(pixels: NDArray[np.float32], by: float) -> NDArray[np.float32]:
    return (pixels * np.float32(1 + _BRIGHTNESS * by)).clip(0, 255)


def _contrast(pixels: NDArray[np.float32], by: float) -> NDArray[np.float32]:
    factor = np.float32(1 + _CONTRAST * by)
    means = (pixels @ _LUMA).mean(axis=(1, 2))[:, None, None, None]
    return (means + (pixels - means) * factor).clip(0, 255)


def _saturate(pixels: NDArray[np.float32], by: float) -> NDArray[np.float32]:
    factor = np.float32(1 + _SATURATION * by)
    grey = (pixels @ _LUMA)[..., None]
    return (grey + (pixels - grey) * factor).clip(0, 255)


def _turn_hue(pixels: NDArray[np.float32], by: float) -> NDArray[np.float32]:
    """Hue turned by up to a tenth of the circle; each pixel keeps its largest and its smallest channel's values."""
    turned = np.empty_like(pixels)
    # A picture at a time, each channel by itself: so all that is between fits into a core's cache.
    for picture, result in zip(pixels, turned, strict=True):
        red, green, blue = np.ascontiguousarray(np.moveaxis(picture, -1, 0))
        most, least = np.maximum(np.maximum(red, green), blue), np.minimum(np.minimum(red, green), blue)
        span = most - least
        safe = np.where(span > 0, span, np.float32(1))
        sixth = np.where(most == green, (blue - red) / safe + 2, (red - green) / safe + 4)
        sixth = np.where(most == red, _around((green - blue) / safe), sixth)
        sixth = _around(sixth + np.float32(6 * _HUE * by))
        for channel, offset in enumerate((5, 3, 1)):
            # How far it is from the largest one: 0 to 1 of the span (the formula of HSV without cases).
            place = _around(sixth + offset)
            result[..., channel] = most - span * np.minimum(place, 4 - place).clip(0, 1)
    return turned


def _around(sixth: NDArray[np.float32]) -> NDArray[np.float32]:
    """`sixth % 6` of -6 to 12, to the bit: numpy's own takes ten times as long."""
    turns = (sixth < 0).astype(np.float32) - (sixth >= 6).astype(np.float32)
    return sixth + turns * np.float32(6)


_RECOLOURINGS = (_brighten, _contrast, _saturate, _turn_hue)
