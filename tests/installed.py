"""Packages that a test has installed somewhere, as if they were installed in this environment."""

from __future__ import annotations

import sys
from importlib import util
from pathlib import Path

import pytest


def pretend_installed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the package in a folder of its name be found; Python's path stays as it is, which other imports rely on."""
    spec = util.spec_from_file_location(folder.name, folder / "__init__.py", submodule_search_locations=[str(folder)])
    assert spec is not None
    monkeypatch.setitem(sys.modules, folder.name, util.module_from_spec(spec))
