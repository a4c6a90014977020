"""The cache of calibrated scales, keyed by the content of all that they depend on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from pydantic import ValidationError

from dvfl_mobile.errors import OutputError
from dvfl_mobile.files import cache_folder, write_text
from dvfl_mobile.quantization.settings import Quantization

_VERSION = "5"  # to be raised when the same inputs are to give other scales


def key_of(parts: Mapping[str, str]) -> str:
    """A name for what depends on `parts`, and on the versions of what computes it."""
    tools = {name: version(name) for name in ("torch", "torchao")}
    text = "\n".join(f"{name}={value}" for name, value in sorted({**parts, **tools, "cache": _VERSION}.items()))
    return hashlib.sha256(text.encode()).hexdigest()


def recall(key: str) -> Quantization | None:
    """What was kept under a key; None if nothing was, or it can't be read any more."""
    try:
        return Quantization.model_validate_json(_place(key).read_bytes())
    except (OSError, OutputError, ValidationError):
        return None


def keep(key: str, settings: Quantization) -> None:
    """Keep scales under a key; where that can't be written, they are found again next time."""
    with suppress(OutputError, OSError):
        write_text(_place(key), settings.model_dump_json())


def _place(key: str) -> Path:
    return cache_folder() / "scales" / f"{key}.json"
