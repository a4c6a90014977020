"""Synthetic content of a pack: formula pictures for the resize, and videos whose frames show their numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dvfl_mobile.data.clips import ClipSpec
from dvfl_mobile.data.drawn import moving_shapes

FRAMES = 48
HEIGHT, WIDTH = 144, 192
_BLOCK = 24
_BITS = 6


@dataclass(frozen=True)
class PictureSize:
    """One formula picture to resize."""

    name: str
    width: int
    height: int


# One to enlarge, one to shrink (where the filter matters most), one on its side.
PICTURES = (PictureSize("landscape", 320, 240), PictureSize("large", 640, 400), PictureSize("portrait", 180, 320))


@dataclass(frozen=True)
class DrawnVideo:
    """A video to draw.

    Attributes:
        turn: degrees, counterclockwise, that a player has to turn its pictures by.
        times_ms: when each frame is shown; None: evenly, 25 a second.
    """

    name: str
    seed: int
    turn: int = 0
    times_ms: tuple[int, ...] | None = None


def _uneven() -> tuple[int, ...]:
    """Times of a recorder that stalls for a second after a third of its frames, and hurries at the end."""
    steps = [40] * (FRAMES // 3) + [1000] + [40] * (FRAMES // 3) + [20] * FRAMES
    return tuple(int(time) for time in np.cumsum([0, *steps[: FRAMES - 1]]))


VIDEOS = (DrawnVideo("drawn-turned", 0, turn=90), DrawnVideo("drawn-uneven", 1, times_ms=_uneven()))


def formula_pictures(frames: int, width: int, height: int) -> NDArray[np.uint8]:
    """`(frames,height,width,3)`: channel c of column x and row y of picture t is (3x + 5y + 7c + 11t + xy) mod 256."""
    t, y, x, c = np.ogrid[:frames, :height, :width, :3]
    # Sums of bytes are modulo 256.
    return (3 * x + 5 * y + x * y).astype(np.uint8) + (7 * c + 11 * t).astype(np.uint8)


def video_pictures(seed: int) -> NDArray[np.uint8]:
    """`(48,144,192,3)`: a moving shape; below it the frame's number in six black or white blocks, over a coloured edge.

    The edges are of four colours, so that no turn, mirroring or exchange of channels looks like another.
    """
    spec = ClipSpec(frames=FRAMES, size=WIDTH, short_side=WIDTH)
    pictures = moving_shapes(spec, 3 + seed, seed=seed)[-1].pixels.transpose(0, 2, 3, 1)[:, :HEIGHT].copy()
    for edge, colour in (
        (np.s_[:, :12, :], (220, 60, 30)),
        (np.s_[:, -12:, :], (40, 190, 90)),
        (np.s_[:, :, :12], (240, 210, 60)),
        (np.s_[:, :, -12:], (50, 70, 210)),
    ):
        pictures[edge] = colour
    for number, picture in enumerate(pictures):
        for bit in range(_BITS):
            left = 24 + bit * _BLOCK
            picture[96 : 96 + _BLOCK, left : left + _BLOCK] = 235 if number >> bit & 1 else 20
    return np.ascontiguousarray(pictures)
