"""Choose the labelled videos of an evaluation, and run each through a model, in one process or in many."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from dvfl_mobile.data.classes import misplaced
from dvfl_mobile.data.clips import ClipSpec, View
from dvfl_mobile.data.datasets import GROUPS, Split, SplitName, find_split
from dvfl_mobile.data.videos import VideoRef, read_ahead
from dvfl_mobile.errors import UsageError, VideoError
from dvfl_mobile.model.class_names import are_numbered
from dvfl_mobile.spelling import option
from dvfl_mobile.wording import first_few, plural

if TYPE_CHECKING:
    from dvfl_mobile.training.process_group import ProcessGroup

_Item = TypeVar("_Item")
_Row = TypeVar("_Row")
Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class ChosenVideos:
    """The videos to ask about: each has a label; `classes` are the model's K names, `split` is what they are of."""

    refs: tuple[VideoRef, ...]
    classes: tuple[str, ...]
    source: str
    split: str
    notes: tuple[str, ...]


@dataclass(frozen=True)
class VideoSelection:
    """Which videos are asked for; the fields mean what those of `evaluation.Question` do."""

    source: str | Path
    split: SplitName
    data_root: Path | None
    most: int | None
    allow_leaks: bool


@dataclass(frozen=True)
class VideoRows(Generic[_Row]):
    """What came of asking: a row for each video that could be read, in order, and notes on the others."""

    rows: tuple[_Row, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _One(Generic[_Row]):
    """What came of one video: a row, or why it could not be read."""

    index: int
    row: _Row | None = None
    damage: str | None = None
    unreadable: tuple[str, str] | None = None


def choose(known: Sequence[str], selection: VideoSelection, whose: str) -> ChosenVideos:
    """The videos of the split, with the labels that a model gives its classes.

    Args:
        known: the model's class names; those that loading a checkpoint without names puts in their place are taken
            from the split, with a note.
        whose: what errors call the model, `artifact` or `checkpoint`.

    Raises:
        VideoError: videos have no label, or none that the model has.
        UsageError: the test split shares videos or groups with the training split, and that wasn't allowed.
    """
    model = _Model(tuple(known), whose)
    if model.is_unnamed:
        split = find_split(selection.source, selection.split, data_root=selection.data_root, classes=None)
        classes, notes = _taken_names(model, split)
    else:
        split = find_split(selection.source, selection.split, data_root=selection.data_root, classes=model.classes)
        classes, notes = model.classes, []
    _check_labels(split, model, selection)
    if selection.split == "test" and split.leak and not selection.allow_leaks:
        raise UsageError(
            f"{split.source} shares {split.leak} with the training split: an accuracy on it is no claim about new "
            "videos.",
            hint=f"Split it by group instead, {option('source', f'{selection.source}:{GROUPS}')}, or add "
            f"{option('allow_leaks')}.",
        )
    refs = _spread_by_class(split.refs, selection.most)
    if len(refs) < len(split.refs):
        notes.append(f"{len(refs)} of {len(split.refs)} videos, spread evenly by class; {option('most')} takes more.")
    of_split = selection.split if split.is_split else "all"
    return ChosenVideos(tuple(refs), classes, split.source, of_split, (*notes, *split.notes))


def ask_each(
    chosen: ChosenVideos,
    spec: ClipSpec,
    drawn: Sequence[View],
    answer: Callable[[str, int, Pixels], _Row],
    processes: ProcessGroup | None,
    advance: Callable[[], None],
) -> VideoRows[_Row]:
    """Ask about each video, decoded ahead while the one before is answered; memory doesn't grow with their number.

    Args:
        answer: from a video's name, its label and the pixels `(V,T,3,S,S)` of its V views, to its row.
        processes: each takes every n-th video, and all get all rows; None: there is one.
        advance: called for each video of this process.

    Raises:
        VideoError: not one video could be read.
    """
    rank, count = (0, 1) if processes is None else (processes.rank, processes.count)
    mine = list(enumerate(chosen.refs))[rank::count]
    found: list[_One[_Row]] = []
    for (index, ref), video in zip(mine, read_ahead((ref for _, ref in mine), spec, drawn), strict=True):
        clips = video.clips
        if video.error is not None:
            found.append(_One(index, unreadable=(video.error.problem, video.error.hint)))
        elif clips and ref.label is not None:
            row = answer(clips[0].name, ref.label, np.stack([clip.pixels for clip in clips]))
            found.append(_One(index, row, damage=f"{clips[0].name}: {clips[0].damage}" if clips[0].damage else None))
        advance()
    shares = [found] if processes is None else processes.all_of(found)
    everything = sorted((one for share in shares for one in share), key=lambda one: one.index)
    rows = tuple(one.row for one in everything if one.row is not None)
    unreadable = [one.unreadable for one in everything if one.unreadable is not None]
    if not rows:
        problem, hint = unreadable[0]
        raise VideoError(
            f"None of the {plural(len(chosen.refs), 'video')} in {chosen.source} could be read. The first: {problem}",
            hint=hint,
        )
    damaged = [one.damage for one in everything if one.damage is not None]
    return VideoRows(rows, tuple(_about_damage([problem for problem, _ in unreadable], damaged, len(chosen.refs))))


def shares_of(chosen: ChosenVideos, processes: ProcessGroup | None) -> int:
    """How many videos this process is asked about."""
    rank, count = (0, 1) if processes is None else (processes.rank, processes.count)
    return len(range(rank, len(chosen.refs), count))


def _about_damage(unreadable: Sequence[str], damaged: Sequence[str], asked: int) -> list[str]:
    lines = [f"{len(unreadable)} of {asked} videos could not be read and don't count."] if unreadable else []
    lines += [f"Not read: {problem}" for problem in unreadable]
    lines += [f"{plural(len(damaged), 'video')} damaged, drawn from what could be read."] if damaged else []
    return [*lines, *damaged]


@dataclass(frozen=True)
class _Model:
    """Whose classes they are."""

    classes: tuple[str, ...]
    whose: str

    @property
    def is_unnamed(self) -> bool:
        """Whether the names are those that loading a checkpoint without names puts in their place."""
        return are_numbered(self.classes)

    @property
    def with_labels(self) -> str:
        """What a user does to name them."""
        return f"{'Convert again' if self.whose == 'artifact' else 'Name them'} with {option('labels')}"


def _taken_names(model: _Model, split: Split) -> tuple[tuple[str, ...], list[str]]:
    count = len(model.classes)
    if not split.classes:  # a list that gives numbers: these are the model's own
        return model.classes, []
    if len(split.classes) != count:
        raise VideoError(
            f"{split.source} has {len(split.classes)} classes ({first_few(split.classes)}), and the {model.whose} has "
            f"{count} whose names it doesn't know.",
            hint=f"{model.with_labels}, so that classes can be matched by name.",
        )
    if (strange := misplaced(split.classes)) is not None:
        raise VideoError(
            f"{split.source}: {strange[1]} would be class {strange[0]} of the {model.whose}, which has no names.",
            hint=f"{model.with_labels}, so that classes can be matched by name.",
        )
    order = "in alphabetical order" if list(split.classes) == sorted(split.classes) else "in the data set's own order"
    note = f"Class names aren't known to the {model.whose}: the split's {count} classes were taken {order}."
    return split.classes, [note]


def _check_labels(split: Split, model: _Model, selection: VideoSelection) -> None:
    count = len(model.classes)
    if not split.refs:
        raise VideoError(f"{split.source} has no videos in its {selection.split} split.", hint="Name another split.")
    without = [ref for ref in split.refs if ref.label is None]
    if len(without) == len(split.refs):
        _refuse_other_classes(split, model, selection)
    if without:
        raise VideoError(
            f"{split.source}: no label is known for {len(without)} of {plural(len(split.refs), 'video')}; the first is "
            f"{without[0].name or without[0].path}.",
            hint="Put each video in a folder named as its class, or list path,label lines in a CSV.",
        )
    beyond = [ref for ref in split.refs if ref.label is not None and ref.label >= count]
    if beyond:
        raise VideoError(
            f"{beyond[0].name or beyond[0].path} has the label {beyond[0].label}; the {model.whose} has {count} "
            f"classes, 0 to {count - 1}.",
            hint="Evaluate it on the data set that it was trained for.",
        )


def _refuse_other_classes(split: Split, model: _Model, selection: VideoSelection) -> None:
    """Say so where videos have classes, and none of them is one of the model's."""
    if model.is_unnamed:
        return
    own = find_split(selection.source, selection.split, data_root=selection.data_root, classes=None)
    if own.classes and all(ref.label is not None for ref in own.refs):
        raise VideoError(
            f"None of the {len(own.classes)} classes of {split.source} ({first_few(own.classes)}) is one of the "
            f"{model.whose}'s {len(model.classes)} ({first_few(model.classes)}).",
            hint=f"Evaluate it on the data set that it was trained for, or with the right {option('labels')}.",
        )


def _spread_by_class(refs: Sequence[VideoRef], most: int | None) -> list[VideoRef]:
    """At most `most` videos in their order: as many of each class as of any other, where it has so many."""
    if most is None or len(refs) <= most:
        return list(refs)
    of_class: defaultdict[int | None, list[VideoRef]] = defaultdict(list)
    for ref in refs:
        of_class[ref.label].append(ref)
    quotas: Counter[int | None] = Counter()
    while quotas.total() < most:
        unfilled = [label for label, members in of_class.items() if quotas[label] < len(members)]
        quotas.update(_evenly(unfilled, most - quotas.total()))
    kept = {id(ref) for label, members in of_class.items() for ref in _evenly(members, quotas[label])}
    return [ref for ref in refs if id(ref) in kept]


def _evenly(items: Sequence[_Item], most: int) -> list[_Item]:
    if len(items) <= most:
        return list(items)
    return [items[index * len(items) // most] for index in range(most)]
