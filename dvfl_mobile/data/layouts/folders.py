"""Folders without lists: `train/` and `test/`, or no split at all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dvfl_mobile.data.classes import in_order
from dvfl_mobile.data.layouts.files import first_named
from dvfl_mobile.data.layouts.request import Found, SplitRequest, classes_of
from dvfl_mobile.data.videos import find_videos
from dvfl_mobile.data.walk import holds_videos, visible
from dvfl_mobile.wording import plural

_TEST_FOLDERS = ("test", "val", "validation", "validate")


def split_folders(request: SplitRequest) -> Found | None:
    """Anybody's `train/<class>/` and `test/<class>/`; `val` or `validation` serve for `test` where there is none."""
    both = train_and_test(request)
    if both is None:
        return None
    train, test = both
    unused = [path.name for path in request.with_videos.values() if path not in both]
    notes = (f"Of {request.folder}, this is used in neither split: {', '.join(unused)}.",) if unused else ()
    return from_folder(request, train if request.split == "train" else test, both, notes)


def no_split(request: SplitRequest) -> Found:
    """A folder that says nothing of a split: all of it, for either."""
    note = (
        f"{request.folder} gives no split: all of it, {plural(len(request.videos), 'video')}, is taken for training "
        "and for testing alike. A model tested on what it was trained on looks better than it is."
    )
    return Found(request.videos, classes_of(request), (note,), is_split=False)


def train_and_test(request: SplitRequest) -> tuple[Path, Path] | None:
    """The folders of a source that is split into two and nothing else."""
    train, test = request.with_videos.get("train"), first_named(request.with_videos, _TEST_FOLDERS)
    others = request.with_videos.keys() - {"train", *_TEST_FOLDERS}
    return None if train is None or test is None or others else (train, test)


def from_folder(request: SplitRequest, folder: Path, both: Sequence[Path], notes: tuple[str, ...] = ()) -> Found:
    """A folder per class; a class that only one of `both` has still counts in both."""
    classes = _folder_classes(both) if request.classes is None else request.classes
    return Found(find_videos(folder, classes or None), classes, notes)


def class_folders(folder: Path) -> list[str]:
    """The names of the folders right inside that hold videos."""
    return [path.name for path in visible(folder) if path.is_dir() and holds_videos(path)]


def _folder_classes(folders: Sequence[Path]) -> tuple[str, ...]:
    inner = {name for folder in folders for name in class_folders(folder)}
    return in_order(inner or {ref.class_name for folder in folders for ref in find_videos(folder) if ref.class_name})
