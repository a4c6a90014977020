"""Layouts of the published data sets: a function for each format of their train and test lists.

Each reads one layout of a folder, and returns None where the folder isn't laid out so.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from dvfl_mobile.data.classes import ClassNames, by_number, composed, in_order, loosely, read_number
from dvfl_mobile.data.leaks import read_links
from dvfl_mobile.data.listed import ListedVideo, find_listed, labelled_once
from dvfl_mobile.data.videos import VideoRef, by_group, find_videos, named_by_folder, with_labels
from dvfl_mobile.data.walk import has_ending, holds_videos, is_video, videos_below, visible
from dvfl_mobile.errors import VideoError
from dvfl_mobile.wording import first_few_only, plural

SplitName = Literal["train", "test"]

_DVFL_LISTS = {"train": "train.csv", "test": "val.csv"}
_TEST_FOLDERS = ("test", "val", "validation", "validate")
# Kinetics' own test split came without labels at first; what the literature calls its test is val.
_KINETICS_COLUMNS = ("label", "youtube_id", "time_start", "time_end")
_KINETICS_TEST_FOLDERS = ("val", "validation", "validate", "test")


@dataclass(frozen=True)
class SplitRequest:
    """Which split of a folder is asked for, and where to look for it.

    Attributes:
        classes: the model's class names; None to take the names found.
        list_places: folders in which the data set's lists may lie: its own, and the one around it if that is its own.
        inner_folders: names, spelled loosely, of a folder inside that may hold all of the videos.
    """

    folder: Path
    split: SplitName
    classes: Sequence[str] | None
    list_places: tuple[Path, ...]
    inner_folders: frozenset[str]

    @cached_property
    def with_videos(self) -> dict[str, Path]:
        """The folders right inside that hold videos, by their lower-case names."""
        return {path.name.lower(): path for path in visible(self.folder) if path.is_dir() and holds_videos(path)}

    @cached_property
    def video_folder(self) -> Path:
        """Where the videos are: an inner folder if that is the only one with videos, or the folder itself."""
        inner = list(self.with_videos.values())
        is_inner = len(inner) == 1 and loosely(inner[0].name) in self.inner_folders
        return inner[0] if is_inner else self.folder

    @cached_property
    def videos(self) -> list[VideoRef]:
        """All videos: scanned once, whatever layouts are tried."""
        return find_videos(self.video_folder, self.classes)


@dataclass(frozen=True)
class Found:
    """Videos of the requested split; `Split` in `dvfl_mobile.data.datasets` says what the fields mean."""

    refs: Sequence[VideoRef]
    classes: Sequence[str]
    notes: tuple[str, ...] = ()
    is_split: bool = True
    missing: tuple[str, ...] = ()


Layout = Callable[[SplitRequest], Found | None]


def ucf_lists(request: SplitRequest) -> Found | None:
    """UCF101's official list 1: `trainlist01.txt`, `testlist01.txt`, `classInd.txt` of `ucfTrainTestlist`.

    `<Class>/<video>.avi` a line, in the training list with the class's number; `classInd.txt` has `<number> <Class>`.
    Described on https://www.crcv.ucf.edu/data/UCF101.php ("Train/Test Splits for Action Recognition").
    """
    both = ("trainlist01.txt", "testlist01.txt")
    found = _first(
        place / inner
        for place in request.list_places
        for inner in ("ucfTrainTestlist", "")
        if _has(place / inner, both)
    )
    if found is None:
        return None
    lists = {split: found / f"{split}list01.txt" for split in ("train", "test")}
    rows = {split: _ucf_list(path) for split, path in lists.items()}
    official = _ucf_classes(found / "classInd.txt", rows, lists["train"])
    return _picked(request, lists[request.split], rows, official)


def ucf_groups(request: SplitRequest) -> Found | None:
    """UCF50 and UCF101 by group: 1 to 7 are the test's, which for UCF101 is official list 1.

    Videos are named `v_<Class>_g<group>_c<clip>`, and a group's clips are cut from one video:
    https://www.crcv.ucf.edu/data/UCF50.php and https://www.crcv.ucf.edu/data/UCF101.php
    """
    if _split_folders(request) or any(ref.group is None for ref in request.videos):
        return None
    return _by_ucf_groups(request, request.videos, _classes(request))


def regrouped(request: SplitRequest) -> Found | None:
    """All videos of a folder at any depth, split by UCF's groups whatever lists and folders say: this leaks nothing.

    A video's class is that of the folder that it lies in.
    """
    everything = _all_videos(request)
    if not everything or any(ref.group is None for ref in everything):
        return None
    names = sorted({ref.class_name for ref in everything if ref.class_name is not None})
    classes = names if request.classes is None else request.classes
    return _by_ucf_groups(request, with_labels(everything, classes, request.folder), classes)


def dvfl_lists(request: SplitRequest) -> Found | None:
    """The lists that DVFL-Net's own code reads: `train.csv` and `val.csv`, `<path>,<number of the class>` a line.

    The class's name is that of the folder in the path, and the numbers give the classes' order. Those that it brings
    for UCF50 and UCF101 put clips of one group in both: https://github.com/hayatkhan8660-maker/DVFL-Net (DATA.md).
    """
    found = _first(place for place in request.list_places if _has(place, _DVFL_LISTS.values()))
    if found is None:
        return None
    paths = {split: found / name for split, name in _DVFL_LISTS.items()}
    rows = {split: _dvfl_list(path) for split, path in paths.items()}
    numbered = [(row.number, row.class_name) for split in rows for row in rows[split] if row.number is not None]
    # A model's own names give the labels: then the numbers needn't be those of its outputs.
    official = by_number(numbered, found, first=(0,) if request.classes is None else None)
    return _picked(request, paths[request.split], rows, official, _renumbered_note(request, numbered))


def dvfl_listed(folder: Path) -> tuple[list[VideoRef], list[VideoRef]] | None:
    """What DVFL-Net's lists in a folder name, to train on and to test on, whether it is there or not; None without."""
    if not _has(folder, _DVFL_LISTS.values()):
        return None
    train, test = (
        [named_by_folder(folder / row.text, (folder / row.text).parent, folder) for row in _dvfl_list(folder / name)]
        for name in _DVFL_LISTS.values()
    )
    return train, test


def hmdb_lists(request: SplitRequest) -> Found | None:
    """HMDB51's first split: `testTrainMulti_7030_splits/<class>_test_split1.txt`, `<video>.avi 1|2|0` a line.

    1 is for training, 2 for testing, 0 for neither, says the README among the three splits on
    https://serre-lab.clps.brown.edu/resource/hmdb-a-large-human-motion-database/
    """
    ending = "_test_split1.txt"
    folders = (place / inner for place in request.list_places for inner in ("testTrainMulti_7030_splits", "splits"))
    found = _first(folder for folder in folders if folder.is_dir() and any(folder.glob(f"[!.]*{ending}")))
    if found is None:
        return None
    lists = {path.name.removesuffix(ending): path for path in sorted(found.glob(f"[!.]*{ending}"))}
    rows = {
        split: [_Row(f"{name}/{video}", name) for name, path in lists.items() for video in _hmdb_list(path, mark)]
        for split, mark in (("train", "1"), ("test", "2"))
    }
    return _picked(request, found, rows, in_order(lists))


def ssv2_lists(request: SplitRequest) -> Found | None:
    """Something-Something V2: `labels.json`, `train.json`, `validation.json`, and a video `<id>.webm` for each entry.

    An entry's class is its `template` without brackets, and `labels.json` gives the classes' numbers:
    https://www.qualcomm.com/developer/software/something-something-v-2-dataset and, in code,
    https://github.com/mit-han-lab/temporal-shift-module/blob/master/tools/gen_label_sthv2.py
    Testing is on the validation split: the published test split has no labels.
    """
    which = "train" if request.split == "train" else "validation"
    labels, listed = _ssv2_file(request, "labels"), _ssv2_file(request, which)
    if labels is None or listed is None:
        return None
    official = _ssv2_classes(labels)
    rows = {str(request.split): _ssv2_rows(listed, ClassNames(official))}
    return _picked(request, listed, rows, official, _validation_note(request), request.video_folder)


def kinetics_lists(request: SplitRequest) -> Found | None:
    """Kinetics' annotations, `annotations/train.csv` and `val.csv`, with all videos of a split in one folder.

    Columns `label,youtube_id,time_start,time_end,split`; a video is `<youtube_id>_<start>_<end>.mp4`, both times
    in seconds with six digits: https://github.com/cvdfoundation/kinetics-dataset
    """
    own = {"train": _kinetics_file(request, ("train",)), "test": _kinetics_file(request, _KINETICS_TEST_FOLDERS)}
    listed, folder = own[request.split], _kinetics_folder(request)
    if listed is None or folder is None:
        return None
    rows = {path: _kinetics_rows(path) for path in own.values() if path is not None}
    official = in_order(row.class_name for path in rows for row in rows[path])
    notes = _validation_note(request) if listed.stem != "test" else ()
    return _picked(request, listed, {str(request.split): rows[listed]}, official, notes, folder)


def kinetics_folders(request: SplitRequest) -> Found | None:
    """Kinetics as most downloads lay it out: `train/<class>/*.mp4` and `val/<class>/*.mp4`."""
    folders = {"train": request.with_videos.get("train"), "test": _named(request.with_videos, _KINETICS_TEST_FOLDERS)}
    folder = folders[request.split]
    if folder is None or not _class_folders(folder):
        return None
    both = [path for path in folders.values() if path is not None]
    return _from_folder(request, folder, both, _validation_note(request) if folder.name.lower() != "test" else ())


def split_folders(request: SplitRequest) -> Found | None:
    """Anybody's `train/<class>/` and `test/<class>/`; `val` or `validation` serve for `test` where there is none."""
    both = _split_folders(request)
    if both is None:
        return None
    train, test = both
    unused = [path.name for path in request.with_videos.values() if path not in both]
    notes = (f"Of {request.folder}, this is used in neither split: {', '.join(unused)}.",) if unused else ()
    return _from_folder(request, train if request.split == "train" else test, both, notes)


def no_split(request: SplitRequest) -> Found:
    """A folder that says nothing of a split: all of it, for either."""
    note = (
        f"{request.folder} gives no split: all of it, {plural(len(request.videos), 'video')}, is taken for training "
        "and for testing alike. A model tested on what it was trained on looks better than it is."
    )
    return Found(request.videos, _classes(request), (note,), is_split=False)


def names_by_label(refs: Iterable[VideoRef]) -> tuple[str, ...]:
    """The class names of labelled videos, in the order of their labels; empty where a name isn't known."""
    names = {ref.label: ref.class_name for ref in refs}
    known = [names.get(index) for index in range(len(names))]
    return tuple(name for name in known if name is not None) if all(known) else ()


def _by_ucf_groups(request: SplitRequest, videos: Sequence[VideoRef], classes: Sequence[str]) -> Found:
    train, test = by_group(videos)
    links = read_links(request.folder)
    tested = {links.of(ref) for ref in test}
    kept = [ref for ref in train if links.of(ref) not in tested]
    notes: tuple[str, ...] = ("Split by UCF's groups: 1 to 7 are for testing, the others for training.",)
    if len(kept) < len(train):
        notes += (f"{plural(len(train) - len(kept), 'video')} in neither split: linked to a group that is tested on.",)
    return Found(kept if request.split == "train" else test, classes, notes)


@dataclass(frozen=True)
class _Row:
    """A line of a list.

    Attributes:
        text: the video, as the list tells it.
        ending: what its file's name has besides, in the archive that the list is of.
        number: of its class, where the list gives one.
    """

    text: str
    class_name: str
    ending: str = ""
    number: int | None = None

    @property
    def listed(self) -> ListedVideo:
        return ListedVideo(self.text, self.class_name, self.text + self.ending)


def _picked(
    request: SplitRequest,
    path: Path,
    rows: Mapping[str, Sequence[_Row]],
    official: Sequence[str],
    notes: tuple[str, ...] = (),
    right_in: Path | None = None,
) -> Found:
    """The listed videos that are there, labelled, and a note of those that aren't.

    Args:
        path: the list of the split that is asked for, or the folder of its lists.
        rows: of all lists that name videos out of the same folder.
        official: the classes, in the order of their labels.
        right_in: the folder that the listed videos lie right in; None for anywhere below the request's.
    """
    _refuse_unknown(rows[request.split], official, path)
    listed = [row.listed for split in rows for row in rows[split]]
    there = _all_videos(request) if right_in is None else _right_in(right_in, request.folder)
    found = find_listed(listed, there, right_in or request.folder, path)
    mine = [row.listed for row in rows[request.split]]
    refs, repeated = labelled_once([(one, found[one.key]) for one in mine if one.key in found], path)
    missing = list(dict.fromkeys(one.text for one in mine if one.key not in found))
    if not refs:
        first = f"; the first is {missing[0]}" if missing else ""
        raise VideoError(
            f"Not one of the {plural(len(mine), 'video')} that {path} lists for this split is in "
            f"{request.video_folder}{first}.",
            hint="Unpack the videos there, under their published names.",
        )
    if missing:
        notes += (f"{len(missing)} of {len(mine)} videos that {path.name} lists are missing: {_first_few(missing)}.",)
    if repeated:
        notes += (f"{plural(repeated, 'line')} of {path.name} name a video a second time: it counts once.",)
    classes = official if request.classes is None else request.classes
    return Found(with_labels(refs, classes, path), classes, notes, missing=tuple(missing))


def _refuse_unknown(rows: Iterable[_Row], official: Sequence[str], path: Path) -> None:
    known = ClassNames(official)
    unknown = next((row for row in rows if known.find(row.class_name) is None), None)
    if unknown is not None:
        raise VideoError(
            f"{path}: {unknown.text} is of the class {unknown.class_name}, which is none of the data set's "
            f"{len(official)}: {known.first_few()}.",
            hint="Take all lists from one archive.",
        )


def _renumbered_note(request: SplitRequest, numbered: Iterable[tuple[int, str]]) -> tuple[str, ...]:
    """Where the lists number a class otherwise than the model does: labels go by name, and somebody should look."""
    if request.classes is None:
        return ()
    known = ClassNames(request.classes)
    other = next(((number, name) for number, name in numbered if known.find(name) not in (number, None)), None)
    if other is None:
        return ()
    return (f"The lists number {other[1]} {other[0]}, and for the model it is {known.find(other[1])}: names count.",)


def _split_folders(request: SplitRequest) -> tuple[Path, Path] | None:
    train, test = request.with_videos.get("train"), _named(request.with_videos, _TEST_FOLDERS)
    others = request.with_videos.keys() - {"train", *_TEST_FOLDERS}
    return None if train is None or test is None or others else (train, test)


def _from_folder(request: SplitRequest, folder: Path, both: Sequence[Path], notes: tuple[str, ...] = ()) -> Found:
    """A folder per class; a class that only one of `both` has still counts in both."""
    classes = _folder_classes(both) if request.classes is None else request.classes
    return Found(find_videos(folder, classes or None), classes, notes)


def _folder_classes(folders: Sequence[Path]) -> tuple[str, ...]:
    inner = {name for folder in folders for name in _class_folders(folder)}
    return in_order(inner or {ref.class_name for folder in folders for ref in find_videos(folder) if ref.class_name})


def _class_folders(folder: Path) -> list[str]:
    return [path.name for path in visible(folder) if path.is_dir() and holds_videos(path)]


def _classes(request: SplitRequest) -> Sequence[str]:
    return names_by_label(request.videos) if request.classes is None else request.classes


def _validation_note(request: SplitRequest) -> tuple[str, ...]:
    return () if request.split == "train" else ("For testing, its validation split is taken, as is customary.",)


def _right_in(folder: Path, source: Path) -> list[VideoRef]:
    """The videos right inside a folder; reports call them by their paths below `source`."""
    if not folder.is_dir():
        return []
    videos = [path for path in visible(folder) if is_video(path)]
    return [VideoRef(path, name=path.relative_to(source).as_posix()) for path in videos]


def _has(folder: Path, names: Iterable[str]) -> bool:
    return all((folder / name).is_file() for name in names)


def _named(paths: dict[str, Path], names: Iterable[str]) -> Path | None:
    return _first(paths[name] for name in names if name in paths)


def _first(paths: Iterable[Path]) -> Path | None:
    return next(iter(paths), None)


def _first_few(names: Sequence[str]) -> str:
    return first_few_only(names, 3)


def _ucf_list(path: Path) -> list[_Row]:
    rows = []
    for number, line in _lines(path):
        text, blank, last = line.rpartition(" ")
        of_class = read_number(last) if blank else None
        text = line if of_class is None else text.strip()
        name = _folder_of(text)
        if not name:
            raise _unreadable(path, number, line, "<Class>/<video>.avi")
        rows.append(_Row(text, name, number=of_class))
    return rows


def _folder_of(text: str) -> str:
    """The name of the folder that a listed video lies in; empty where the list tells none."""
    return composed(PurePosixPath(text).parent.name)


def _ucf_classes(index: Path, rows: Mapping[str, Sequence[_Row]], path: Path) -> tuple[str, ...]:
    """The classes as `classInd.txt` numbers them; without it as the lists do, or else in order."""
    numbered = [(row.number, row.class_name) for split in rows for row in rows[split] if row.number is not None]
    if index.is_file():
        return by_number([*_ucf_index(index), *numbered], index, first=(1, 0))
    names = in_order(row.class_name for split in rows for row in rows[split])
    return by_number(numbered, path, first=(1, 0)) if numbered else names


def _ucf_index(path: Path) -> list[tuple[int, str]]:
    numbered = []
    for line_number, line in _lines(path):
        first, *name = line.split(maxsplit=1)
        number = read_number(first)
        if number is None or not name:
            raise _unreadable(path, line_number, line, "<number> <Class>")
        numbered.append((number, name[0]))
    return numbered


def _hmdb_list(path: Path, mark: str) -> list[str]:
    """The names in an HMDB51 list that carry `mark`."""
    names = []
    for number, line in _lines(path):
        name, found = line.rsplit(maxsplit=1) if len(line.split()) > 1 else (line, "")
        if found not in ("0", "1", "2") or not name.strip():
            raise _unreadable(path, number, line, "<video>.avi 0, 1 or 2")
        if found == mark:
            names.append(name.strip())
    return names


def _ssv2_file(request: SplitRequest, name: str) -> Path | None:
    folders = [place / "labels" for place in request.list_places] + [request.folder]
    spelled = (f"{name}.json", f"something-something-v2-{name}.json")
    return _first(folder / file for folder in folders for file in spelled if (folder / file).is_file())


def _ssv2_classes(path: Path) -> tuple[str, ...]:
    content = _json(path)
    if not isinstance(content, dict) or sorted(map(str, content.values())) != sorted(map(str, range(len(content)))):
        raise VideoError(
            f"{path} is not Something-Something's: it should map each class's name to its number, from 0 on.",
            hint="Take labels.json from the publisher's archive of labels.",
        )
    return tuple(sorted(content, key=lambda name: int(content[name])))


def _ssv2_rows(path: Path, classes: ClassNames) -> list[_Row]:
    rows = []
    content = _json(path)
    for number, entry in enumerate(content if isinstance(content, list) else [content]):
        try:
            row = _Row(str(entry["id"]), entry["template"].replace("[", "").replace("]", ""), ".webm")
        except (TypeError, KeyError, AttributeError):
            raise VideoError(
                f"{path}, entry {number}: expected an object with `id` and `template`.",
                hint="Take the file from the publisher's archive of labels.",
            ) from None
        if classes.find(row.class_name) is None:
            raise VideoError(
                f"{path}, entry {number}: its template {row.class_name!r} is no class of labels.json.",
                hint="Take both files from the same archive.",
            )
        rows.append(row)
    return rows


def _kinetics_file(request: SplitRequest, names: Sequence[str]) -> Path | None:
    paths = (request.folder / inner / f"{name}.csv" for name in names for inner in ("annotations", ""))
    return _first(path for path in paths if path.is_file() and "youtube_id" in next(_lines(path), (0, ""))[1])


def _kinetics_folder(request: SplitRequest) -> Path | None:
    names = ("train",) if request.split == "train" else _KINETICS_TEST_FOLDERS
    folders = (*(request.folder / name for name in names), request.video_folder)
    return _first(folder for folder in folders if _right_in(folder, request.folder))


def _kinetics_rows(path: Path) -> list[_Row]:
    reader = csv.DictReader(line for _, line in _lines(path))
    rows = []
    for cells in reader:
        name, video, *times = (cells.get(column) or "" for column in _KINETICS_COLUMNS)
        start, end = map(_seconds, times)
        if not (name.strip() and video.strip()) or start is None or end is None or None in cells:
            found = ", ".join(map(str, cells.values()))
            raise _unreadable(path, reader.line_num, found, ", ".join(_KINETICS_COLUMNS))
        rows.append(_Row(f"{video.strip()}_{start:06}_{end:06}", name.strip(), ".mp4"))
    return rows


def _seconds(text: str) -> int | None:
    whole, _, rest = text.strip().partition(".")
    return None if rest.strip("0") else read_number(whole)


def _dvfl_list(path: Path) -> list[_Row]:
    rows = []
    for number, line in _lines(path):
        text, comma, last = line.rpartition(",")
        if not comma:
            text, _, last = line.rpartition(" ")
        text, of_class = text.strip(), read_number(last.strip())
        if number == 1 and of_class is None and not has_ending(Path(text)):  # a header
            continue
        name = _folder_of(text)
        if not name or of_class is None:
            raise _unreadable(path, number, line, "<path>/<Class>/<video>,<number>")
        rows.append(_Row(text, name, number=of_class))
    return rows


def _all_videos(request: SplitRequest) -> list[VideoRef]:
    """Every video at any depth, with UCF's group where its name tells one."""
    folder = request.folder
    return [named_by_folder(path, path.parent, folder) for path in videos_below(folder)]


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a text file that aren't empty, with their numbers."""
    for number, line in enumerate(_text(path).splitlines(), 1):
        if line.strip():
            yield number, line.strip()


def _json(path: Path) -> Any:
    try:
        return json.loads(_text(path))
    except ValueError as error:
        raise VideoError(f"{path} is not JSON: {error}.", hint="Unpack it once more.") from error


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise VideoError(f"{path} is not UTF-8 text.", hint="Unpack it once more.") from error
    except OSError as error:
        raise VideoError(f"{path} can't be read: {error.strerror}.", hint="Check its permissions.") from error


def _unreadable(path: Path, line: int, found: str, expected: str) -> VideoError:
    hint = "Write / for \\ in paths." if "\\" in found else "Unpack the list once more."
    return VideoError(f"{path}, line {line}: expected {expected}, found {found}.", hint=hint)
