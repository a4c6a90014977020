"""Find videos, and read their clips: one file, a folder, a folder per class, UCF's names, or a CSV list."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from dvfl_mobile.data.classes import ClassNames, composed, in_order, is_almost_a_number, read_number
from dvfl_mobile.data.clips import Clip, ClipSpec, View
from dvfl_mobile.data.csv_list import ListRow, read_rows, refuse_text
from dvfl_mobile.data.video import read_views
from dvfl_mobile.data.walk import ENDINGS, FileId, file_id, is_video, videos_below, visible
from dvfl_mobile.errors import VideoError
from dvfl_mobile.wording import first_few

_UCF_NAME = re.compile(r"v_(?P<class>.+)_g(?P<group>\d+)_c\d+", re.IGNORECASE)
_READERS, _AHEAD = 2, 4


@dataclass(frozen=True)
class VideoRef:
    """A video and what is known of it before it is opened.

    Attributes:
        label: index of its class; None where nobody said.
        class_name: that class's name; None where only an index is known, or nothing.
        group: UCF's group number: clips of one class and group are cut from one video.
        name: what reports call it: its path below the source.
    """

    path: Path
    label: int | None = None
    class_name: str | None = None
    group: int | None = None
    name: str = ""


def find_videos(source: Path, classes: Sequence[str] | None = None) -> list[VideoRef]:
    """List the videos that `source` names, with labels where it gives them.

    - **A video**, or **a folder of videos**: no labels, unless all are named as UCF's are (`v_<Class>_gGG_cCC`).
    - **A folder of folders**: each folder is a class, whatever lies deeper in it belongs to it.
    - **A `.csv`**: `path,label` a line, the path relative to the list, the label an index or a class's name. A first
      line such as `path,label` is a header.

    Class names are matched to `classes` without regard to case, spaces, `_` and `-`. Folders of which not one is
    a class are somebody's own videos, and so is a folder that also holds videos beside its folders and no class:
    they come without labels. Where some match and some don't, that is an error. Without `classes`, the names
    found are the classes, in the order of `classes.in_order`.

    Raises:
        VideoError: there is nothing there, a listed video is missing or listed twice, or a label is no class.
    """
    if source.is_dir():
        return _from_folder(source, classes)
    if not source.exists():
        raise VideoError(f"{source} does not exist.", hint="Name a video, a folder of videos, or a CSV list of them.")
    if source.suffix.lower() == ".csv":
        return _from_list(source, classes)
    refuse_text(source)
    return with_labels([_named_by_file(source, source.parent)], classes, source)


def by_group(
    refs: Iterable[VideoRef], test_groups: Iterable[int] = range(1, 8)
) -> tuple[list[VideoRef], list[VideoRef]]:
    """Split UCF's videos into train and test by group, as its official splits do; groups 1 to 7 are the test's.

    A group shares one original video, so a split inside it would test what was trained on.

    Returns:
        (train, test)

    Raises:
        VideoError: a video's group isn't known.
    """
    groups = frozenset(test_groups)
    train: list[VideoRef] = []
    test: list[VideoRef] = []
    for ref in refs:
        if ref.group is None:
            raise VideoError(
                f"{ref.path} can't be put in a split: its name tells no group.",
                hint="Name videos as UCF does: v_<Class>_g<group>_c<clip>.avi",
            )
        (test if ref.group in groups else train).append(ref)
    return train, test


@dataclass(frozen=True)
class VideoRead:
    """What came of a video.

    Attributes:
        clips: one of each view; a clip's `damage` says what was wrong with a video that could still be drawn from.
        error: why it couldn't be read; there are no clips then.
    """

    ref: VideoRef
    clips: tuple[Clip, ...] = ()
    error: VideoError | None = None


def read_video(ref: VideoRef, spec: ClipSpec, views: Sequence[View]) -> VideoRead:
    """Draw the views of a video."""
    try:
        clips = read_views(ref.path, spec, list(views), ref.label)
    except VideoError as error:
        return VideoRead(ref, error=error)
    return VideoRead(ref, tuple(replace(clip, name=ref.name or clip.name) for clip in clips))


def read_ahead(refs: Iterable[VideoRef], spec: ClipSpec, views: Sequence[View]) -> Iterator[VideoRead]:
    """Draw the views of each video, in order. Whoever has enough may stop: what was begun is finished and dropped.

    PyAV and numpy let go of the interpreter where they work, so that threads read some videos ahead.
    """
    waiting: deque[Future[VideoRead]] = deque()
    with ThreadPoolExecutor(_READERS, thread_name_prefix="clips") as pool:
        try:
            for ref in refs:
                waiting.append(pool.submit(read_video, ref, spec, views))
                if len(waiting) > _AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _from_folder(folder: Path, classes: Sequence[str] | None) -> list[VideoRef]:
    beside = [path for path in visible(folder) if is_video(path)]
    folders = {path: videos_below(path) for path in visible(folder) if path.is_dir()}
    inside = [named_by_folder(path, of_class, folder) for of_class, paths in folders.items() for path in paths]
    if not beside and not inside:
        raise VideoError(
            f"{folder} holds no videos.",
            hint=f"Known endings are {ENDINGS}. Other files can be named one by one.",
        )
    if not beside:
        return with_labels(inside, classes, folder)
    if not inside:
        return with_labels([_named_by_file(path, folder) for path in beside], classes, folder)
    return _mixed(beside, inside, classes, folder)


def _mixed(beside: list[Path], inside: list[VideoRef], classes: Sequence[str] | None, folder: Path) -> list[VideoRef]:
    if any(ref.class_name and ClassNames(classes or ()).find(ref.class_name) is not None for ref in inside):
        raise VideoError(
            f"{beside[0]} lies beside folders that are classes, so its class isn't known.",
            hint="Move it into its class's folder, or out.",
        )
    everything = sorted([*beside, *(ref.path for ref in inside)])
    return [VideoRef(path, name=_name(path, folder)) for path in everything]


def with_labels(refs: list[VideoRef], classes: Sequence[str] | None, source: Path) -> list[VideoRef]:
    """Give each video its label by its class's name; to none of them where no name is a class."""
    names = in_order(ref.class_name for ref in refs if ref.class_name is not None)
    known = ClassNames(names if classes is None else classes)
    unknown = [name for name in names if known.find(name) is None]
    if len(unknown) == len(names) or any(ref.class_name is None for ref in refs):
        return [replace(ref, class_name=None) for ref in refs]
    if unknown:
        raise VideoError(
            f"{source} has classes that the model doesn't know: {first_few(unknown)}. It knows {known.first_few()}.",
            hint="Rename the folders, or list the videos and their labels in a CSV.",
        )
    return _each_once([_labelled(ref, known) for ref in refs])


def _labelled(ref: VideoRef, known: ClassNames) -> VideoRef:
    index = None if ref.class_name is None else known.find(ref.class_name)
    return ref if index is None else replace(ref, label=index, class_name=known.names[index])


def _each_once(refs: list[VideoRef]) -> list[VideoRef]:
    """Each file once, whatever links lead to it; one that lies in two classes is an error."""
    first: dict[FileId, VideoRef] = {}
    for ref in refs:
        other = first.setdefault(file_id(ref.path), ref)
        if other.label != ref.label:
            raise VideoError(
                f"{other.path} and {ref.path} are one file, and in two classes: {other.class_name} and "
                f"{ref.class_name}.",
                hint="Remove the link that is wrong.",
            )
    return list(first.values())


def class_in_name(path: Path) -> str | None:
    """The class that a video's own name tells, where it is named as UCF's are."""
    ucf = _UCF_NAME.fullmatch(path.stem)
    return composed(ucf["class"]) if ucf else None


def _named_by_file(path: Path, folder: Path) -> VideoRef:
    return VideoRef(path, class_name=class_in_name(path), group=_group(path), name=_name(path, folder))


def _group(path: Path) -> int | None:
    ucf = _UCF_NAME.fullmatch(path.stem)
    return int(ucf["group"]) if ucf else None


def named_by_folder(path: Path, of_class: Path, folder: Path) -> VideoRef:
    """A video of the class that a folder is named after; reports call it by its path below `folder`."""
    return VideoRef(path, class_name=composed(of_class.name), group=_group(path), name=_name(path, folder))


def _name(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


def _from_list(source: Path, classes: Sequence[str] | None) -> list[VideoRef]:
    rows = read_rows(source)
    found = {row.label for row in rows if read_number(row.label) is None and not is_almost_a_number(row.label)}
    if classes is None and found and any(read_number(row.label) is not None for row in rows):
        raise VideoError(f"{source} gives some labels as numbers and some as names.", hint="Use one or the other.")
    known = ClassNames(in_order(found) if classes is None else classes)
    is_open_ended = classes is None
    return [_listed(source, row, known, is_open_ended) for row in rows]


def _listed(source: Path, row: ListRow, known: ClassNames, is_open_ended: bool) -> VideoRef:
    where, index = f"{source}, line {row.line}", known.index_of(row.label)
    if index is None and known.find(row.label) is not None:
        raise VideoError(
            f"{where}: {row.label} is an index, and also the name of class {known.find(row.label)}.",
            hint="Name the classes otherwise, or put the videos in a folder per class.",
        )
    if is_open_ended and is_almost_a_number(row.label):
        raise VideoError(
            f"{where}: {row.label} is neither an index nor a class's name.",
            hint="Write an index as a whole number from 0 on.",
        )
    if index is None or not (is_open_ended or index < len(known.names)):
        raise VideoError(
            f"{where}: {row.label} is not one of the {len(known.names)} classes: {known.first_few()}.",
            hint=f"Give a class's name, or its index from 0 to {len(known.names) - 1}.",
        )
    class_name = known.names[index] if index < len(known.names) else None
    return VideoRef(row.path, index, class_name, _group(row.path), name=row.text)
