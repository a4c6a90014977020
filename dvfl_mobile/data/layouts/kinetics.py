"""Kinetics: annotations beside the videos, or a folder per class."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from dvfl_mobile.data.classes import in_order, read_number
from dvfl_mobile.data.layouts.files import first, first_named, lines_of, unreadable, videos_right_in
from dvfl_mobile.data.layouts.folders import class_folders, from_folder
from dvfl_mobile.data.layouts.request import Found, SplitRequest, validation_note
from dvfl_mobile.data.layouts.rows import Row, picked

# Kinetics' own test split came without labels at first; what the literature calls its test is val.
_KINETICS_COLUMNS = ("label", "youtube_id", "time_start", "time_end")
_KINETICS_TEST_FOLDERS = ("val", "validation", "validate", "test")


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
    notes = validation_note(request) if listed.stem != "test" else ()
    return picked(request, listed, {str(request.split): rows[listed]}, official, notes, folder)


def kinetics_folders(request: SplitRequest) -> Found | None:
    """Kinetics as most downloads lay it out: `train/<class>/*.mp4` and `val/<class>/*.mp4`."""
    folders = {
        "train": request.with_videos.get("train"),
        "test": first_named(request.with_videos, _KINETICS_TEST_FOLDERS),
    }
    folder = folders[request.split]
    if folder is None or not class_folders(folder):
        return None
    both = [path for path in folders.values() if path is not None]
    return from_folder(request, folder, both, validation_note(request) if folder.name.lower() != "test" else ())


def _kinetics_file(request: SplitRequest, names: Sequence[str]) -> Path | None:
    paths = (request.folder / inner / f"{name}.csv" for name in names for inner in ("annotations", ""))
    return first(path for path in paths if path.is_file() and "youtube_id" in next(lines_of(path), (0, ""))[1])


def _kinetics_folder(request: SplitRequest) -> Path | None:
    names = ("train",) if request.split == "train" else _KINETICS_TEST_FOLDERS
    folders = (*(request.folder / name for name in names), request.video_folder)
    return first(folder for folder in folders if videos_right_in(folder, request.folder))


def _kinetics_rows(path: Path) -> list[Row]:
    reader = csv.DictReader(line for _, line in lines_of(path))
    rows = []
    for cells in reader:
        name, video, *times = (cells.get(column) or "" for column in _KINETICS_COLUMNS)
        start, end = map(_seconds, times)
        if not (name.strip() and video.strip()) or start is None or end is None or None in cells:
            found = ", ".join(map(str, cells.values()))
            raise unreadable(path, reader.line_num, found, ", ".join(_KINETICS_COLUMNS))
        rows.append(Row(f"{video.strip()}_{start:06}_{end:06}", name.strip(), ".mp4"))
    return rows


def _seconds(text: str) -> int | None:
    whole, _, rest = text.strip().partition(".")
    return None if rest.strip("0") else read_number(whole)
