"""The sources of the native programs, as they come with the package, and their hash."""

from __future__ import annotations

import hashlib
from pathlib import Path

from dvfl_mobile.devices.shipped import shipped_folder
from dvfl_mobile.files import files_below


def sources_folder() -> Path:
    """Where the programs' sources are: in the installed package, or beside it in a checkout.

    Raises:
        DeviceError: they are in neither.
    """
    missing = "The sources of the native programs aren't where they belong"
    return shipped_folder("android_harness/runner", "CMakeLists.txt", missing)


def sources_sha256(folder: Path | None = None) -> str:
    """The SHA-256, in hex, of the names and bytes of all sources: of this package's, or of those in a folder.

    Raises:
        DeviceError: this package's aren't where they belong.
    """
    folder = sources_folder() if folder is None else folder
    digest = hashlib.sha256()
    for name in files_below(folder):
        if "__pycache__" not in name.parts:
            data = (folder / name).read_bytes()
            digest.update(f"{name.as_posix()}\n{len(data)}\n".encode() + data)
    return digest.hexdigest()
