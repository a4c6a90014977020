"""Videos laid end to end, as one stream of frames: which is on when, and what was wrong with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dvfl_mobile.data.video import Playback
from dvfl_mobile.data.videos import VideoRef
from dvfl_mobile.errors import VideoError

_LONGEST_GAP_US = 600 * 1_000_000

Frame = Callable[[], NDArray[np.uint8]]


@dataclass(frozen=True)
class Piece:
    """One video of a reel: when it begins and ends, in whole microseconds from the reel's first frame."""

    ref: VideoRef
    start_us: int
    end_us: int


class Reel:
    """Plays videos one after the other, each from where the last frame of the one before ends.

    Attributes:
        refs: the videos.
        pieces: those that were played so far.
        notes: a sentence for each that was damaged, or couldn't be read and was left out.
    """

    def __init__(self, refs: Sequence[VideoRef]) -> None:
        self.refs = tuple(refs)
        self.pieces: list[Piece] = []
        self.notes: list[str] = []

    @property
    def end_us(self) -> int:
        """When the last video so far ends."""
        return self.pieces[-1].end_us if self.pieces else 0

    def frames(self) -> Iterator[tuple[int, Frame]]:
        """The time of each frame, in whole microseconds from the first, and what makes its picture.

        Raises:
            VideoError: none of the videos can be read, or the one that there is.
        """
        problems = []
        for ref in self.refs:
            try:
                yield from self._play(ref)
            except VideoError as error:
                if len(self.refs) == 1:
                    raise
                problems.append(error)
                self.notes.append(f"Left out, or played as far as it goes: {error.problem}")
        if not self.pieces:
            raise VideoError(
                f"None of the {len(self.refs)} videos could be read. The first: {problems[0].problem}",
                hint=problems[0].hint,
            )

    def _play(self, ref: VideoRef) -> Iterator[tuple[int, Frame]]:
        playback, start_us, last_us = Playback(ref.path), self.end_us, 0
        try:
            for time_us, picture in playback.frames():
                if time_us - last_us > _LONGEST_GAP_US:
                    raise VideoError(
                        f"{ref.path} has a gap of {(time_us - last_us) / 1e6:.0f} s between two frames.",
                        hint="Make its times right: ffmpeg -i INPUT -vf setpts=N/30/TB -r 30 OUTPUT.mp4",
                    )
                last_us = time_us
                yield start_us + time_us, picture
        finally:
            if playback.end_us:
                self.pieces.append(Piece(ref, start_us, start_us + playback.end_us))
        if playback.damage:
            self.notes.append(f"{ref.name or ref.path.name}: {playback.damage}")
