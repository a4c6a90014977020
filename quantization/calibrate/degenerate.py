"""Name calibration clips that stand for nothing: of one colour, all the same, or of one class of several."""

from __future__ import annotations

from collections.abc import Sequence

from dvfl_mobile.data.clips import Clip
from dvfl_mobile.model.class_names import are_numbered
from dvfl_mobile.quantization.calibrate.held_back import content_of, is_flat
from dvfl_mobile.wording import first_few, plural


def degenerate(
    clips: Sequence[Clip], labels: Sequence[int | None], theirs: Sequence[str], ours: Sequence[str]
) -> tuple[str, ...]:
    """A sentence for each way in which all the clips are alike; none for clips that scales can be found on.

    Args:
        labels: the model's, of each clip; None where they are unknown.
        theirs: the source's classes.
        ours: the model's.
    """
    found, count = [], plural(len(clips), "clip")
    if all(is_flat(clip.pixels) for clip in clips):
        found.append(f"every picture of all {count} is of one colour")
    if len(clips) > 1 and len({content_of(clip.pixels) for clip in clips}) == 1:
        found.append(f"all {count} are the same, pixel for pixel")
    known = {clip.label for clip in clips}
    if len(known) == 1 and None not in known and _are_several(labels[0], theirs, ours):
        [label] = known
        name = theirs[label] if label is not None and label < len(theirs) else str(label)
        found.append(f"all {count} are of one class of several, {name}")
    return tuple(found)


def oddities(clips: Sequence[Clip]) -> tuple[str, ...]:
    """Notes on clips that say little beside others that say more."""
    flat = [clip.name for clip in clips if is_flat(clip.pixels)]
    copies = len(clips) - len({content_of(clip.pixels) for clip in clips})
    notes = []
    if 0 < len(flat) < len(clips):
        notes.append(f"{plural(len(flat), 'clip')} of {len(clips)} hold one colour a picture: {first_few(flat)}.")
    if 0 < copies < len(clips) - 1:
        notes.append(f"{copies} of {plural(len(clips), 'clip')} are copies of others, pixel for pixel.")
    return tuple(notes)


def _are_several(label: int | None, theirs: Sequence[str], ours: Sequence[str]) -> bool:
    """Whether there are other classes than the one: in the source, or in a model that has this one too."""
    return len(theirs) > 1 or (len(ours) > 1 and (label is not None or are_numbered(ours)))
