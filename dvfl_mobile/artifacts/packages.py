"""Checks on an artifact's folder: plain files, relative paths, and sizes within the limit of their kind.

Checked before a byte is hashed and before any runtime opens one: every path in an artifact is a stranger's word. An
`.mlpackage` is a folder of its own, whose `Manifest.json` names its parts.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from dvfl_mobile.errors import ArtifactError

MIB = 2**20
MOST_FILES = 1000
MOST_BYTES = 4096 * MIB
MOST_HEADER_BYTES = {".mlmodel": 64 * MIB, ".json": MIB}
"""By suffix: a program without its weights, and a table of contents. The nano's have less than 1 MiB and 1 KiB."""

_PACKAGE_MANIFEST = "Manifest.json"
_HINT = "Convert again, or get the whole folder again from where it came."


def plain_path(folder: Path, name: str, named_by: Path) -> Path:
    """The path `name` below `folder`, with no link on the way; it need not be there.

    Args:
        named_by: the file that names it, for errors.

    Raises:
        ArtifactError: it leads out of the folder or over a link, or can't be a path.
    """
    parts = PurePosixPath(name).parts
    if not parts or parts[0] == "/" or ".." in parts or "\\" in name or "\0" in name:
        raise ArtifactError(f"{named_by} names a file outside its folder: {name!r}.", hint=_HINT)
    path = folder
    for part in parts:
        path = path / part
        try:
            is_link = path.is_symlink()
        except OSError as error:  # as of a name that is too long
            raise ArtifactError(f"{named_by} names what can't be a file: {name!r}.", hint=_HINT) from error
        if is_link:
            raise ArtifactError(f"{path} is a link; an artifact holds plain files only.", hint=_HINT)
    return path


def check_file(path: Path) -> None:
    """Check that a path is a plain file of a size that its kind can have; it is not opened.

    Raises:
        ArtifactError: it isn't.
    """
    try:
        found = path.lstat()
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path} is missing.", hint="Convert again, or copy the whole folder.") from error
    if not stat.S_ISREG(found.st_mode):
        raise ArtifactError(f"{path} is no plain file, and an artifact holds nothing else.", hint=_HINT)
    most = MOST_HEADER_BYTES.get(path.suffix, MOST_BYTES)
    if found.st_size > most:
        raise ArtifactError(f"{path} is larger than any such file: more than {most // MIB} MiB.", hint=_HINT)


def check_package(package: Path, listed: Collection[Path]) -> None:
    """Check that a package holds plain files only, all of them listed, and names no others.

    Args:
        listed: the package's files, relative to it.

    Raises:
        ArtifactError: something in it is neither, or leads out of it.
    """
    for path in _entries(package):
        if path.is_symlink() or not path.is_file():
            raise ArtifactError(f"{path} is no plain file, and a package holds nothing else.", hint=_HINT)
        if path.relative_to(package) not in listed:
            raise ArtifactError(f"{path} isn't listed in the manifest.json of its artifact.", hint=_HINT)
    contents = package / _PACKAGE_MANIFEST
    if contents.is_file():
        for name in _named_in(contents):
            _check_named(package, name, listed)


def _entries(folder: Path) -> Iterator[Path]:
    """Everything below a folder but the folders themselves; a link is not followed, wherever it leads."""
    for place, folders, files in os.walk(folder):
        yield from (Path(place, name) for name in files)
        yield from (path for path in (Path(place, name) for name in folders) if path.is_symlink())


def _named_in(contents: Path) -> Iterator[str]:
    """The paths that a package's table of contents names, relative to its `Data`."""
    try:
        document: Any = json.loads(contents.read_bytes())
        items = document["itemInfoEntries"].values()
        names = [item["path"] for item in items]
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise ArtifactError(f"{contents} can't be understood.", hint=_HINT) from error
    for name in names:
        yield str(name)


def _check_named(package: Path, name: str, listed: Collection[Path]) -> None:
    """Check that what is named is a listed file, or a folder that holds one."""
    path = plain_path(package / "Data", name, package / _PACKAGE_MANIFEST).relative_to(package)
    if not any(path == file or path in file.parents for file in listed):
        raise ArtifactError(f"{package / _PACKAGE_MANIFEST} names {name!r}, which isn't there.", hint=_HINT)
