"""The pack's zip: written reproducibly, read without trust."""

from __future__ import annotations

import hashlib
import io
import math
import stat
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from dvfl_mobile.artifacts.manifest import FileEntry
from dvfl_mobile.errors import InputError
from dvfl_mobile.files import atomic_file
from dvfl_mobile.pack import contents
from dvfl_mobile.pack.contents import GoldenVideo, Pack
from dvfl_mobile.spelling import option, spelled
from dvfl_mobile.wording import printable

MOST_BYTES = 5_000_000
# What is read may be a little more than what is written, and unpacks to a few times as much.
_MOST_READ = 8 * 2**20
_MOST_UNPACKED = 64 * 2**20
_MOST_MEMBERS = 256
_EPOCH = (1980, 1, 1, 0, 0, 0)
_HINT = "Make the pack again with: {pack}"


@dataclass(frozen=True)
class OpenPack:
    """A pack that was read: its `pack.json`, that file's SHA-256, and every other file."""

    contents: Pack
    sha256: str
    files: Mapping[str, bytes]

    def thumbnails(self, video: GoldenVideo) -> NDArray[np.float64]:
        """Of every frame: `(N,16,16,3)`."""
        grid = self.contents.grid
        data = np.frombuffer(self.files[video.thumbnails], np.uint8)
        return data.reshape(len(video.frames), grid, grid, 3).astype(np.float64)

    def clip(self, video: GoldenVideo) -> NDArray[np.uint8] | None:
        """Its clip's pixels, `(T,3,S,S)`; None where the pack hasn't got them whole."""
        if video.clip is None:
            return None
        return np.frombuffer(self.files[video.clip], np.uint8).reshape(self.contents.clip.shape)


def pack_bytes(files: Mapping[str, bytes]) -> bytes:
    """A zip of `files` by their names, the same bytes for the same files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in sorted(files):
            info = zipfile.ZipInfo(name, _EPOCH)
            info.create_system, info.external_attr = 3, (stat.S_IFREG | 0o644) << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, files[name], compresslevel=9)
    return buffer.getvalue()


def deflated_size(data: bytes) -> int:
    """About how many bytes of a zip a file takes."""
    return len(zlib.compress(data, 9)) + 200


def entries_of(files: Mapping[str, bytes]) -> tuple[FileEntry, ...]:
    """An entry for each file, in the order of their names."""
    return tuple(
        FileEntry(path=name, size_bytes=len(files[name]), sha256=hashlib.sha256(files[name]).hexdigest())
        for name in sorted(files)
    )


def write(path: Path, data: bytes) -> None:
    """Write a pack atomically.

    Raises:
        OutputError: the place can't be written.
    """
    with atomic_file(path) as partial:
        partial.write_bytes(data)


def read(path: Path) -> OpenPack:
    """Read a pack into memory; nothing is unpacked to disk.

    Raises:
        InputError: there is none, it is no pack, or it holds more than a pack may, or anything but plain files.
    """
    if not path.is_file():
        raise InputError(
            f"{path} does not exist." if not path.exists() else f"{path} is no file.",
            hint=f"Name the pack that the app's tests have, with {option('pack_path', 'pack.zip')}.",
        )
    if path.stat().st_size > _MOST_READ:
        raise InputError(f"{path} is larger than any pack: {path.stat().st_size:,} bytes.", hint=spelled(_HINT))
    try:
        with zipfile.ZipFile(path) as archive:
            files = _members(archive, path)
    # What the zip module raises on nonsense, and zlib in it.
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, OSError, ValueError) as error:
        raise InputError(f"{path} can't be read as a zip: {error}.", hint=spelled(_HINT)) from error
    if contents.NAME not in files:
        raise InputError(f"{path} is no pack: it holds no {contents.NAME}.", hint=spelled(_HINT))
    head = files.pop(contents.NAME)
    pack = contents.read(head, f"{contents.NAME} in {path}")
    _check_members(pack, files, path)
    return OpenPack(pack, hashlib.sha256(head).hexdigest(), files)


def _members(archive: zipfile.ZipFile, path: Path) -> dict[str, bytes]:
    infos = archive.infolist()
    if len(infos) > _MOST_MEMBERS or sum(info.file_size for info in infos) > _MOST_UNPACKED:
        raise InputError(f"{path} holds more than a pack does.", hint=spelled(_HINT))
    files: dict[str, bytes] = {}
    left = _MOST_UNPACKED
    for info in infos:
        _refuse_strange(info, path)
        if info.filename in files:
            raise InputError(f"{path} holds {printable(info.filename)} twice.", hint=spelled(_HINT))
        # What a member announces of its size need not be true.
        with archive.open(info) as member:
            files[info.filename] = member.read(left + 1)
        left -= len(files[info.filename])
        if left < 0:
            raise InputError(f"{path} holds more than a pack does.", hint=spelled(_HINT))
    return files


def _refuse_strange(info: zipfile.ZipInfo, path: Path) -> None:
    """Refuse what isn't a plain file inside the pack: links, folders, encrypted ones, and paths that lead out of it."""
    # Zips from systems without modes say 0.
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG) or info.is_dir() or info.flag_bits & 1:
        raise InputError(f"{path} holds {printable(info.filename)}, which is no plain file.", hint=spelled(_HINT))
    parts = PurePosixPath(info.filename).parts
    if not parts or ".." in parts or info.filename.startswith("/") or "\\" in info.filename or ":" in info.filename:
        raise InputError(f"{path} holds a path that leads out of it: {printable(info.filename)}.", hint=spelled(_HINT))


def _check_members(pack: Pack, files: Mapping[str, bytes], path: Path) -> None:
    listed = {entry.path: entry for entry in pack.members}
    for name in sorted(listed.keys() ^ files.keys()):
        where = f"is missing from {path}" if name in listed else f"in {path} isn't listed in its {contents.NAME}"
        raise InputError(f"{printable(name)} {where}.", hint=spelled(_HINT))
    for name, data in files.items():
        if hashlib.sha256(data).hexdigest() != listed[name].sha256:
            raise InputError(
                f"{printable(name)} in {path} isn't what was packed: its bytes changed.", hint=spelled(_HINT)
            )
    for video in pack.videos:
        thumbnails = len(video.frames) * pack.grid**2 * 3
        sizes: dict[str, int | None] = {video.file: None, video.thumbnails: thumbnails}
        if video.clip is not None:
            sizes[video.clip] = math.prod(pack.clip.shape)
        for needed, size in sizes.items():
            if needed not in files or size not in (None, len(files[needed])):
                raise InputError(f"{printable(needed)} in {path} is missing or has another size.", hint=spelled(_HINT))
