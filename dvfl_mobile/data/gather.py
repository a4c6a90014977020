"""Gather the clips of a comparison: from given videos, or synthetic ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from dvfl_mobile.data.clips import SINGLE_VIEW, Clip, ClipFacts, ClipSpec
from dvfl_mobile.errors import VideoError
from dvfl_mobile.progress import Step
from dvfl_mobile.spelling import option
from dvfl_mobile.wording import plural

DRAWN_CLIPS = 8
_Item = TypeVar("_Item")


@dataclass(frozen=True)
class ClipSet:
    """Clips of one spec, ready to run: `facts` say where they are from and what was wrong with them."""

    clips: tuple[Clip, ...]
    facts: ClipFacts

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """`(N,T,3,H,W)`."""
        return np.stack([clip.pixels for clip in self.clips])

    def spread(self, most: int) -> tuple[ClipSet, list[int]]:
        """At most `most` of the clips, evenly spread, and their places among all."""
        places = _spread(range(len(self.clips)), most)
        facts = self.facts.model_copy(update={"count": len(places)})
        return ClipSet(tuple(self.clips[place] for place in places), facts), places


def gather_clips(source: Path | None, spec: ClipSpec, classes: Sequence[str], step: Step, most: int) -> ClipSet:
    """Read one clip from each video of `source`, or draw moving shapes where none is named.

    Args:
        most: read no more videos than this, spread evenly over all; the facts say so.

    Raises:
        VideoError: there is no video, or not one of them could be read.
    """
    if source is None:
        return _drawn(spec)
    return _read(source, spec, classes, step, most)


def _drawn(spec: ClipSpec) -> ClipSet:
    from dvfl_mobile.data.drawn import moving_shapes

    clips = tuple(Clip(clip.pixels, clip.name) for clip in moving_shapes(spec, DRAWN_CLIPS))
    note = f"No clips were named: these are drawn, and real video with {option('clips')} says more."
    return ClipSet(clips, ClipFacts(count=len(clips), source="moving shapes, drawn", notes=(note,)))


def _read(source: Path, spec: ClipSpec, classes: Sequence[str], step: Step, most: int) -> ClipSet:
    from dvfl_mobile.data.videos import find_videos, read_ahead

    found = find_videos(source, classes)
    chosen = _spread(found, most)
    unreadable: list[VideoError] = []
    clips: list[Clip] = []
    with step("read clips", len(chosen)) as advance:
        for video in read_ahead(chosen, spec, [SINGLE_VIEW]):
            clips += video.clips
            unreadable += [video.error] if video.error else []
            advance()
    if not clips:
        if len(unreadable) == 1:
            raise unreadable[0]
        raise VideoError(
            f"None of the {plural(len(chosen), 'video')} in {source} could be read. The first: {unreadable[0].problem}",
            hint="Name a folder with videos that play.",
        )
    notes = []
    if len(chosen) < len(found):
        notes.append(f"{len(chosen)} of {len(found)} videos, spread evenly; {option('most')} takes more.")
    notes += [f"Not read: {error.problem}" for error in unreadable]
    notes += [f"{clip.name}: {clip.damage}" for clip in clips if clip.damage]
    return ClipSet(tuple(clips), ClipFacts(count=len(clips), source=str(source), notes=tuple(notes)))


def _spread(items: Sequence[_Item], most: int) -> list[_Item]:
    """At most `most` of the items, evenly spread, in order."""
    if len(items) <= most:
        return list(items)
    return [items[int(index)] for index in np.linspace(0, len(items) - 1, most).round()]
