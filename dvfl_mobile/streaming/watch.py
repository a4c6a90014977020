"""What an artifact says of each clip of a stream."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dvfl_mobile.data.camera import TICKS_PER_S, Camera, Due
from dvfl_mobile.data.clips import ClipSpec, prepare
from dvfl_mobile.errors import CheckFailedError, VideoError
from dvfl_mobile.runners.base import Runner
from dvfl_mobile.spelling import command
from dvfl_mobile.streaming.reel import Frame, Reel


@dataclass(frozen=True, eq=False)
class Watched:
    """The logits of a stream's clips: `ticks` are those at which they end, `(N,)`, `logits` are `(N,K)`."""

    ticks: NDArray[np.int64]
    logits: NDArray[np.float32]

    @property
    def seconds(self) -> NDArray[np.float64]:
        """When each clip ends, from the stream's first frame on."""
        return self.ticks / TICKS_PER_S

    def every(self, ticks: int) -> Watched:
        """Those that an app would have that asks every so many ticks, where all of them are here."""
        taken = (self.ticks - self.ticks[0]) % ticks == 0
        return Watched(self.ticks[taken], self.logits[taken])


def watch(runner: Runner, reel: Reel, spec: ClipSpec, every: int, advance: Callable[[], None]) -> Watched:
    """Run each clip of a reel: a clip at a time, so that memory doesn't grow with its length.

    Args:
        every: ticks from one clip to the next.
        advance: called for each clip.

    Raises:
        VideoError: nothing can be read, or the reel is shorter than one clip.
        CheckFailedError: logits aren't finite.
    """
    ticks, logits = [], []
    for due in _clips(reel, spec, every):
        [found] = runner.run(np.stack(due.frames)[None])
        if not np.isfinite(found).all():
            raise CheckFailedError(
                f"The logits of the clip that ends at {due.seconds:.2f} s aren't finite.",
                hint=f"Find out why: {command('parity')}",
            )
        ticks.append(due.tick)
        logits.append(found)
        advance()
    if not ticks:
        needed_s = (spec.frames - 1) * spec.frame_interval / TICKS_PER_S
        raise VideoError(
            f"{reel.refs[0].path} ends after {reel.end_us / 1e6:.2f} s, and a clip takes {needed_s:.2f} s.",
            hint="Name a longer video.",
        )
    return Watched(np.array(ticks), np.stack(logits))


def _clips(reel: Reel, spec: ClipSpec, every: int) -> Iterator[Due[NDArray[np.uint8]]]:
    camera = Camera[Frame, NDArray[np.uint8]](spec, every, lambda picture: prepare(picture()[None], spec)[0])
    for time_us, picture in reel.frames():
        yield from camera.add(time_us, picture)
    yield from camera.end()
