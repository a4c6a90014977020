"""Files that torch.save wrote, opened without running anything in them."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import torch

from dvfl_mobile.errors import CheckpointError
from dvfl_mobile.model.pickles import CONFIG_NODE

_ZIP = b"PK\x03\x04"


def load_torch_file(path: Path) -> object:
    """What torch.save stored in `path`, on the CPU; a yacs configuration in it comes as plain nested dicts.

    Raises:
        CheckpointError: the file is no such file, is damaged, or names anything that a checkpoint has no need of.
    """
    is_zip = path.read_bytes()[:4] == _ZIP
    try:
        # OrderedDict stands in for the configuration's class: the only dict torch fills that runs nothing of its own.
        with torch.serialization.safe_globals([(OrderedDict, CONFIG_NODE)]):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    except Exception as error:
        raise CheckpointError(f"Can't read {path}: {error}") from error
