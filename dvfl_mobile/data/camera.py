"""Which frames of a camera, or of a video as it plays, make a clip, and when one is due.

A camera has no end, so its clips aren't spread over a whole video (`clips.frame_indices`). A clock of 30 ticks a second
begins with the first frame. Each tick takes the frame nearest to it in time, the earlier of two equally near. A clip
is what `frames` ticks took, `frame_interval` apart, as in training; one is due when its last tick has its frame, and
from the first on every `every` ticks. All of it is in whole numbers, so that an app gets the same frames.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from dvfl_mobile.data.clips import ClipSpec

TICKS_PER_S = 30
_US_PER_S = 1_000_000

Frame = TypeVar("Frame")
Kept = TypeVar("Kept")


@dataclass(frozen=True)
class Due(Generic[Kept]):
    """A clip of a camera.

    Attributes:
        tick: its last one.
        frames: what was kept of its frames, `spec.frames` of them, in the order of time.
    """

    tick: int
    frames: tuple[Kept, ...]

    @property
    def seconds(self) -> float:
        """From the first frame to the clip's last tick."""
        return self.tick / TICKS_PER_S


class Ticks:
    """Gives each tick its frame, as frames come."""

    def __init__(self) -> None:
        self._first_us = self._last_us = -1
        self._next = 0

    def add(self, time_us: int) -> range | None:
        """The ticks that the frame before this one stands for; None: this one isn't later than that, and doesn't count.

        Args:
            time_us: when the frame is shown, or was taken, in whole microseconds from any moment.
        """
        if self._last_us < 0:
            self._first_us, self._last_us = time_us, 0
            return range(0)
        since_us = time_us - self._first_us
        if since_us <= self._last_us:
            return None
        # Up to the middle between both: 10^6 k <= 30 (last + since) / 2.
        settled = self._until(TICKS_PER_S * (self._last_us + since_us) // (2 * _US_PER_S))
        self._last_us = since_us
        return settled

    def end(self) -> range:
        """The ticks that the last frame stands for: up to half a tick after it."""
        if self._last_us < 0:
            return range(0)
        return self._until((2 * TICKS_PER_S * self._last_us + _US_PER_S) // (2 * _US_PER_S))

    def _until(self, last: int) -> range:
        settled = range(self._next, max(last + 1, self._next))
        self._next = settled.stop
        return settled


class Camera(Generic[Frame, Kept]):
    """Makes clips of frames as they come.

    Args:
        spec: of the clips.
        every: ticks from one clip to the next.
        keep: makes what is kept of a frame: its pixels, say. Asked once for each frame that belongs to a clip, and for
            no other.
    """

    def __init__(self, spec: ClipSpec, every: int, keep: Callable[[Frame], Kept]) -> None:
        self._spec, self._every, self._keep = spec, every, keep
        self._ticks = Ticks()
        self._before: Frame | None = None
        self._kept: dict[int, Kept] = {}

    def add(self, time_us: int, frame: Frame) -> list[Due[Kept]]:
        """The clips that are due now that this frame is here; usually none, or one.

        Args:
            time_us: as in `Ticks.add`. A frame that isn't later than the one before is left out.
        """
        settled = self._ticks.add(time_us)
        if settled is None:
            return []
        due = self._settle(settled)
        self._before = frame
        return due

    def end(self) -> list[Due[Kept]]:
        """The clips that are due because no frame comes any more."""
        return self._settle(self._ticks.end())

    def _settle(self, ticks: range) -> list[Due[Kept]]:
        due = []
        kept: list[Kept] = []
        for tick in ticks:
            if not is_needed(tick, self._spec, self._every):
                continue
            if not kept:
                assert self._before is not None
                kept = [self._keep(self._before)]
            self._kept[tick] = kept[0]
            if is_due(tick, self._spec, self._every):
                due.append(Due(tick, tuple(self._kept[each] for each in clip_ticks(tick, self._spec))))
                oldest = clip_ticks(tick, self._spec).start
                self._kept = {each: one for each, one in self._kept.items() if each > oldest}
        return due


def clip_ticks(last: int, spec: ClipSpec) -> range:
    """The ticks of the clip that ends with tick `last`."""
    return range(last - (spec.frames - 1) * spec.frame_interval, last + 1, spec.frame_interval)


def is_due(tick: int, spec: ClipSpec, every: int) -> bool:
    """Whether a clip ends with this tick."""
    return _begins(clip_ticks(tick, spec).start, every)


def is_needed(tick: int, spec: ClipSpec, every: int) -> bool:
    """Whether a tick belongs to any clip."""
    return any(_begins(tick - place * spec.frame_interval, every) for place in range(spec.frames))


def _begins(tick: int, every: int) -> bool:
    """Whether a clip begins with this tick."""
    return tick >= 0 and tick % every == 0
