"""Which split is asked for, and what was found: what every layout gets and gives."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from dvfl_mobile.data.classes import loosely
from dvfl_mobile.data.videos import VideoRef, find_videos
from dvfl_mobile.data.walk import holds_videos, visible

SplitName = Literal["train", "test"]


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


def names_by_label(refs: Iterable[VideoRef]) -> tuple[str, ...]:
    """The class names of labelled videos, in the order of their labels; empty where a name isn't known."""
    names = {ref.label: ref.class_name for ref in refs}
    known = [names.get(index) for index in range(len(names))]
    return tuple(name for name in known if name is not None) if all(known) else ()


def classes_of(request: SplitRequest) -> Sequence[str]:
    """The model's classes where there is one, or those of the videos that are there."""
    return names_by_label(request.videos) if request.classes is None else request.classes


def validation_note(request: SplitRequest) -> tuple[str, ...]:
    """What has to be said where the validation split is tested on."""
    return () if request.split == "train" else ("For testing, its validation split is taken, as is customary.",)


Layout = Callable[[SplitRequest], Found | None]
