"""What is played, and in which order: videos as they are named, or labelled ones by whole groups."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dvfl_mobile.data.videos import VideoRef, find_videos
from dvfl_mobile.evaluation.videos import VideoSelection, choose
from dvfl_mobile.wording import plural


@dataclass(frozen=True)
class Playlist:
    """Videos in the order in which they are played.

    Attributes:
        classes: the model's K names, which the labels are indices of.
        source: what reports call it.
        notes: sentences that a reader must know.
    """

    refs: tuple[VideoRef, ...]
    classes: tuple[str, ...]
    source: str
    notes: tuple[str, ...] = ()


def named(path: Path, classes: Sequence[str]) -> Playlist:
    """The videos that a path names, in their order. Raises what `find_videos` does."""
    return Playlist(tuple(find_videos(path, classes)), tuple(classes), str(path))


def laid_end_to_end(known: Sequence[str], selection: VideoSelection, seed: int, most_groups: int | None) -> Playlist:
    """The labelled videos of a split, group by group, in an order that the seed decides.

    A group's videos are cut from one recording, so they follow each other, as one scene; a video without a group is one
    by itself. Of two groups that follow each other the classes differ, where that can be.

    Args:
        known: the model's class names.
        most_groups: take no more than this, spread evenly over the classes; None: all.

    Raises:
        VideoError, UsageError: as `evaluation.videos.choose`.
    """
    chosen = choose(known, selection, "artifact")
    groups: dict[tuple[object, ...], list[VideoRef]] = defaultdict(list)
    for ref in chosen.refs:
        groups[(ref.label, ref.path if ref.group is None else ref.group)].append(ref)
    shuffled = [list(groups.values())[place] for place in np.random.RandomState(seed).permutation(len(groups))]
    taken = _spread(shuffled, most_groups)
    notes = chosen.notes
    if len(taken) < len(shuffled):
        notes = (f"{len(taken)} of {plural(len(shuffled), 'group')}, spread evenly by class.", *notes)
    refs = tuple(ref for group in _alternating(taken) for ref in group)
    return Playlist(refs, chosen.classes, chosen.source, notes)


def _spread(groups: list[list[VideoRef]], most: int | None) -> list[list[VideoRef]]:
    """At most so many groups, as many of each class as of any other where it has so many."""
    seen: Counter[int | None] = Counter()
    rounds = []
    for group in groups:
        rounds.append(seen[group[0].label])
        seen[group[0].label] += 1
    by_round = sorted(range(len(groups)), key=rounds.__getitem__)
    return [groups[place] for place in sorted(by_round[:most])]


def _alternating(groups: list[list[VideoRef]]) -> list[list[VideoRef]]:
    """The groups in their order, but for those that would follow one of their own class."""
    left, order = list(groups), list[list[VideoRef]]()
    counts = Counter(group[0].label for group in groups)
    last: int | None = None
    while left:
        commonest = counts.most_common(1)[0][0]
        # More than half of what is left: only now can they still be kept apart.
        wanted = commonest if 2 * counts[commonest] > len(left) else None
        place = next(
            (
                index
                for index, group in enumerate(left)
                if group[0].label != last and (wanted is None or group[0].label == wanted)
            ),
            None,
        )
        group = left.pop(0 if place is None else place)
        last = group[0].label
        counts[last] -= 1
        order.append(group)
    return order
