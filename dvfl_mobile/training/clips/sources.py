"""The training and validation videos of a data source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dvfl_mobile.data.datasets import GROUPS, Split, find_split, place_of
from dvfl_mobile.data.leaks import Links, read_links, shared
from dvfl_mobile.data.videos import VideoRef
from dvfl_mobile.errors import UsageError, VideoError
from dvfl_mobile.model.class_names import numbered_names
from dvfl_mobile.spelling import option
from dvfl_mobile.training.clips.data import hold_out
from dvfl_mobile.wording import plural

HELD_OUT, TEST, NOTHING = "held-out", "test", "none"
_SHARE = 0.1


@dataclass(frozen=True)
class Sources:
    """What was found.

    Attributes:
        train, test: `test` is empty where nothing is validated.
        classes: names in the order of the labels; empty where the source names none.
        name: what reports call the data; `test_name` the videos that the best weights are chosen by.
        notes: what a reader must know.
    """

    train: tuple[VideoRef, ...]
    test: tuple[VideoRef, ...]
    classes: tuple[str, ...]
    name: str
    test_name: str
    notes: tuple[str, ...]


def find_sources(
    data: str,
    validate: str,
    *,
    data_root: Path | None,
    classes: Sequence[str] | None,
    class_count: int | None = None,
    seed: int,
    allow_leaks: bool,
) -> Sources:
    """Find the training split of `data`, and what to validate on.

    Args:
        validate: `held-out`: a tenth of the training split, by whole groups; `test`: the data's own test split;
            `none`; or another source, of which the test split is taken.
        classes: the teacher's, which then give the labels; None for the data's own.
        class_count: how many classes the teacher has, named or not; None where there is no teacher.

    Raises:
        VideoError: there is no such source, or its labels are no classes of a network's.
        UsageError: training and validation share videos or groups, and that wasn't allowed.
    """
    split = _with_names(find_split(data, "train", data_root=data_root, classes=classes), class_count)
    found = Sources(split.refs, (), split.classes, split.source, "", split.notes)
    if validate == NOTHING:
        return found
    if validate == HELD_OUT:
        return _with_held_out(found, seed, _links(data, data_root))
    other = find_split(
        data if validate == TEST else validate, "test", data_root=data_root, classes=split.classes or classes
    )
    return _with_test(found, other, _links(data, data_root), allow_leaks=allow_leaks)


def _with_names(split: Split, class_count: int | None) -> Split:
    """A split whose labels are numbers alone, with the names that nobody's classes have."""
    labels = {ref.label: ref for ref in reversed(split.refs) if ref.label is not None}
    if split.classes or not labels:
        return split
    count = class_count or max(labels) + 1
    if max(labels) >= count:
        ref = labels[max(labels)]
        raise VideoError(
            f"{split.source}: {ref.name} has the label {ref.label}, and the teacher has {count} classes, 0 to "
            f"{count - 1}.",
            hint="Number the classes as the teacher does, or name another teacher.",
        )
    hole = next((label for label in range(count) if label not in labels), None)
    if hole is not None and class_count is None:
        raise VideoError(
            f"{split.source} has labels up to {count - 1}, and no video of class {hole}.",
            hint=f"Number the classes from 0 to {len(labels) - 1}, or write their names.",
        )
    names = numbered_names(count)
    refs = tuple(ref if ref.label is None else replace(ref, class_name=names[ref.label]) for ref in split.refs)
    return replace(split, refs=refs, classes=names)


def _links(data: str, data_root: Path | None) -> Links:
    """The linked groups that the data's folder tells of, or for a list the folder that it lies in."""
    path = place_of(data.removesuffix(f":{GROUPS}"), data_root).path
    return read_links(path if path.is_dir() else path.parent)


def _with_held_out(found: Sources, seed: int, links: Links) -> Sources:
    train, held = hold_out(found.train, _SHARE, seed, links)
    if not held or all(ref.label is None for ref in held):
        why = "they have no labels" if held else "no class has videos enough to set some aside"
        return replace(found, notes=(*found.notes, f"Nothing is validated, and the last weights are the best: {why}."))
    name = f"{plural(len(held), 'video')} held out of {found.name}"
    return replace(found, train=tuple(train), test=tuple(held), test_name=name)


def _with_test(found: Sources, test: Split, links: Links, *, allow_leaks: bool) -> Sources:
    leak = shared(found.train, test.refs, links)
    notes = (
        *(note for note in test.notes if note not in found.notes),
        f"The best weights were chosen on {test.source}: how many of it they get right is no claim about new videos.",
    )
    if leak:
        problem = f"{found.name} and {test.source} share {leak}"
        if not allow_leaks:
            raise UsageError(
                f"{problem}: what is validated was trained on.",
                hint=f"Use {option('validate', 'held-out')}, another split, or {option('allow_leaks')} where no "
                "accuracy is claimed from it.",
            )
        notes += (f"{problem}, which was allowed: the validation's accuracy says nothing.",)
    return replace(found, test=test.refs, test_name=test.source, notes=(*found.notes, *notes))
