"""Rows of a list: the videos that they name are found, labelled, and missed aloud."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dvfl_mobile.data.classes import ClassNames
from dvfl_mobile.data.layouts.files import all_videos, videos_right_in
from dvfl_mobile.data.layouts.request import Found, SplitRequest
from dvfl_mobile.data.listed import ListedVideo, find_listed, labelled_once
from dvfl_mobile.data.videos import with_labels
from dvfl_mobile.errors import VideoError
from dvfl_mobile.wording import first_few_only, plural


@dataclass(frozen=True)
class Row:
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


def picked(
    request: SplitRequest,
    path: Path,
    rows: Mapping[str, Sequence[Row]],
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
    there = all_videos(request) if right_in is None else videos_right_in(right_in, request.folder)
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


def _refuse_unknown(rows: Iterable[Row], official: Sequence[str], path: Path) -> None:
    known = ClassNames(official)
    unknown = next((row for row in rows if known.find(row.class_name) is None), None)
    if unknown is not None:
        raise VideoError(
            f"{path}: {unknown.text} is of the class {unknown.class_name}, which is none of the data set's "
            f"{len(official)}: {known.first_few()}.",
            hint="Take all lists from one archive.",
        )


def _first_few(names: Sequence[str]) -> str:
    return first_few_only(names, 3)
