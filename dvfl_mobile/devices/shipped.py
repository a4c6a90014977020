"""Folders that come with the package and hold no Python: sources of programs, and a page."""

from __future__ import annotations

from pathlib import Path

from dvfl_mobile.errors import DeviceError


def shipped_folder(name: str, marker: str, missing: str) -> Path:
    """Where such a folder is: in the installed package, or beside it in a checkout.

    Args:
        name: its path, such as `web_harness/page`.
        marker: a file in it.
        missing: what to say where it is in neither, up to the place.

    Raises:
        DeviceError: it is in neither.
    """
    package = Path(__file__).parents[1]
    for place in (package / name, package.parent / name):
        if (place / marker).is_file():
            return place
    raise DeviceError(
        f"{missing}, in {package / Path(name).parts[0]}.",
        hint="Install dvfl-mobile again.",
    )
