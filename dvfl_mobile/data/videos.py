"""Find videos: one file, a folder, a folder per class, UCF's names, or a CSV list."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dvfl_mobile.data.clips import Clip, ClipSpec, View
from dvfl_mobile.data.video import read_views
from dvfl_mobile.errors import VideoError
from dvfl_mobile.wording import first_few

_ENDINGS = ".3gp .asf .avi .flv .gif .m2ts .m4v .mkv .mov .mp4 .mpeg .mpg .mts .ogv .ts .vob .webm .wmv"

_UCF_NAME = re.compile(r"v_(?P<class>.+)_g(?P<group>\d+)_c\d+", re.IGNORECASE)
_HEADERS = frozenset({"path", "file", "filename", "video"})


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
      line that begins with `path`, `file`, `filename` or `video` is a header.

    Class names are matched to `classes` without regard to case, spaces, `_` and `-`. Folders of which not one is
    a class are somebody's own videos, and so is a folder that also holds videos beside its folders and no class:
    they come without labels. Where some match and some don't, that is an error. Without `classes`, the names
    found are the classes, in alphabetical order.

    Raises:
        VideoError: there is nothing there, a listed video is missing or listed twice, or a label is no class.
    """
    if source.is_dir():
        return _from_folder(source, classes)
    if not source.exists():
        raise VideoError(f"{source} does not exist.", hint="Name a video, a folder of videos, or a CSV list of them.")
    if source.suffix.lower() == ".csv":
        return _from_list(source, classes)
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


def read_clips(
    refs: Iterable[VideoRef],
    spec: ClipSpec,
    views: Sequence[View],
    *,
    on_damage: Callable[[VideoRef, VideoError], None],
) -> Iterator[Clip]:
    """Draw the views of each video, one video after another.

    A clip's `damage` says what was wrong with a video that could still be drawn from. One that can't be read
    gives no clip and goes to `on_damage` instead, which may raise to stop.
    """
    for ref in refs:
        try:
            clips = read_views(ref.path, spec, list(views), ref.label)
        except VideoError as error:
            on_damage(ref, error)
            continue
        for clip in clips:
            yield replace(clip, name=ref.name or clip.name)


def _from_folder(folder: Path, classes: Sequence[str] | None) -> list[VideoRef]:
    beside = [path for path in visible(folder) if is_video(path)]
    folders = {path: videos_below(path) for path in visible(folder) if path.is_dir()}
    inside = [named_by_folder(path, of_class, folder) for of_class, paths in folders.items() for path in paths]
    if not beside and not inside:
        raise VideoError(
            f"{folder} holds no videos.",
            hint=f"Known endings are {_ENDINGS}. Other files can be named one by one.",
        )
    if not beside:
        return with_labels(inside, classes, folder)
    if not inside:
        return with_labels([_named_by_file(path, folder) for path in beside], classes, folder)
    return _mixed(beside, inside, classes, folder)


def _mixed(beside: list[Path], inside: list[VideoRef], classes: Sequence[str] | None, folder: Path) -> list[VideoRef]:
    if any(ref.class_name and _Classes(classes or ()).find(ref.class_name) is not None for ref in inside):
        raise VideoError(
            f"{beside[0]} lies beside folders that are classes, so its class isn't known.",
            hint="Move it into its class's folder, or out.",
        )
    everything = sorted([*beside, *(ref.path for ref in inside)])
    return [VideoRef(path, name=_name(path, folder)) for path in everything]


def with_labels(refs: list[VideoRef], classes: Sequence[str] | None, source: Path) -> list[VideoRef]:
    """Give each video its label by its class's name; to none of them where no name is a class."""
    names = sorted({ref.class_name for ref in refs if ref.class_name is not None})
    known = _Classes(names if classes is None else classes)
    unknown = [name for name in names if known.find(name) is None]
    if len(unknown) == len(names) or any(ref.class_name is None for ref in refs):
        return [replace(ref, class_name=None) for ref in refs]
    if unknown:
        raise VideoError(
            f"{source} has classes that the model doesn't know: {first_few(unknown)}. It knows "
            f"{first_few(known.names)}.",
            hint="Rename the folders, or list the videos and their labels in a CSV.",
        )
    return [known.label(ref) for ref in refs]


class _Classes:
    """Class names, found without regard to case, spaces, `_` and `-`; an exact match comes first."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = list(names)
        self._exact = {name: index for index, name in reversed(list(enumerate(names)))}
        self._loose: dict[str, list[int]] = {}
        for index, name in enumerate(names):
            self._loose.setdefault(loosely(name), []).append(index)

    def find(self, name: str) -> int | None:
        """A name's index, or None if it is no class, or could be several."""
        if name in self._exact:
            return self._exact[name]
        candidates = self._loose.get(loosely(name), [])
        return candidates[0] if len(candidates) == 1 else None

    def label(self, ref: VideoRef) -> VideoRef:
        index = None if ref.class_name is None else self.find(ref.class_name)
        return ref if index is None else replace(ref, label=index, class_name=self.names[index])


def loosely(name: str) -> str:
    return re.sub(r"[\s_-]", "", name).casefold()


def _named_by_file(path: Path, folder: Path) -> VideoRef:
    ucf = _UCF_NAME.fullmatch(path.stem)
    if ucf is None:
        return VideoRef(path, name=_name(path, folder))
    return VideoRef(path, class_name=ucf["class"], group=int(ucf["group"]), name=_name(path, folder))


def named_by_folder(path: Path, of_class: Path, folder: Path) -> VideoRef:
    """A video of the class that a folder is named after; reports call it by its path below `folder`."""
    ucf = _UCF_NAME.fullmatch(path.stem)
    return VideoRef(path, class_name=of_class.name, group=int(ucf["group"]) if ucf else None, name=_name(path, folder))


def _name(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


def visible(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith((".", "__MACOSX")))
    except OSError as error:
        raise VideoError(f"{folder} can't be listed: {error.strerror}.", hint="Check its permissions.") from error


def videos_below(folder: Path) -> list[Path]:
    """All videos in a folder, at any depth, in order."""
    paths = (Path(parent, name) for parent, _, names in os.walk(folder) for name in names)
    return sorted(path for path in paths if is_video(path))


def is_video(path: Path) -> bool:
    return path.suffix.lower() in _ENDINGS.split() and not path.name.startswith(".") and not path.is_dir()


def _from_list(source: Path, classes: Sequence[str] | None) -> list[VideoRef]:
    rows = _rows(source)
    if not rows:
        raise VideoError(f"{source} lists no videos.", hint="Write one `path,label` a line.")
    _refuse_duplicates(source, rows)
    _refuse_missing(source, rows)
    found = {row.label for row in rows if not row.is_index}
    if classes is None and found and any(row.is_index for row in rows):
        raise VideoError(f"{source} gives some labels as numbers and some as names.", hint="Use one or the other.")
    known = _Classes(sorted(found) if classes is None else classes)
    is_open_ended = classes is None
    return [_listed(source, row, known, is_open_ended) for row in rows]


@dataclass(frozen=True)
class _Row:
    line: int
    path: Path
    label: str
    text: str

    @property
    def is_index(self) -> bool:
        return re.fullmatch(r"[0-9]{1,9}", self.label) is not None


def _rows(source: Path) -> list[_Row]:
    rows: list[_Row] = []
    try:
        with source.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, skipinitialspace=True, strict=True)
            for cells in reader:
                if not any(cell.strip() for cell in cells):
                    continue
                if not rows and cells[0].strip().lower() in _HEADERS and not (source.parent / cells[0]).exists():
                    continue
                rows.append(_row(source, reader.line_num, cells))
    except UnicodeDecodeError as error:
        raise VideoError(f"{source} is not UTF-8 text.", hint="Save it as CSV in UTF-8.") from error
    except csv.Error as error:
        raise VideoError(f"{source}, line {reader.line_num}: {error}.", hint="Check its quotes.") from error
    except OSError as error:
        raise VideoError(f"{source} can't be read: {error.strerror}.", hint="Check its permissions.") from error
    return rows


def _row(source: Path, line: int, cells: list[str]) -> _Row:
    if len(cells) != 2 or not all(cell.strip() for cell in cells):
        raise VideoError(
            f"{source}, line {line}: expected `path,label`, found {len(cells)} cells: {', '.join(cells)}.",
            hint='Put a path that holds a comma in double quotes: "a, b.avi",label',
        )
    text, label = (cell.strip() for cell in cells)
    return _Row(line, source.parent / text, label, text)


def _refuse_duplicates(source: Path, rows: list[_Row]) -> None:
    first: dict[str, int] = {}
    for row in rows:
        line = first.setdefault(os.path.normpath(row.path), row.line)
        if line != row.line:
            raise VideoError(
                f"{source}, line {row.line}: {row.text} is listed already, in line {line}.",
                hint="A video counts once: remove one of the lines.",
            )


def _refuse_missing(source: Path, rows: list[_Row]) -> None:
    missing = [row for row in rows if not row.path.is_file()]
    if missing:
        more = f", and {len(missing) - 1} more listed videos are missing" if len(missing) > 1 else ""
        raise VideoError(
            f"{source}, line {missing[0].line}: there is no file {missing[0].path}{more}.",
            hint="Paths are relative to the list's own folder.",
        )


def _listed(source: Path, row: _Row, known: _Classes, is_open_ended: bool) -> VideoRef:
    index = int(row.label) if row.is_index else known.find(row.label)
    if index is None or not (is_open_ended or index < len(known.names)):
        raise VideoError(
            f"{source}, line {row.line}: {row.label} is not one of the {len(known.names)} classes: "
            f"{first_few(known.names)}.",
            hint=f"Give a class's name, or its index from 0 to {len(known.names) - 1}.",
        )
    ucf = _UCF_NAME.fullmatch(row.path.stem)
    class_name = known.names[index] if index < len(known.names) else None
    return VideoRef(row.path, index, class_name, int(ucf["group"]) if ucf else None, name=row.text)
