"""Take a DVFL-Net video action recognizer from a checkpoint to a phone: convert, check against PyTorch, ship.

The public API is the names in `__all__`, and nothing else: every module below is private, and may change in any
release. The names stand in `__init__.pyi`, where type checkers read them. Each is imported when it is first used, so
that `import dvfl_mobile` costs nothing and loads no torch.
"""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path
from typing import Any

from dvfl_mobile.version import __version__ as __version__


def _homes() -> dict[str, str]:
    """The module of each public name, as the stub imports it."""
    stub = ast.parse(Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
    imports = [node for node in stub.body if isinstance(node, ast.ImportFrom) and node.module]
    return {alias.name: f"{node.module}" for node in imports for alias in node.names if alias.name != "__version__"}


_HOMES = _homes()
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
