"""Packages of benchmarks/ for tests, which are in a checkout and not in a wheel."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


def bring(name: str) -> None:
    """Have a package of benchmarks/ be found by its name.

    `sys.path` stays as it is: when it changes, Python looks for the folders of `tests` anew, and may find the one that
    some distribution left in site-packages.
    """
    folder = BENCHMARKS / name
    spec = importlib.util.spec_from_file_location(
        name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None
    assert spec.loader is not None
    if name not in sys.modules:
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
