"""HMDB51's first split."""

from __future__ import annotations

from pathlib import Path

from dvfl_mobile.data.classes import in_order
from dvfl_mobile.data.layouts.files import first, lines_of, unreadable
from dvfl_mobile.data.layouts.request import Found, SplitRequest
from dvfl_mobile.data.layouts.rows import Row, picked


def hmdb_lists(request: SplitRequest) -> Found | None:
    """HMDB51's first split: `testTrainMulti_7030_splits/<class>_test_split1.txt`, `<video>.avi 1|2|0` a line.

    1 is for training, 2 for testing, 0 for neither, says the README among the three splits on
    https://serre-lab.clps.brown.edu/resource/hmdb-a-large-human-motion-database/
    """
    ending = "_test_split1.txt"
    folders = (place / inner for place in request.list_places for inner in ("testTrainMulti_7030_splits", "splits"))
    found = first(folder for folder in folders if folder.is_dir() and any(folder.glob(f"[!.]*{ending}")))
    if found is None:
        return None
    lists = {path.name.removesuffix(ending): path for path in sorted(found.glob(f"[!.]*{ending}"))}
    rows = {
        split: [Row(f"{name}/{video}", name) for name, path in lists.items() for video in _hmdb_list(path, mark)]
        for split, mark in (("train", "1"), ("test", "2"))
    }
    return picked(request, found, rows, in_order(lists))


def _hmdb_list(path: Path, mark: str) -> list[str]:
    """The names in an HMDB51 list that carry `mark`."""
    names = []
    for number, line in lines_of(path):
        name, found = line.rsplit(maxsplit=1) if len(line.split()) > 1 else (line, "")
        if found not in ("0", "1", "2") or not name.strip():
            raise unreadable(path, number, line, "<video>.avi 0, 1 or 2")
        if found == mark:
            names.append(name.strip())
    return names
