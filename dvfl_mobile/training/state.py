"""The resumable state of a training: a killed one goes on where it was and ends with the same result."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dvfl_mobile.errors import CheckpointError
from dvfl_mobile.files import atomic_file, remove_partials
from dvfl_mobile.model.checkpoint.safetensors_file import load_safetensors, save_safetensors
from dvfl_mobile.training.process_group import ProcessGroup

_SAVE_EVERY_S = 60.0
_FINGERPRINT, _DONE = "fingerprint", "steps_done"


class TrainingState:
    """Tensors that training changes in place, and the file that holds them. Only the first process has one.

    Attributes:
        done: how many steps were done when the training began or went on.
    """

    def __init__(
        self, path: Path | None, fingerprint: str, tensors: Mapping[str, Tensor], processes: ProcessGroup
    ) -> None:
        self._path = path if processes.is_first else None
        self._fingerprint = torch.frombuffer(bytearray.fromhex(fingerprint), dtype=torch.uint8)
        self._tensors = tensors
        self._saved_at = time.monotonic()
        self.done = 0

    def keep(self, done: int, *, now: bool) -> None:
        """Write the state after `done` steps: at once, or where a minute has passed since the last time.

        Raises:
            OutputError: the place can't be written, or the disk is full.
        """
        if self._path is None or not (now or time.monotonic() - self._saved_at >= _SAVE_EVERY_S):
            return
        stored = {name: values.detach().cpu().contiguous() for name, values in self._tensors.items()}
        with atomic_file(self._path) as partial:
            save_safetensors({**stored, _FINGERPRINT: self._fingerprint, _DONE: torch.tensor(done)}, partial)
        self._saved_at = time.monotonic()

    def load(self) -> int:
        """Fill the tensors from the file, if there is one: the number of steps that were done, else 0."""
        if self._path is None:
            return 0
        remove_partials(self._path)
        if not self._path.exists():
            return 0
        stored = load_safetensors(self._path)
        if _FINGERPRINT not in stored or not torch.equal(stored[_FINGERPRINT], self._fingerprint):
            raise CheckpointError(
                f"{self._path} is the state of another training: its settings, weights or clips are not these.",
                hint="Go on with what it was begun with, or remove it to begin anew.",
            )
        done = int(stored[_DONE])
        for name, values in self._tensors.items():
            values.detach().copy_(stored[name])
        return done


def fingerprint_of(facts: Mapping[str, Any]) -> str:
    """The SHA-256, in hex, of everything that fixes the result of a training: valid JSON, by name.

    How many processes there are, and where, isn't among it.
    """
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def begin(path: Path | None, fingerprint: str, tensors: Mapping[str, Tensor], processes: ProcessGroup) -> TrainingState:
    """Begin a training, or go on with that of `path`. All processes go on with what the first one read.

    Args:
        path: where the state is kept; None: nowhere. Whoever calls holds the lock of where the result will be.
        fingerprint: of `fingerprint_of`; the state of another is refused.
        tensors: by name; all that steps change, changed in place.

    Raises:
        UsageError: processes were given different things.
        CheckpointError: the state is that of another training, or damaged.
    """
    processes.check_same(fingerprint)
    state = TrainingState(path, fingerprint, tensors, processes)
    state.done = processes.by_first(state.load)
    for values in tensors.values():
        processes.take_from_first(values.detach())
    return state


def forget(path: Path) -> None:
    """Remove the state of a training whose result is safe elsewhere."""
    path.unlink(missing_ok=True)
    remove_partials(path)
