"""Check a data set: is it present and complete, what are its splits, and do they overlap."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Literal

from dvfl_mobile.data.datasets import DATA_SETS, GROUPS, DataSet, Split, SplitName, find_split, place_of
from dvfl_mobile.data.layouts.dvfl import dvfl_listed
from dvfl_mobile.data.leaks import Leak, read_links, shared
from dvfl_mobile.data.video import probe
from dvfl_mobile.data.videos import VideoRef
from dvfl_mobile.data.walk import file_id, videos_below
from dvfl_mobile.documents import Document, Line
from dvfl_mobile.errors import VideoError
from dvfl_mobile.progress import Step, silent
from dvfl_mobile.version import __version__
from dvfl_mobile.wording import first_few_only, plural

_SPLITS: tuple[SplitName, ...] = ("train", "test")


class SplitFacts(Document):
    """One split.

    Attributes:
        name: `all` where both are the same: of a list, or of a folder that gives no split.
        expected: videos that the publisher gives it; None where nobody says.
        fewest, median, most: videos of a class.
        missing: videos that its list names and that aren't there.
    """

    name: Literal["train", "test", "all"]
    source: Line
    videos: int
    expected: int | None
    classes: int
    fewest: int
    median: float
    most: int
    missing: int


class DataReport(Document):
    """What was found of a data set.

    Attributes:
        place: where it is.
        classes, expected_classes: by its splits, and by its publisher.
        videos, expected_videos: that are there, in a split or not.
        unlisted: videos that are in no split.
        shared_groups: (class, group) pairs that both splits have; `shared_videos`: files that both have.
        decoded: whether every video was decoded; `unreadable` and `damaged` name those that it found.
        problems: why it isn't whole. `hints`: what to do about those that have a hint of their own.
        notes: what a reader must know besides.
    """

    schema_version: Literal[1] = 1
    tool_version: str
    source: Line
    place: Line
    classes: int
    expected_classes: int | None
    videos: int
    expected_videos: int | None
    splits: tuple[SplitFacts, ...]
    unlisted: int
    empty: tuple[Line, ...]
    shared_groups: int
    shared_videos: int
    decoded: bool
    unreadable: tuple[Line, ...]
    damaged: tuple[Line, ...]
    problems: tuple[Line, ...]
    hints: tuple[Line, ...] = ()
    notes: tuple[Line, ...]

    @property
    def is_whole(self) -> bool:
        return not self.problems

    @property
    def leak(self) -> Leak:
        return Leak(self.shared_groups, self.shared_videos)


def check_data(
    source: str, data_root: Path | None = None, *, decode: bool = False, workers: int = 2, step: Step = silent
) -> DataReport:
    """Look at a data set, a folder or a list, and say what is there.

    Args:
        decode: also decode every video from end to end, which finds what is damaged and takes its time.

    Raises:
        VideoError: there is no such source.
    """
    bare = source.removesuffix(f":{GROUPS}")
    place = place_of(bare, data_root)
    known = DATA_SETS.get(place.name) if place.name else None
    with step("look"):
        splits, errors = _splits(source, data_root)
        files = videos_below(place.path) if place.path.is_dir() else _files_of(splits)
    listed = {file_id(ref.path) for ref in _all_of(splits)}
    unlisted = [path for path in files if file_id(path) not in listed]
    empty = [path for path in files if not _has_bytes(path)]
    leak = _leak(splits, place.path)
    unreadable, damaged = _decoded(files, place.path, workers, step) if decode else ([], [])
    is_one = len(splits) > 1 and splits["train"].refs == splits["test"].refs
    facts = (
        (_facts("all", splits["train"], None),)
        if is_one
        else tuple(_facts(name, split, known) for name, split in splits.items())
    )
    classes = len({ref.class_name or ref.label for ref in _all_of(splits)} - {None})
    return DataReport(
        tool_version=__version__,
        source=source,
        place=str(place.path),
        classes=classes,
        expected_classes=known.class_count if known else None,
        videos=len(files),
        expected_videos=known.videos[0] if known else None,
        splits=facts,
        unlisted=len(unlisted),
        empty=tuple(_below(path, place.path) for path in empty),
        shared_groups=leak.groups,
        shared_videos=leak.videos,
        decoded=decode,
        unreadable=tuple(unreadable),
        damaged=tuple(damaged),
        problems=(*errors, *_shortfalls(facts, splits, classes, len(files), known), *_broken(empty, unreadable)),
        hints=tuple(dict.fromkeys(filter(None, errors.values()))),
        notes=_notes(splits, unlisted, place.path),
    )


def _has_bytes(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except OSError:  # a link to nothing
        return False


def _splits(source: str, data_root: Path | None) -> tuple[dict[SplitName, Split], dict[str, str]]:
    """The splits that can be read, and the hint to each problem with one that can't."""
    found: dict[SplitName, Split] = {}
    problems: dict[str, str] = {}
    for name in _SPLITS:
        try:
            found[name] = find_split(source, name, data_root=data_root)
        except VideoError as error:
            problems[error.problem] = error.hint
    return found, problems


def _all_of(splits: dict[SplitName, Split]) -> list[VideoRef]:
    return [ref for split in splits.values() for ref in split.refs]


def _files_of(splits: dict[SplitName, Split]) -> list[Path]:
    return list(dict.fromkeys(ref.path for ref in _all_of(splits)))


def _leak(splits: dict[SplitName, Split], folder: Path) -> Leak:
    listed = dvfl_listed(folder) if not splits else None
    if listed is not None:  # the lists are here, and none of their videos
        return shared(*listed, read_links(folder))
    if len(splits) < len(_SPLITS) or not all(split.is_split for split in splits.values()):
        return Leak()
    if splits["train"].refs == splits["test"].refs:  # a list, which is a split by itself
        return Leak()
    return shared(splits["train"].refs, splits["test"].refs, read_links(folder))


def _facts(name: Literal["train", "test", "all"], split: Split, known: DataSet | None) -> SplitFacts:
    counts = Counter(ref.class_name or ref.label for ref in split.refs)
    return SplitFacts(
        name=name,
        source=split.source,
        videos=len(split.refs),
        expected=known.videos[1 + ("train", "test").index(name)] if known else None,
        classes=len(set(counts) - {None}),
        fewest=min(counts.values()),
        median=median(counts.values()),
        most=max(counts.values()),
        missing=len(split.missing),
    )


def _shortfalls(
    facts: Sequence[SplitFacts], splits: dict[SplitName, Split], classes: int, videos: int, known: DataSet | None
) -> list[str]:
    """What the publisher gives it and its lists name, and isn't there."""
    missing = {name: split.missing[0] for name, split in splits.items() if split.missing}
    found = [
        f"{one.source}: {one.missing} of {one.missing + one.videos} listed videos are missing, such as "
        f"{missing[one.name]}."
        for one in facts
        if one.name in missing
    ]
    if known is None:
        return found
    if classes != known.class_count:
        found.append(f"{classes} of its {known.class_count} classes are there.")
    if known.videos[0] is not None and videos < known.videos[0]:
        found.append(f"{videos:,} of its {known.videos[0]:,} videos are there.")
    return found


def _broken(empty: Sequence[Path], unreadable: Sequence[str]) -> list[str]:
    found = [f"{plural(len(empty), 'file')} without a byte."] if empty else []
    if unreadable:
        found.append(f"{plural(len(unreadable), 'video')} that can't be decoded, such as {unreadable[0]}.")
    return found


def _notes(splits: dict[SplitName, Split], unlisted: Sequence[Path], folder: Path) -> tuple[str, ...]:
    # What they share has a message of its own.
    notes = [note for split in splits.values() for note in split.notes if str(split.leak) not in note or not split.leak]
    if unlisted:
        names = first_few_only(unlisted, write=lambda path: _below(path, folder))
        notes.append(f"{plural(len(unlisted), 'video')} in no split: {names}")
    return tuple(dict.fromkeys(notes))


def _decoded(files: Sequence[Path], folder: Path, workers: int, step: Step) -> tuple[list[str], list[str]]:
    """Those that can't be decoded, and those that were damaged, each named with what was wrong."""

    def look(path: Path) -> tuple[str | None, str | None]:
        try:
            return None, probe(path).damage
        except VideoError as error:
            return error.problem, None

    unreadable, damaged = [], []
    with step("decode", len(files)) as advance, ThreadPoolExecutor(max(1, workers)) as pool:
        for path, (problem, damage) in zip(files, pool.map(look, files), strict=True):
            unreadable += [problem] if problem is not None else []
            damaged += [f"{_below(path, folder)}: {damage}"] if damage is not None else []
            advance()
    return unreadable, damaged


def _below(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)
