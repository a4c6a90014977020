"""Walk a folder for videos: what counts as data, once each.

Hidden folders and files (`.ipynb_checkpoints`, `._a.mp4`) and what systems leave behind (`__MACOSX`, `@eaDir`) don't
count. Links are followed, to files and to folders; one that leads back to a folder around it ends there, and a file or
a folder that is reached twice counts once.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from dvfl_mobile.errors import VideoError

ENDINGS = ".3gp .asf .avi .flv .gif .m2ts .m4v .mkv .mov .mp4 .mpeg .mpg .mts .ogv .ts .vob .webm .wmv"

_NOT_DATA = (".", "__MACOSX", "@eaDir", "#recycle", "$RECYCLE.BIN")
_ENDINGS = frozenset(ENDINGS.split())

FileId = tuple[int, int] | str
"""What tells whether two paths lead to one file."""


def visible(folder: Path) -> list[Path]:
    """What lies right in a folder and counts as data, in order.

    Raises:
        VideoError: it can't be listed.
    """
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith(_NOT_DATA))
    except OSError as error:
        raise VideoError(f"{folder} can't be listed: {error.strerror}.", hint="Check its permissions.") from error


def videos_below(folder: Path) -> list[Path]:
    """All videos in a folder, at any depth, in order.

    Raises:
        VideoError: a folder in it can't be listed.
    """
    found: dict[FileId, Path] = {}
    for path in _walk(folder):
        found.setdefault(file_id(path), path)
    return sorted(found.values())


def holds_videos(folder: Path) -> bool:
    """Whether there is a video at any depth; the first one ends the search."""
    try:
        return any(True for _ in _walk(folder))
    except VideoError:
        return False


def is_video(path: Path) -> bool:
    """Whether a path is called as a visible video is, and is no folder."""
    return has_ending(path) and not path.name.startswith(_NOT_DATA) and not path.is_dir()


def has_ending(path: Path) -> bool:
    """Whether a path ends as a video does."""
    return path.suffix.lower() in _ENDINGS


def file_id(path: Path) -> FileId:
    """The same for all paths, links and hard links that lead to one file or folder."""
    try:
        found = path.stat()
    except OSError:  # a link to nothing
        return os.path.realpath(path)
    return (found.st_dev, found.st_ino) if found.st_ino else os.path.realpath(path)


def _walk(folder: Path) -> Iterator[Path]:
    """The videos below: real ones before those that only links lead to, so that each goes by its own name."""
    # A link to a folder around the walk would bring in what isn't of it, other classes' videos for one.
    around = (*folder.resolve().parents, *folder.absolute().parents)
    entered = {file_id(outer) for outer in around} - {file_id(folder)}
    waiting = [folder]
    while waiting:
        inner = waiting.pop(0)
        if file_id(inner) in entered:
            continue
        entered.add(file_id(inner))
        paths = visible(inner)
        yield from sorted((path for path in paths if is_video(path)), key=os.path.islink)
        folders = [path for path in paths if path.is_dir()]
        waiting = [path for path in folders if not path.is_symlink()] + waiting
        waiting += [path for path in folders if path.is_symlink()]
