"""Open files that torch.save wrote, without executing anything in them."""

from __future__ import annotations

import zipfile
from collections import OrderedDict
from pathlib import Path, PurePosixPath
from typing import Any

import torch

from dvfl_mobile.errors import CheckpointError
from dvfl_mobile.model.checkpoint.known_names import CONFIG_NODE, NUMPY, Unread
from dvfl_mobile.model.checkpoint.mistaken import HEAD_BYTES, of_text, of_zip, recognised
from dvfl_mobile.model.checkpoint.opened import CheckpointFile
from dvfl_mobile.model.checkpoint.pickled import PickleProblemError, RefusedGlobalsError, Storage
from dvfl_mobile.model.checkpoint.pickles import MAX_PICKLE_BYTES, PickleContents, read_pickle
from dvfl_mobile.model.wording import brief, listed

_ZIP = b"PK\x03\x04"
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_CHUNK_BYTES = 2**20

_AGAIN = "Download or copy it again."
_DISTRUST = "It is damaged or made to harm: get it again from where it came."
_WEIGHTS_ALONE = "Save the weights alone, where it was trained: torch.save(model.state_dict(), ...)."


def read_torch_file(file: CheckpointFile) -> object:
    """What torch.save stored in a file, on the CPU; a yacs configuration in it comes as nested dicts.

    The file is read once without running anything, and refused if it names, does or claims what a checkpoint has no
    need of; only then is it given to torch, with `weights_only`.

    Raises:
        CheckpointError: the file is no such file, is damaged, or was refused.
    """
    path = file.path
    try:
        if file.content.read(4) == _ZIP:
            _check_zip(file)
        else:
            _check_kind(file)
            _check_legacy(file)
    except RefusedGlobalsError as error:
        raise CheckpointError(
            f"{path} names {listed(error.names)}, which no checkpoint has need of. It was refused; "
            "nothing in it was run.",
            hint=f"Use it only from someone you trust. {_WEIGHTS_ALONE}",
        ) from error
    except PickleProblemError as error:
        raise CheckpointError(f"Can't use {path}: {error}. Nothing in it was run.", hint=_DISTRUST) from error
    return _load(file)


def _load(file: CheckpointFile) -> object:
    try:
        # OrderedDict stands in for the configuration's class: the only dict that torch fills beside the plain one.
        stand_ins: list[Any] = [(OrderedDict, CONFIG_NODE), *((Unread, name) for name in NUMPY)]
        with torch.serialization.safe_globals(stand_ins):
            return torch.load(file.content, map_location="cpu", weights_only=True)
    except Exception as error:
        # torch has no exception of its own for a file it can't read: anything from KeyError to RuntimeError comes.
        first_line = str(error).partition("\n")[0]
        raise CheckpointError(f"PyTorch can't read {file.path}: {brief(first_line, 300)}", hint=_AGAIN) from error


def _check_zip(file: CheckpointFile) -> None:
    try:
        with zipfile.ZipFile(file.content) as archive:
            _forget_absent_checksums(archive)
            folder = _check_entries(file, archive)
            contents = read_pickle(archive.read(f"{folder}/data.pkl"))
            sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
            for storage in contents.storages.values():
                _check_storage(storage, sizes.get(f"{folder}/data/{storage.key}"))
            _check_checksums(archive)
    except (zipfile.BadZipFile, EOFError, RuntimeError, ValueError, OSError) as error:
        raise CheckpointError(f"{file.path} is damaged or was cut short ({brief(error, 200)}).", hint=_AGAIN) from error


def _check_entries(file: CheckpointFile, archive: zipfile.ZipFile) -> str:
    """The name of the archive's one folder; raises for what torch.save would never have written."""
    entries = archive.infolist()
    names = [entry.filename for entry in entries]
    parts = [PurePosixPath(name).parts for name in names]
    pickles = [part for part in parts if part[1:] == ("data.pkl",)]
    if any(part[1:] == ("constants.pkl",) for part in parts):
        raise CheckpointError(f"{file.path} is a TorchScript program, not a checkpoint.", hint=_WEIGHTS_ALONE)
    if len(pickles) != 1:
        known = of_zip([name for name in names if not name.endswith("/")])
        raise CheckpointError(
            f"{file.path} is a zip archive, but not one that torch.save wrote{f': {known.what}' if known else ''}.",
            hint=known.hint if known else _WEIGHTS_ALONE,
        )
    odd = [name for name, part in zip(names, parts, strict=True) if part[:1] != pickles[0][:1] or ".." in part]
    if odd or len(set(names)) < len(names):
        raise PickleProblemError(
            f"it holds {brief(odd[0]) if odd else 'two entries of one name'}, as torch.save would not"
        )
    unpacked, held = sum(entry.file_size for entry in entries), file.size_bytes
    if unpacked > held:
        raise PickleProblemError(f"it has {held:,} bytes and would unpack to {unpacked:,}")
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise PickleProblemError("its entries are compressed, as torch.save would not")
    if archive.getinfo(f"{pickles[0][0]}/data.pkl").file_size > MAX_PICKLE_BYTES:
        raise PickleProblemError(f"its pickle is larger than {MAX_PICKLE_BYTES:,} bytes")
    return pickles[0][0]


def _check_storage(storage: Storage, held: int | None) -> None:
    if held is None:
        raise PickleProblemError(f"the numbers under {brief(storage.key)} are missing")
    if storage.size_bytes > held:
        raise PickleProblemError(
            f"the numbers under {brief(storage.key)} claim {storage.size_bytes:,} bytes where {held:,} are kept"
        )


def _forget_absent_checksums(archive: zipfile.ZipFile) -> None:
    """torch.serialization.set_crc32_options(False) leaves every checksum 0."""
    if not any(entry.CRC for entry in archive.infolist()):
        for entry in archive.infolist():
            entry.CRC = None  # type: ignore[assignment]


def _check_checksums(archive: zipfile.ZipFile) -> None:
    for entry in archive.infolist():
        with archive.open(entry) as file:
            while file.read(_CHUNK_BYTES):
                pass


def _check_kind(file: CheckpointFile) -> None:
    """Refuse, by what it is, a file that begins as no checkpoint does."""
    known = recognised(file.content.read(HEAD_BYTES), file.path.name)
    if known is not None:
        raise CheckpointError(f"{file.path} is not a checkpoint: it is {known.what}.", hint=known.hint)


def _check_legacy(file: CheckpointFile) -> None:
    """torch.save before 1.6: five pickles (magic number, version, system, value, storage keys), then the numbers."""
    path, data = file.path, file.content.read(5 * MAX_PICKLE_BYTES)
    start, pickles = 0, []
    for index in range(5):
        pickles.append(_read_next(path, data[start:], index))
        start += pickles[-1].end
        if index == 0 and pickles[0].value != _LEGACY_MAGIC:
            raise CheckpointError(f"{path} is a pickle, but not one that torch.save wrote.", hint=_WEIGHTS_ALONE)
    claims, keys = pickles[3].storages, pickles[4].value
    if not isinstance(keys, list) or sorted(claims) != sorted(map(str, keys)):
        raise PickleProblemError("its list of stored numbers is not that of its tensors")
    held = file.size_bytes - start
    needed = sum(8 + storage.size_bytes for storage in claims.values())
    if needed > held:
        raise CheckpointError(f"{path} was cut short: {held:,} of {needed:,} bytes of numbers.", hint=_AGAIN)


def _read_next(path: Path, data: bytes, index: int) -> PickleContents:
    try:
        return read_pickle(data[:MAX_PICKLE_BYTES])
    except RefusedGlobalsError:
        raise
    except PickleProblemError as error:
        if index:
            raise
        known = of_text(data[:HEAD_BYTES])
        what = f"it is {known.what}" if known else "neither torch.save nor safetensors wrote it"
        hint = known.hint if known else "Give a .pth file of a DVFL-Net or Video-FocalNet student, or a .safetensors."
        raise CheckpointError(f"{path} is not a checkpoint: {what}.", hint=hint) from error
