"""Calibration clips: chosen from a training split, balanced over its classes, the same for the same seed."""

from __future__ import annotations

import hashlib
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dvfl_mobile.data.classes import ClassNames, misplaced
from dvfl_mobile.data.clips import SINGLE_VIEW, Clip, ClipSpec
from dvfl_mobile.data.datasets import find_split
from dvfl_mobile.data.videos import VideoRef, read_ahead
from dvfl_mobile.errors import VideoError
from dvfl_mobile.model.class_names import are_numbered
from dvfl_mobile.progress import Step, silent
from dvfl_mobile.quantization.calibrate.degenerate import degenerate, oddities
from dvfl_mobile.quantization.calibrate.held_back import divide, without
from dvfl_mobile.quantization.settings import CalibrationFacts
from dvfl_mobile.wording import first_few, plural

NOISE = "noise"
DEFAULT_SAMPLES = 64
LEAST_SAMPLES = 8


@dataclass(frozen=True)
class CalibrationClips:
    """Clips and what is known of them.

    Attributes:
        pixels: `(N,T,3,H,W)`, 0 to 255.
        labels: indices into the model's classes; None where there are none, or the classes are others.
        facts: where they are from.
        held_out: clips of the same split that aren't among them, nor copies of them, for whoever has to choose by
            something else; none where all the clips there are are copies of one.
    """

    pixels: NDArray[np.uint8]
    labels: tuple[int | None, ...]
    facts: CalibrationFacts
    held_out: NDArray[np.uint8]


def gather(
    source: str,
    spec: ClipSpec,
    observer: str,
    samples: int = DEFAULT_SAMPLES,
    *,
    seed: int = 0,
    data_root: Path | None = None,
    classes: Sequence[str] = (),
    held_out: int = 0,
    leave_out: NDArray[np.uint8] | None = None,
    step: Step = silent,
) -> CalibrationClips:
    """Read `samples` clips of the training split of `source`, as many of each class as of any other.

    Where there are too few for both, one in four is held out all the same.

    Args:
        source: a data set's name, a folder, a CSV, or `noise`: random pixels, which mark the result.
        observer: goes into the facts.
        classes: the model's, to say the labels by; the source may well have others.
        held_out: read so many more, of other videos.
        leave_out: clips that aren't to be among either, `(N,T,3,H,W)`.

    Raises:
        VideoError: there is no such source, or fewer than `LEAST_SAMPLES` of its videos can be read.
    """
    if source == NOISE:
        return _noise(spec, observer, samples, seed, held_out)
    split = find_split(source, "train", data_root=data_root)
    refs = _balanced(split.refs, seed)
    left_out = np.zeros((0, *spec.shape), np.uint8) if leave_out is None else leave_out
    clips, unreadable = _read(refs, spec, samples + held_out + len(left_out), step)
    if len(clips) < LEAST_SAMPLES:
        problem = f" {_unread(unreadable)}" if unreadable else ""
        raise VideoError(
            f"{split.source} gave {plural(len(clips), 'clip')} to calibrate on, and at least {LEAST_SAMPLES} are "
            f"needed.{problem}",
            hint="Name a folder or a list with more videos that play.",
        )
    divided = divide(without(clips, left_out), samples, held_out)
    mine, others = divided.mine, divided.held_back
    labels = _labels(mine, split.classes, classes)
    notes = list(split.notes)
    if len(mine) < samples:
        back = f", of which {len(others)} {'is' if len(others) == 1 else 'are'} held back" if others else ""
        notes.append(f"{samples} clips were asked for, and {split.source} has {len(clips)}{back}.")
    if unreadable:
        notes.append(_unread(unreadable))
    notes += oddities(mine)
    notes += [f"{clip.name}: {clip.damage}" for clip in mine if clip.damage]
    pixels = np.stack([clip.pixels for clip in mine])
    facts = CalibrationFacts(
        source=split.source,
        clips=len(mine),
        classes=len({clip.label for clip in mine if clip.label is not None}),
        seed=seed,
        observer=observer,
        sha256=hashlib.sha256(pixels.tobytes()).hexdigest(),
        degenerate=degenerate(mine, labels, split.classes, classes),
        notes=tuple(notes),
    )
    return CalibrationClips(pixels, labels, facts, _stacked(others, spec))


def _noise(spec: ClipSpec, observer: str, samples: int, seed: int, held_out: int) -> CalibrationClips:
    stream = np.random.RandomState(seed)
    pixels = stream.randint(0, 256, (samples + held_out, *spec.shape), dtype=np.uint8)
    mine = pixels[:samples]
    facts = CalibrationFacts(
        source=NOISE,
        is_noise=True,
        clips=samples,
        classes=0,
        seed=seed,
        observer=observer,
        sha256=hashlib.sha256(mine.tobytes()).hexdigest(),
    )
    return CalibrationClips(mine, (None,) * samples, facts, pixels[samples:])


def _balanced(refs: Sequence[VideoRef], seed: int) -> list[VideoRef]:
    """All videos, shuffled, one of each class in turn: any beginning of the list is balanced."""
    by_class: dict[str, list[VideoRef]] = defaultdict(list)
    for ref in sorted(refs, key=lambda ref: ref.name):
        by_class[str(ref.class_name if ref.class_name is not None else ref.label)].append(ref)
    stream = random.Random(seed)
    queues = [by_class[name] for name in sorted(by_class)]
    for queue in queues:
        stream.shuffle(queue)
    stream.shuffle(queues)
    turns = range(max(map(len, queues), default=0))
    return [queue[turn] for turn in turns for queue in queues if turn < len(queue)]


def _read(
    refs: Sequence[VideoRef], spec: ClipSpec, count: int, step: Step
) -> tuple[list[Clip], list[tuple[VideoRef, VideoError]]]:
    """The first `count` clips that can be read; a video that can't makes room for the next of the list."""
    clips: list[Clip] = []
    unreadable: list[tuple[VideoRef, VideoError]] = []
    with step("read calibration clips", min(count, len(refs))) as advance:
        for video in read_ahead(refs, spec, [SINGLE_VIEW]):
            if video.error is not None:
                unreadable.append((video.ref, video.error))
            for clip in video.clips:
                clips.append(clip)
                advance()
            if len(clips) == count:
                break
    return clips, unreadable


def _unread(unreadable: Sequence[tuple[VideoRef, VideoError]]) -> str:
    names = [ref.name for ref, _ in unreadable]
    return f"{plural(len(unreadable), 'video')} could not be read: {first_few(names)}."


def _labels(clips: Sequence[Clip], theirs: Sequence[str], ours: Sequence[str]) -> tuple[int | None, ...]:
    """Labels where the source's classes are the model's, by name, or by number where one of them has no names."""
    places = _places(theirs, ours)
    known = [None if clip.label is None else places.get(clip.label, -1) for clip in clips]
    return (None,) * len(clips) if -1 in known else tuple(known)


def _places(theirs: Sequence[str], ours: Sequence[str]) -> Mapping[int, int]:
    """The model's label for each of the source's that it has."""
    if not theirs or (are_numbered(ours) and len(ours) == len(theirs) and misplaced(theirs) is None):
        return {index: index for index in range(len(ours))}
    known = ClassNames(ours)
    places = {index: known.find(name) for index, name in enumerate(theirs)}
    return {} if None in places.values() else {index: place for index, place in places.items() if place is not None}


def _stacked(clips: Sequence[Clip], spec: ClipSpec) -> NDArray[np.uint8]:
    return np.stack([clip.pixels for clip in clips]) if clips else np.zeros((0, *spec.shape), np.uint8)
