"""Import a runtime without the converters that its package brings: most of the time until a child is ready."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from types import ModuleType


@contextmanager
def unimportable(*names: str) -> Iterator[None]:
    """While in here, packages of these names can't be imported, but for those that are already.

    For libraries that use others where they are there, and only ask whether importing them fails.
    """
    hidden = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


@contextmanager
def bare(package: str) -> Iterator[None]:
    """While in here, a package's modules can be imported without what its own `__init__` imports.

    Afterwards whoever imports the package gets the whole of it.
    """
    if package in sys.modules:
        yield
        return
    parent, _, name = package.rpartition(".")
    spec = find_spec(parent)
    if spec is None or spec.submodule_search_locations is None:
        raise ModuleNotFoundError(f"No module named {parent!r}", name=parent)
    stand_in = ModuleType(package)
    stand_in.__path__ = [f"{folder}/{name}" for folder in spec.submodule_search_locations]
    sys.modules[package] = stand_in
    try:
        yield
    finally:
        with suppress(KeyError):
            del sys.modules[package]
