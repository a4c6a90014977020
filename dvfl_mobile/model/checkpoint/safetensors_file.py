"""Read and write safetensors files: weights by name, and a student's metadata in files written here."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from dvfl_mobile.errors import CheckpointError, needs
from dvfl_mobile.model.checkpoint.opened import CheckpointFile
from dvfl_mobile.model.student import METADATA_KEY, StudentMetadata

if TYPE_CHECKING:
    from torch import Tensor


def is_safetensors(file: CheckpointFile) -> bool:
    """True where the content begins as safetensors do: the length of a JSON header, and its opening brace."""
    start = file.content.read(9)
    return len(start) == 9 and start[8:] == b"{" and struct.unpack("<Q", start[:8])[0] < 2**32


def load_safetensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file; raises what `read_safetensors` does."""
    with CheckpointFile(path) as file:
        return read_safetensors(file)[0]


def read_safetensors(file: CheckpointFile) -> tuple[dict[str, Tensor], StudentMetadata | None]:
    """The tensors of a safetensors file, and what a student stored in it says of itself.

    Raises:
        CheckpointError: it is damaged, or was changed after it was written.
        MissingDependencyError: safetensors isn't installed.
    """
    path = file.path
    with needs("safetensors", extra="all", why=f"{path.name} is such a file"):
        from safetensors import SafetensorError
        from safetensors.torch import load
    from dvfl_mobile.model.build import sha256_of_weights

    data = file.content.read()
    try:
        tensors: dict[str, Tensor] = load(data)
    except (SafetensorError, KeyError) as error:
        raise CheckpointError(
            f"{path} is a damaged safetensors file ({error}).", hint="Download or copy it again."
        ) from error
    text = _stored_text(data)
    metadata = None if text is None else _metadata(path, text)
    if metadata is not None and sha256_of_weights(tensors) != metadata.weights_sha256:
        raise CheckpointError(
            f"{path}: its weights are not those that it was saved with.",
            hint="It was damaged or changed after it was written: make it again.",
        )
    return tensors, metadata


def _stored_text(data: bytes) -> str | None:
    """What stands in the header under our key; the header was found sound already."""
    header = json.loads(data[8 : 8 + struct.unpack("<Q", data[:8])[0]])
    text: str | None = header.get("__metadata__", {}).get(METADATA_KEY)
    return text


def save_safetensors(tensors: dict[str, Tensor], path: Path) -> None:
    """Write tensors by name to `path`.

    Raises:
        MissingDependencyError: safetensors isn't installed.
    """
    with needs("safetensors", extra="all", why="weights are stored as safetensors"):
        from safetensors.torch import save
    path.write_bytes(save(tensors))


def _metadata(path: Path, text: str) -> StudentMetadata:
    try:
        return StudentMetadata.model_validate_json(text)
    except ValidationError as error:
        raise CheckpointError(
            f"{path}: what it says of itself can't be read ({error.error_count()} faults, "
            f"first in {'.'.join(map(str, error.errors()[0]['loc']))}).",
            hint="It was written by another version of dvfl-mobile, or changed: make it again.",
        ) from error
