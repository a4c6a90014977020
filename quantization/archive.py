"""Quantized forms as archives: told from other files without what it takes to read one. Free of torch and torchao."""

from __future__ import annotations

import zipfile
from pathlib import Path

ROOT = "archive"
SETTINGS = "extra/dvfl_mobile.json"


def is_form(path: Path) -> bool:
    """Whether a file is a quantized form that this project wrote, by its content."""
    try:
        with zipfile.ZipFile(path) as archive:
            return f"{ROOT}/{SETTINGS}" in archive.namelist()
    except (OSError, zipfile.BadZipFile):
        return False
