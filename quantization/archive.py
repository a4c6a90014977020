"""Quantized forms as archives, recognised without what it takes to read one. Free of torch and torchao."""

from __future__ import annotations

import zipfile

from dvfl_mobile.errors import CheckpointError
from dvfl_mobile.model.checkpoint.opened import CheckpointFile

ROOT = "archive"
SETTINGS = "extra/dvfl_mobile.json"


def is_form(file: CheckpointFile) -> bool:
    """Whether a file is a quantized form that this project wrote, by its content; False where it can't be read."""
    try:
        with zipfile.ZipFile(file.content) as archive:
            return f"{ROOT}/{SETTINGS}" in archive.namelist()
    except (OSError, zipfile.BadZipFile, CheckpointError):
        return False
