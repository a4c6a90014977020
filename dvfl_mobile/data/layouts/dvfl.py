"""DVFL-Net's own lists: `train.csv` and `val.csv`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from dvfl_mobile.data.classes import ClassNames, by_number, read_number
from dvfl_mobile.data.layouts.files import first, folder_of, has_all, lines_of, unreadable
from dvfl_mobile.data.layouts.request import Found, SplitRequest
from dvfl_mobile.data.layouts.rows import Row, picked
from dvfl_mobile.data.videos import VideoRef, named_by_folder
from dvfl_mobile.data.walk import has_ending

_DVFL_LISTS = {"train": "train.csv", "test": "val.csv"}


def dvfl_lists(request: SplitRequest) -> Found | None:
    """The lists that DVFL-Net's own code reads: `train.csv` and `val.csv`, `<path>,<number of the class>` a line.

    The class's name is that of the folder in the path, and the numbers give the classes' order. Those that it brings
    for UCF50 and UCF101 put clips of one group in both: https://github.com/hayatkhan8660-maker/DVFL-Net (DATA.md).
    """
    found = first(place for place in request.list_places if has_all(place, _DVFL_LISTS.values()))
    if found is None:
        return None
    paths = {split: found / name for split, name in _DVFL_LISTS.items()}
    rows = {split: _dvfl_list(path) for split, path in paths.items()}
    numbered = [(row.number, row.class_name) for split in rows for row in rows[split] if row.number is not None]
    # A model's own names give the labels: then the numbers needn't be those of its outputs.
    official = by_number(numbered, found, first=(0,) if request.classes is None else None)
    return picked(request, paths[request.split], rows, official, _renumbered_note(request, numbered))


def dvfl_listed(folder: Path) -> tuple[list[VideoRef], list[VideoRef]] | None:
    """What DVFL-Net's lists in a folder name, to train on and to test on, whether it is there or not; None without."""
    if not has_all(folder, _DVFL_LISTS.values()):
        return None
    train, test = (
        [named_by_folder(folder / row.text, (folder / row.text).parent, folder) for row in _dvfl_list(folder / name)]
        for name in _DVFL_LISTS.values()
    )
    return train, test


def _renumbered_note(request: SplitRequest, numbered: Iterable[tuple[int, str]]) -> tuple[str, ...]:
    """Where the lists number a class otherwise than the model does: labels go by name, and somebody should look."""
    if request.classes is None:
        return ()
    known = ClassNames(request.classes)
    other = next(((number, name) for number, name in numbered if known.find(name) not in (number, None)), None)
    if other is None:
        return ()
    return (f"The lists number {other[1]} {other[0]}, and for the model it is {known.find(other[1])}: names count.",)


def _dvfl_list(path: Path) -> list[Row]:
    rows = []
    for number, line in lines_of(path):
        text, comma, last = line.rpartition(",")
        if not comma:
            text, _, last = line.rpartition(" ")
        text, of_class = text.strip(), read_number(last.strip())
        if number == 1 and of_class is None and not has_ending(Path(text)):  # a header
            continue
        name = folder_of(text)
        if not name or of_class is None:
            raise unreadable(path, number, line, "<path>/<Class>/<video>,<number>")
        rows.append(Row(text, name, number=of_class))
    return rows
