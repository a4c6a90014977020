"""The source files of the installed package."""

from __future__ import annotations

from pathlib import Path

import dvfl_mobile
from dvfl_mobile import converters, quantization


def modules() -> dict[str, Path]:
    """Every module of the installed package, by its name without the package: `converters.base`."""
    folders = {
        "": Path(dvfl_mobile.__file__).parent,
        "converters": Path(converters.__file__).parent,
        "quantization": Path(quantization.__file__).parent,
    }
    found = {}
    for prefix, folder in folders.items():
        for path in folder.rglob("*.py"):
            parts = path.relative_to(folder).with_suffix("").parts
            found[".".join(part for part in (prefix, *parts) if part and part != "__init__")] = path
    return found
