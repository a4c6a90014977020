"""Which clips calibration sees, and which are held back from it, so that a figure on these is one of other clips."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dvfl_mobile.data.clips import Clip

_SHARE = 4  # one in so many is held back where a source has too few for both
_FLAT_LEVELS = 8  # of 256; a decoder's rounding moves a picture of one colour by less


@dataclass(frozen=True)
class Divided:
    """Clips in two heaps that share no clip, not even a copy of one.

    Attributes:
        mine: for calibration.
        held_back: each other than all of `mine`; none where there is only one clip, or copies of one.
    """

    mine: tuple[Clip, ...]
    held_back: tuple[Clip, ...]


def divide(clips: Sequence[Clip], samples: int, held_back: int) -> Divided:
    """Give calibration the first clips, and hold the last ones back: one in four where there are too few for both.

    Clips are the same if their pixels are, whatever their files are called. One whose pictures are of one colour isn't
    held back where there are others: any network is at its best there.

    Args:
        clips: in an order of which every beginning is balanced.
        samples: calibration gets no more than this.
        held_back: hold no more back than this; 0 for none.
    """
    contents = [content_of(clip.pixels) for clip in clips]
    by_content = dict(zip(reversed(contents), reversed(clips), strict=True))
    distinct = list(dict.fromkeys(contents))
    telling = [content for content in distinct if not is_flat(by_content[content].pixels)] or distinct
    seen = set(contents[:samples])
    least = min(held_back, max(len(telling) // _SHARE, 1)) if len(telling) > 1 else 0
    fresh = sum(content not in seen for content in telling)
    back = telling[len(telling) - max(least, fresh) :] if held_back else []
    mine = [clip for clip, content in zip(clips, contents, strict=True) if content not in back]
    return Divided(tuple(mine[:samples]), tuple(by_content[content] for content in back[:held_back]))


def without(clips: Sequence[Clip], others: NDArray[np.uint8]) -> list[Clip]:
    """The clips that are none of `others`, `(N,T,3,H,W)`."""
    contents: Collection[bytes] = {content_of(pixels) for pixels in others}
    return [clip for clip in clips if content_of(clip.pixels) not in contents]


def content_of(pixels: NDArray[np.uint8]) -> bytes:
    """What tells a clip from any other."""
    return hashlib.sha256(pixels.tobytes()).digest()


def is_flat(pixels: NDArray[np.uint8]) -> bool:
    """Whether each picture of a clip `(T,3,H,W)` is of one colour: black, white, grey or any other."""
    spread = pixels.max(axis=(2, 3)).astype(int) - pixels.min(axis=(2, 3))
    return bool(spread.max() < _FLAT_LEVELS)
