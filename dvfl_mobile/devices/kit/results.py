"""Read what a kit brought back: whole and unchanged, or not at all."""

from __future__ import annotations

import hashlib
import re
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dvfl_mobile.devices.kit.record import STARTS_NAME, KitRecord, recorded
from dvfl_mobile.errors import ArtifactError

MEMBER = "kit-results"
FIRST = b"dvfl-mobile-kit-results 1\n"
_MOST_BYTES = 512 * 2**20
_MOST_LINE_BYTES = 200
_HEADER = re.compile(rb"([a-z0-9.-]{1,40}) ([0-9]{1,10}) ([0-9a-f]{64})")
_END = re.compile(rb"end ([0-9a-f]{64})")
_WHEN = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_NO_ZIP = (ValueError, zipfile.BadZipFile, zlib.error, struct.error, NotImplementedError, EOFError, RuntimeError)
"""What a damaged zip makes `zipfile` raise, beside what its name says."""

_AGAIN = "Have the kit run again, and send the file as it leaves it."


@dataclass(frozen=True)
class Start:
    """One start of a program on the phone, as it was recorded there.

    Attributes:
        options: the file that it was given.
        status: its exit status; more than 128 for a signal.
        output, log: of the files that it wrote, what there was.
        state: what the phone said of itself right after.
    """

    program: str
    options: bytes
    lines: tuple[str, ...]
    status: int
    output: bytes | None
    log: bytes
    state: str


@dataclass(frozen=True)
class Results:
    """What a kit brought back, held against the record of the kit.

    Attributes:
        when: by the phone's clock, such as `2026-01-31T12:00:00Z`.
        facts: what the phone said of itself, and `state` how it was before the first start.
    """

    name: str
    record: KitRecord
    when: str
    facts: str
    state: str
    starts: tuple[Start, ...]


def open_results(path: Path) -> Results:
    """The results in a zip that a kit left.

    Raises:
        ArtifactError: it is none, isn't whole, was changed, or is of a kit that wasn't made here.
    """
    files = _files(_member(path), path.name)
    sums = _file(files, "sums", path)
    record = recorded(hashlib.sha256(sums).hexdigest(), path.name)
    # The list is known by its hash; what runs on the phone, by the list.
    hashes = {line.split()[1]: line.split()[0] for line in record.sums.splitlines()}
    lines = [line.split() for line in record.starts.splitlines()]
    if record.sums.encode() != sums or hashes[STARTS_NAME] != hashlib.sha256(record.starts.encode()).hexdigest():
        raise _changed(path.name, "its list of hashes isn't the kit's")
    starts = tuple(_start(files, number, program, hashes, path) for number, program, *_ in lines)
    known = {"sums", "when", "facts", "state"} | {f"{number}.{part}" for number, *_ in lines for part in _PARTS}
    if not set(files) <= known:
        raise _changed(path.name, "it holds files that no kit leaves")
    when = _file(files, "when", path).decode("utf-8", errors="replace").strip()
    if not _WHEN.fullmatch(when):
        raise _changed(path.name, "it doesn't say when it was measured")
    return Results(path.name, record, when, _text(files, "facts", path), _text(files, "state", path), starts)


_PARTS = ("options", "lines", "status", "state", "output", "log")


def _start(files: Mapping[str, bytes], number: str, program: str, hashes: Mapping[str, str], path: Path) -> Start:
    options, status = _file(files, f"{number}.options", path), _file(files, f"{number}.status", path).strip()
    if hashlib.sha256(options).hexdigest() != hashes.get(f"starts/{number}"):
        raise _changed(path.name, f"its start {number} had other options than the kit's")
    if not status.isdigit() or len(status) > 3:
        raise _changed(path.name, f"its start {number} has no exit status")
    lines = _text(files, f"{number}.lines", path).split("\n")
    return Start(
        program=program,
        options=options,
        lines=tuple(lines[:-1]),
        status=int(status),
        output=files.get(f"{number}.output"),
        log=files.get(f"{number}.log", b""),
        state=_text(files, f"{number}.state", path),
    )


def _member(path: Path) -> bytes:
    try:
        with zipfile.ZipFile(path) as archive:
            [entry] = archive.infolist()
            if entry.filename != MEMBER or entry.file_size > _MOST_BYTES:
                raise _changed(path.name, "it isn't what a kit leaves")
            with archive.open(entry) as member:
                data = member.read(_MOST_BYTES + 1)
    except OSError as error:
        raise ArtifactError(f"Can't read {path}: {error.strerror or error}.", hint=_AGAIN) from error
    except _NO_ZIP as error:
        raise _changed(path.name, "it is no zip that a kit leaves") from error
    return data


def _files(data: bytes, name: str) -> dict[str, bytes]:
    """The files in what a phone wrote: each after a line of its name, size and hash; and last a hash of these lines."""
    if not data.startswith(FIRST):
        raise _changed(name, "it isn't what a kit leaves")
    at, index, files = len(FIRST), hashlib.sha256(), dict[str, bytes]()
    while True:
        end = data.find(b"\n", at, at + _MOST_LINE_BYTES)
        line = data[at:end] if end >= 0 else b""
        if found := _HEADER.fullmatch(line):
            key, size = found[1].decode(), int(found[2])
            content = data[end + 1 : end + 1 + size]
            if key in files or len(content) != size or hashlib.sha256(content).hexdigest() != found[3].decode():
                raise _changed(name, "a file in it isn't what the phone wrote")
            index.update(line + b"\n")
            files[key], at = content, end + 1 + size
        elif found := _END.fullmatch(line):
            if found[1].decode() != index.hexdigest() or end + 1 != len(data):
                raise _changed(name, "its end doesn't fit what is before")
            return files
        else:
            raise _changed(name, "it was cut, or changed")


def _file(files: Mapping[str, bytes], key: str, path: Path) -> bytes:
    if key not in files:
        raise _changed(path.name, f"its {key} is missing")
    return files[key]


def _text(files: Mapping[str, bytes], key: str, path: Path) -> str:
    return _file(files, key, path).decode("utf-8", errors="replace")


def _changed(name: str, why: str) -> ArtifactError:
    return ArtifactError(f"{name} can't be believed: {why}.", hint=_AGAIN)
