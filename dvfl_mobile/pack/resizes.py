"""The right resize and crop, and the wrong ones that apps use, on whole clips."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dvfl_mobile.data.clips import ClipSpec, prepare

RIGHT = "right"

# What is wrong with the frame that is cut, by name, and with the filter.
CUTS = {
    RIGHT: "",
    "stretched": "the whole picture is squeezed into the square, where its shorter side is to be scaled and a square "
    "cut out of the middle",
    "no margin": "the shorter side is scaled to the crop's own size, where short_side is larger",
    "cut in the corner": "the crop is taken at the upper left, not in the middle",
    "not scaled": "the crop is taken out of the picture in its own size",
    "letterboxed": "the whole picture is fitted into the square, with black bars",
}
FILTERS = {
    RIGHT: "",
    "nearest": "pixels are taken as they are, not mixed of four neighbours",
    "nearest at half pixels": "pixels are taken as they are, not mixed of four neighbours",
    "corners aligned": "the corners' centres are laid on each other (align_corners); half-pixel centres are meant",
    "no half pixels": "columns are scaled from their left edges; half-pixel centres are meant",
    "antialiased": "the filter widens as the picture shrinks (antialiasing); plain bilinear is meant",
    "box": "blocks are averaged (area); plain bilinear is meant",
    "bicubic": "the filter is bicubic; bilinear is meant",
}


@dataclass(frozen=True)
class Resize:
    """One way to resize and crop: by name a cut of `CUTS` and a filter of `FILTERS`."""

    cut: str
    filter: str

    @property
    def faults(self) -> tuple[str, ...]:
        return tuple(name for name in (self.cut, self.filter) if name != RIGHT)


def resizes(faults: int) -> list[Resize]:
    """All that have so many faults, 0 to 2."""
    pairs = (Resize(cut, kind) for cut in CUTS for kind in FILTERS)
    return [pair for pair in pairs if len(pair.faults) == faults]


def resized(pictures: NDArray[np.uint8], spec: ClipSpec, way: Resize) -> NDArray[np.float32] | None:
    """Pictures `(T,h,w,3)` resized and cropped so: `(T,3,S,S)`, whole levels; None where that can't be done."""
    if way == Resize(RIGHT, RIGHT):
        return prepare(pictures, spec).astype(np.float32)
    height, width = pictures.shape[1:3]
    if way.cut == "not scaled" and (min(height, width) < spec.size or way.filter != RIGHT):
        return None
    rows, columns = (_axis(length, min(height, width), max(height, width), spec, way) for length in (height, width))
    count, size = len(pictures), spec.size
    # Two large products in place of many small ones.
    lines = pictures.transpose(1, 0, 3, 2).astype(np.float32).reshape(height, -1)
    down = (rows @ lines).reshape(-1, width)
    found: Any = (down @ columns.T).reshape(size, count, 3, size).transpose(1, 2, 0, 3)
    return np.floor(found.clip(0, 255) + 0.5)


def _axis(length: int, shorter: int, longer: int, spec: ClipSpec, way: Resize) -> NDArray[np.float32]:
    """What each pixel of the crop takes of each of `length` pixels along one side: `(S,length)`."""
    size = spec.size
    whole = {
        RIGHT: int(length * spec.short_side / shorter + 0.5),
        "stretched": size,
        "no margin": int(length * size / shorter + 0.5),
        "cut in the corner": int(length * spec.short_side / shorter + 0.5),
        "not scaled": length,
        "letterboxed": int(length * size / longer + 0.5),
    }[way.cut]
    start = 0 if way.cut == "cut in the corner" else (whole - size) // 2
    weights = np.zeros((size, length), np.float32)
    for row, x in enumerate(range(start, start + size)):
        if 0 <= x < whole:
            weights[row] = _weights(x, length, whole, way.filter)
    return weights


def _weights(x: int, length: int, whole: int, kind: str) -> NDArray[np.float64]:
    """What column `x` of `whole` takes of each of `length` columns."""
    scale = length / whole
    centre = (x + 0.5) * scale - 0.5
    places = np.arange(length)
    if kind == "nearest":
        return np.asarray(places == min(int(x * scale), length - 1), float)
    if kind == "nearest at half pixels":
        return np.asarray(places == min(int((x + 0.5) * scale), length - 1), float)
    if kind == "corners aligned":
        return _triangle(places, x * (length - 1) / max(whole - 1, 1), 1)
    if kind == "no half pixels":
        return _triangle(places, x * scale, 1)
    if kind == "antialiased":
        return _triangle(places, centre, max(scale, 1))
    if kind == "box":
        left, right = x * scale, (x + 1) * scale
        covered = (np.minimum(places + 1, right) - np.maximum(places, left)).clip(0)
        return np.asarray(covered / covered.sum())
    if kind == "bicubic":
        return _cubic(length, centre)
    return _triangle(places, centre, 1)


def _triangle(places: NDArray[Any], centre: float, reach: float) -> NDArray[np.float64]:
    """Straight lines down from `centre`; at the edge, the last pixel stands for those beyond."""
    inside = min(max(centre, 0.0), len(places) - 1.0) if reach == 1 else centre
    weights = (1 - np.abs(places - inside) / reach).clip(0)
    return np.asarray(weights / weights.sum())


def _cubic(length: int, centre: float) -> NDArray[np.float64]:
    """Keys' kernel with a = -0.75, as OpenCV has it; at the edge, the last pixel stands for those beyond."""
    a = -0.75
    weights = np.zeros(length)
    first = int(np.floor(centre)) - 1
    for place in range(first, first + 4):
        t = abs(centre - place)
        near = (a + 2) * t**3 - (a + 3) * t**2 + 1
        far = a * t**3 - 5 * a * t**2 + 8 * a * t - 4 * a
        weights[min(max(place, 0), length - 1)] += near if t <= 1 else far
    return weights
