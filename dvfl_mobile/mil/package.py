"""Read an `.mlpackage` folder: which file is the model, and which hold its weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dvfl_mobile.artifacts.packages import check_file, plain_path
from dvfl_mobile.mil.errors import MalformedError

MODEL_PATH = "@model_path/"
_CONTENTS = "Manifest.json"


def model_file(package: Path) -> Path:
    """The file of a package's model, as its `Manifest.json` names it.

    Raises:
        ArtifactError: it has none, or it isn't a plain file in the package.
    """
    if not package.is_dir():
        raise MalformedError(f"{package} is no folder, and an .mlpackage is one.")
    contents = _plain_file(package, _CONTENTS, package)
    document = _read(contents)
    items, root = document.get("itemInfoEntries"), document.get("rootModelIdentifier")
    item = items.get(root) if isinstance(items, dict) and isinstance(root, str) else None
    path = item.get("path") if isinstance(item, dict) else None
    if not isinstance(path, str):
        raise MalformedError(f"{package}: {_CONTENTS} names no model.")
    return _plain_file(plain_path(package, "Data", contents), path, contents)


def blob_file(package: Path, model: Path, name: str) -> Path:
    """A blob file that a program names, `@model_path/weights/weight.bin`.

    Raises:
        ArtifactError: it is named in another way, or isn't a plain file in the package.
    """
    if not name.startswith(MODEL_PATH):
        raise MalformedError(f"{package}: a weight is in {name!r}, and only {MODEL_PATH}... can be meant.")
    return _plain_file(model.parent, name.removeprefix(MODEL_PATH), model)


def _plain_file(folder: Path, name: str, named_by: Path) -> Path:
    path = plain_path(folder, name, named_by)
    check_file(path)
    return path


def _read(contents: Path) -> dict[str, Any]:
    try:
        document = json.loads(contents.read_bytes())
    except (ValueError, RecursionError) as error:
        raise MalformedError(f"{contents} isn't JSON.") from error
    if not isinstance(document, dict):
        raise MalformedError(f"{contents} holds no object.")
    return document
