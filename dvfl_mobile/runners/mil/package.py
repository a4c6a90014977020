"""An `.mlpackage` as a folder of files: what may be opened of it, and nothing outside of it."""

from __future__ import annotations

import json
import stat
from pathlib import Path, PurePosixPath
from typing import Any

from dvfl_mobile.runners.mil.errors import MalformedError

MOST_MANIFEST_BYTES = 1 << 20
MOST_SPEC_BYTES = 256 << 20
"""Programs hold their weights in blob files; the nano's own takes less than 1 MB."""

MODEL_PATH = "@model_path/"


def model_file(package: Path) -> Path:
    """The file of a package's model, as its `Manifest.json` names it.

    Raises:
        MalformedError: it has none, or it isn't in the package.
    """
    if not package.is_dir():
        raise MalformedError(f"{package} is no folder, and an .mlpackage is one.")
    document = _manifest(package)
    items, root = document.get("itemInfoEntries"), document.get("rootModelIdentifier")
    item = items.get(root) if isinstance(items, dict) and isinstance(root, str) else None
    path = item.get("path") if isinstance(item, dict) else None
    if not isinstance(path, str):
        raise MalformedError(f"{package}: Manifest.json names no model.")
    return inside(package, package / "Data", path, MOST_SPEC_BYTES)


def blob_file(package: Path, model: Path, name: str) -> Path:
    """A blob file that a program names, `@model_path/weights/weight.bin`.

    Raises:
        MalformedError: it is named in another way, isn't there, or isn't in the package.
    """
    if not name.startswith(MODEL_PATH):
        raise MalformedError(f"{package}: a weight is in {name!r}, and only {MODEL_PATH}... can be meant.")
    return inside(package, model.parent, name.removeprefix(MODEL_PATH), None)


def inside(package: Path, folder: Path, name: str, most_bytes: int | None) -> Path:
    """The ordinary file `name` under `folder`, if it and all above it are in the package and none is a link.

    Raises:
        MalformedError: it isn't.
    """
    pure = PurePosixPath(name)
    if pure.is_absolute() or not pure.parts or ".." in pure.parts or "\\" in name or "\0" in name:
        raise MalformedError(f"{package}: the path {name!r} leaves the package.")
    path = folder.joinpath(*pure.parts)
    for part in [path, *path.parents]:
        if part == package:
            break
        if part.is_symlink():
            raise MalformedError(f"{package}: {part.relative_to(package)} is a link, and a package has none.")
    try:
        found = path.lstat()
    except OSError as error:
        raise MalformedError(f"{package}: {name} is named, and isn't there.") from error
    if not stat.S_ISREG(found.st_mode):
        raise MalformedError(f"{package}: {name} is no ordinary file.")
    if most_bytes is not None and found.st_size > most_bytes:
        raise MalformedError(f"{package}: {name} has {found.st_size} bytes, and {most_bytes} are the most it may have.")
    return path


def _manifest(package: Path) -> dict[str, Any]:
    path = inside(package, package, "Manifest.json", MOST_MANIFEST_BYTES)
    try:
        document = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise MalformedError(f"{package}: Manifest.json isn't JSON.") from error
    if not isinstance(document, dict):
        raise MalformedError(f"{package}: Manifest.json holds no object.")
    return document
