"""Synthetic clips of moving shapes, for when no video is at hand."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dvfl_mobile.data.clips import Clip, ClipSpec

_SHAPES = ("disc", "square", "triangle")
_STEPS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}

SHAPE_CLASSES: tuple[str, ...] = tuple(f"{shape} moving {way}" for shape in _SHAPES for way in _STEPS)

_SUB = 4  # positions per pixel and axis: coverage of an edge pixel is counted in 16ths


def moving_shapes(spec: ClipSpec, count: int, seed: int = 0) -> list[Clip]:
    """Draw `count` clips, each a shape that moves over a textured background; labels go round `SHAPE_CLASSES`.

    Only integers are used, and only numpy's frozen generator, so the pixels are the same to the bit everywhere.

    Returns:
        Clips of uint8 `(T,3,S,S)`, `label` an index into `SHAPE_CLASSES`.
    """
    return [_draw_clip(spec, index, seed) for index in range(count)]


def _draw_clip(spec: ClipSpec, index: int, seed: int) -> Clip:
    label = index % len(SHAPE_CLASSES)
    stream = np.random.RandomState([seed, index])
    background = _texture(stream, spec.size, amplitude=120)
    surface = _texture(stream, spec.size, amplitude=40) + stream.randint(0, 160, (3, 1, 1))
    radius, centres = _path(stream, spec, label % len(_STEPS))
    shape = _SHAPES[label // len(_STEPS)]
    pictures = np.stack([_draw(background, surface, shape, radius, centre) for centre in centres])
    return Clip(pixels=pictures, name=f"shapes-{seed}-{index:04d} ({SHAPE_CLASSES[label]})", label=label, damage=None)


def _path(stream: np.random.RandomState, spec: ClipSpec, way: int) -> tuple[int, NDArray[np.int64]]:
    """The shape's radius and its centre in every picture, (T,2) as (x,y), in 1/`_SUB` pixels.

    The shape stays inside the picture, and covers most of the free way along its axis.
    """
    side = spec.size * _SUB
    radius = int(stream.randint(side // 10, side // 5))
    free = side - 2 * radius
    start, stop = int(stream.randint(0, free // 6)), free - int(stream.randint(0, free // 6))
    along = radius + start + (stop - start) * np.arange(spec.frames) // max(spec.frames - 1, 1)
    across = np.full(spec.frames, radius + int(stream.randint(0, free)))
    step_x, step_y = tuple(_STEPS.values())[way]
    if step_x + step_y < 0:
        along = along[::-1]
    return radius, np.stack([along, across] if step_x else [across, along], axis=1)


def _draw(
    background: NDArray[np.int64], surface: NDArray[np.int64], shape: str, radius: int, centre: NDArray[np.int64]
) -> NDArray[np.uint8]:
    picture = background.copy()
    left, top = (int(middle) for middle in (centre - radius) // _SUB)
    right, bottom = (int(middle) // _SUB + 1 for middle in centre + radius)
    window = picture[:, top:bottom, left:right]
    coverage = _coverage(shape, radius, centre[0] - left * _SUB, centre[1] - top * _SUB, window.shape[1:])
    # The surface is cut at the shape's own corner: its texture travels with it.
    texture = surface[:, : window.shape[1], : window.shape[2]]
    window[:] = (coverage * texture + (_SUB**2 - coverage) * window) // _SUB**2
    return picture.astype(np.uint8)


def _coverage(shape: str, radius: int, x: int, y: int, window: tuple[int, ...]) -> NDArray[np.int64]:
    """How much of each pixel of a window the shape with its centre at `(x,y)` covers, in 1/`_SUB`² of a pixel."""
    height, width = window
    # Doubled, so that the middle of a sub-pixel is an integer too.
    dx = (2 * np.arange(width * _SUB) + 1 - 2 * x)[None, :]
    dy = (2 * np.arange(height * _SUB) + 1 - 2 * y)[:, None]
    reach = 2 * radius
    if shape == "disc":
        inside = dx**2 + dy**2 <= reach**2
    elif shape == "square":
        inside = np.maximum(np.abs(dx), np.abs(dy)) * 5 <= reach * 4
    else:
        inside = (dy * 5 <= reach * 4) & (2 * np.abs(dx) <= dy + reach)
    return inside.reshape(height, _SUB, width, _SUB).sum(axis=(1, 3))


def _texture(stream: np.random.RandomState, size: int, amplitude: int) -> NDArray[np.int64]:
    """Noise of every octave from the whole picture down to one pixel, by channel: `(3,size,size)`, 0 to 2·amplitude."""
    total = np.zeros((3, size, size), dtype=np.int64)
    cell, weight = 1, 1
    while cell < size:
        total += weight * _octave(stream, size, cell)
        cell, weight = cell * 4, weight + 1
    low, high = total.min(), total.max()
    return (total - low) * (2 * amplitude) // (high - low)


def _octave(stream: np.random.RandomState, size: int, cell: int) -> NDArray[np.int64]:
    """Random values on a grid of `cell` pixels, joined by straight lines: `(3,size,size)`, 0 to 255."""
    knots = -(-size // cell) + 1
    grid = stream.randint(0, 256, (3, knots, knots)).astype(np.int64)
    index, rest = np.divmod(np.arange(size), cell)
    rows = grid[:, index] * (cell - rest)[:, None] + grid[:, index + 1] * rest[:, None]
    return (rows[:, :, index] * (cell - rest) + rows[:, :, index + 1] * rest) // cell**2
