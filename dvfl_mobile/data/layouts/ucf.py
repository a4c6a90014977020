"""UCF50 and UCF101: the official lists, and the split by group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from dvfl_mobile.data.classes import by_number, in_order, read_number
from dvfl_mobile.data.layouts.files import all_videos, first, folder_of, has_all, lines_of, unreadable
from dvfl_mobile.data.layouts.folders import train_and_test
from dvfl_mobile.data.layouts.request import Found, SplitRequest, classes_of
from dvfl_mobile.data.layouts.rows import Row, picked
from dvfl_mobile.data.leaks import read_links
from dvfl_mobile.data.videos import VideoRef, by_group, with_labels
from dvfl_mobile.wording import plural


def ucf_lists(request: SplitRequest) -> Found | None:
    """UCF101's official list 1: `trainlist01.txt`, `testlist01.txt`, `classInd.txt` of `ucfTrainTestlist`.

    `<Class>/<video>.avi` a line, in the training list with the class's number; `classInd.txt` has `<number> <Class>`.
    Described on https://www.crcv.ucf.edu/data/UCF101.php ("Train/Test Splits for Action Recognition").
    """
    both = ("trainlist01.txt", "testlist01.txt")
    found = first(
        place / inner
        for place in request.list_places
        for inner in ("ucfTrainTestlist", "")
        if has_all(place / inner, both)
    )
    if found is None:
        return None
    lists = {split: found / f"{split}list01.txt" for split in ("train", "test")}
    rows = {split: _ucf_list(path) for split, path in lists.items()}
    official = _ucf_classes(found / "classInd.txt", rows, lists["train"])
    return picked(request, lists[request.split], rows, official)


def ucf_groups(request: SplitRequest) -> Found | None:
    """UCF50 and UCF101 by group: 1 to 7 are the test's, which for UCF101 is official list 1.

    Videos are named `v_<Class>_g<group>_c<clip>`, and a group's clips are cut from one video:
    https://www.crcv.ucf.edu/data/UCF50.php and https://www.crcv.ucf.edu/data/UCF101.php
    """
    if train_and_test(request) or any(ref.group is None for ref in request.videos):
        return None
    return _by_ucf_groups(request, request.videos, classes_of(request))


def regrouped(request: SplitRequest) -> Found | None:
    """All videos of a folder at any depth, split by UCF's groups whatever lists and folders say: this leaks nothing.

    A video's class is that of the folder that it lies in.
    """
    everything = all_videos(request)
    if not everything or any(ref.group is None for ref in everything):
        return None
    names = sorted({ref.class_name for ref in everything if ref.class_name is not None})
    classes = names if request.classes is None else request.classes
    return _by_ucf_groups(request, with_labels(everything, classes, request.folder), classes)


def _by_ucf_groups(request: SplitRequest, videos: Sequence[VideoRef], classes: Sequence[str]) -> Found:
    train, test = by_group(videos)
    links = read_links(request.folder)
    tested = {links.of(ref) for ref in test}
    kept = [ref for ref in train if links.of(ref) not in tested]
    notes: tuple[str, ...] = ("Split by UCF's groups: 1 to 7 are for testing, the others for training.",)
    if len(kept) < len(train):
        notes += (f"{plural(len(train) - len(kept), 'video')} in neither split: linked to a group that is tested on.",)
    return Found(kept if request.split == "train" else test, classes, notes)


def _ucf_list(path: Path) -> list[Row]:
    rows = []
    for number, line in lines_of(path):
        text, blank, last = line.rpartition(" ")
        of_class = read_number(last) if blank else None
        text = line if of_class is None else text.strip()
        name = folder_of(text)
        if not name:
            raise unreadable(path, number, line, "<Class>/<video>.avi")
        rows.append(Row(text, name, number=of_class))
    return rows


def _ucf_classes(index: Path, rows: Mapping[str, Sequence[Row]], path: Path) -> tuple[str, ...]:
    """The classes as `classInd.txt` numbers them; without it as the lists do, or else in order."""
    numbered = [(row.number, row.class_name) for split in rows for row in rows[split] if row.number is not None]
    if index.is_file():
        return by_number([*_ucf_index(index), *numbered], index, first=(1, 0))
    names = in_order(row.class_name for split in rows for row in rows[split])
    return by_number(numbered, path, first=(1, 0)) if numbered else names


def _ucf_index(path: Path) -> list[tuple[int, str]]:
    numbered = []
    for line_number, line in lines_of(path):
        first, *name = line.split(maxsplit=1)
        number = read_number(first)
        if number is None or not name:
            raise unreadable(path, line_number, line, "<number> <Class>")
        numbered.append((number, name[0]))
    return numbered
