"""Training samples from videos: each a function of seed, epoch and video, whichever thread or process makes it."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dvfl_mobile.data.classes import loosely
from dvfl_mobile.data.clips import ClipSpec, nearest_in_time
from dvfl_mobile.data.datasets import DATA_SETS
from dvfl_mobile.data.leaks import Links
from dvfl_mobile.data.video import VideoFacts, pictures_at, probe
from dvfl_mobile.data.videos import VideoRef
from dvfl_mobile.errors import VideoError
from dvfl_mobile.training.clips.augment import cut, draw_box, draw_indices, recolour
from dvfl_mobile.training.randomness import Stream, random_stream
from dvfl_mobile.training.settings import Augmentation

_MOST_IN_A_ROW = 10


@dataclass(frozen=True, eq=False)
class Sample:
    """One training clip: `pixels` `(T,3,S,S)`, uint8; `label` None where there is none."""

    pixels: NDArray[np.uint8]
    label: int | None


class Samples(Protocol):
    """What training asks of its data."""

    def __len__(self) -> int:
        """How many videos there are."""

    def sample(self, index: int, epoch: int) -> Sample:
        """The clip that is drawn from a video in an epoch; always the same one."""

    @property
    def names(self) -> list[str]:
        """What identifies the videos, in order: with their labels, for the fingerprint."""

    @property
    def unreadable(self) -> list[str]:
        """The videos that others had to stand in for, so far and in this process, by name."""


class VideoSamples:
    """Samples of videos.

    A video that can't be read is stood in for by the next one of the list that can, and named in `unreadable`.
    """

    def __init__(self, refs: Sequence[VideoRef], spec: ClipSpec, augmentation: Augmentation, seed: int) -> None:
        self._refs, self._spec, self._augmentation, self._seed = list(refs), spec, augmentation, seed
        self._facts: dict[Path, VideoFacts] = {}
        self._unreadable: set[str] = set()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._refs)

    @property
    def names(self) -> list[str]:
        return [f"{ref.name or ref.path.name} {ref.label}" for ref in self._refs]

    @property
    def unreadable(self) -> list[str]:
        with self._lock:
            return sorted(self._unreadable)

    def sample(self, index: int, epoch: int) -> Sample:
        """The clip that is drawn from a video in an epoch.

        Raises:
            VideoError: neither it nor any of the next few can be read.
        """
        failed: VideoError | None = None
        for beyond in range(min(_MOST_IN_A_ROW, len(self._refs))):
            at = (index + beyond) % len(self._refs)
            try:
                return self._drawn(self._refs[at], at, epoch)
            except VideoError as error:
                failed = failed or error
                with self._lock:
                    self._unreadable.add(self._refs[at].name or self._refs[at].path.name)
        assert failed is not None
        raise VideoError(
            f"{failed.problem} None of the {_MOST_IN_A_ROW} videos after it can be read either.",
            hint="Check that the data set is whole, and that its videos play.",
        ) from failed

    def _drawn(self, ref: VideoRef, index: int, epoch: int) -> Sample:
        facts = self._facts_of(ref.path)
        stream = random_stream(self._seed, Stream.CLIP, epoch, index)
        indices = draw_indices(stream, facts.decoded, self._spec.frames, self._spec.frame_interval)
        if facts.times is not None:
            indices = nearest_in_time(indices, facts.times)
        box = draw_box(stream, facts.height, facts.width, self._augmentation)
        is_flipped = stream.random_sample() < self._augmentation.flip
        clip = np.stack([cut(picture, box, self._spec.size) for picture in pictures_at(ref.path, indices)])
        if is_flipped:
            clip = clip[:, :, ::-1]
        clip = recolour(clip, stream, self._augmentation)
        return Sample(np.ascontiguousarray(clip.transpose(0, 3, 1, 2)), ref.label)

    def _facts_of(self, path: Path) -> VideoFacts:
        """Counted once; another thread may count the same at the same time, and find the same."""
        if path not in self._facts:
            self._facts[path] = probe(path)
        return self._facts[path]


def hold_out(
    refs: Sequence[VideoRef], share: float, seed: int, links: Links | None = None
) -> tuple[list[VideoRef], list[VideoRef]]:
    """Set a share of each class's videos aside, whole groups together: clips of a group are cut from one video.

    A class of one group keeps it for training. Groups that `links` joins count as one.

    Returns:
        (to train on, held out), each in the order given.
    """
    links = links or Links()
    groups: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for index, ref in enumerate(refs):
        footage = links.of(ref)
        name = f"video {index}" if footage is None else f"group {footage[1]}"
        groups[str(ref.class_name if ref.class_name is not None else ref.label)][name].append(index)
    held: set[int] = set()
    for place, of_class in enumerate(sorted(groups)):
        units = groups[of_class]
        wanted = share * sum(map(len, units.values()))
        names = sorted(units)
        taken = 0
        for at in random_stream(seed, Stream.HOLD_OUT, place).permutation(len(names))[: len(names) - 1]:
            if taken >= wanted:
                break
            held.update(units[names[at]])
            taken += len(units[names[at]])
    return (
        [ref for index, ref in enumerate(refs) if index not in held],
        [ref for index, ref in enumerate(refs) if index in held],
    )


def sides_matter(source: str) -> bool:
    """Whether a data set's classes tell left from right, by its name or its folder's: mirrored, it is of another."""
    known = {loosely(name) for name in ("ssv2", *DATA_SETS["ssv2"].folders)}
    return loosely(Path(source).name) in known
