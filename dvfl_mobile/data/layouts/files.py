"""Look for the files of a data set, and read its lists line by line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from dvfl_mobile.data.classes import composed
from dvfl_mobile.data.layouts.request import SplitRequest
from dvfl_mobile.data.videos import VideoRef, named_by_folder
from dvfl_mobile.data.walk import is_video, videos_below, visible
from dvfl_mobile.errors import VideoError


def first(paths: Iterable[Path]) -> Path | None:
    """The first path, or None."""
    return next(iter(paths), None)


def has_all(folder: Path, names: Iterable[str]) -> bool:
    """Whether a folder holds a file of each name."""
    return all((folder / name).is_file() for name in names)


def first_named(paths: dict[str, Path], names: Iterable[str]) -> Path | None:
    """The path of the first name that has one."""
    return first(paths[name] for name in names if name in paths)


def videos_right_in(folder: Path, source: Path) -> list[VideoRef]:
    """The videos right inside a folder; reports call them by their paths below `source`."""
    if not folder.is_dir():
        return []
    videos = [path for path in visible(folder) if is_video(path)]
    return [VideoRef(path, name=path.relative_to(source).as_posix()) for path in videos]


def all_videos(request: SplitRequest) -> list[VideoRef]:
    """Every video at any depth, with UCF's group where its name tells one."""
    folder = request.folder
    return [named_by_folder(path, path.parent, folder) for path in videos_below(folder)]


def lines_of(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a text file that aren't empty, with their numbers."""
    for number, line in enumerate(_text(path).splitlines(), 1):
        if line.strip():
            yield number, line.strip()


def json_of(path: Path) -> Any:
    """What a JSON file holds."""
    try:
        return json.loads(_text(path))
    except ValueError as error:
        raise VideoError(f"{path} is not JSON: {error}.", hint="Unpack it once more.") from error


def unreadable(path: Path, line: int, found: str, expected: str) -> VideoError:
    """The error for a line that isn't as its list's lines are."""
    hint = "Write / for \\ in paths." if "\\" in found else "Unpack the list once more."
    return VideoError(f"{path}, line {line}: expected {expected}, found {found}.", hint=hint)


def folder_of(text: str) -> str:
    """The name of the folder that a listed video lies in; empty where the list tells none."""
    return composed(PurePosixPath(text).parent.name)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise VideoError(f"{path} is not UTF-8 text.", hint="Unpack it once more.") from error
    except OSError as error:
        raise VideoError(f"{path} can't be read: {error.strerror}.", hint="Check its permissions.") from error
