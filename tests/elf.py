"""What a test wants to know of an ELF file for 64-bit little-endian machines: segments, needed libraries, run path."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_ENTRY = struct.Struct("<qQ")
_LOAD, _DYNAMIC = 1, 2
_NEEDED, _STRINGS, _RPATH, _RUNPATH = 1, 5, 15, 29


@dataclass(frozen=True)
class Segment:
    """A piece of the file that a loader maps; see `Elf64_Phdr` in elf(5)."""

    kind: int
    offset: int
    address: int
    file_bytes: int
    alignment: int


class Elf:
    """An ELF file.

    Attributes:
        machine: 183 for 64-bit Arm.
        loaded: the segments that a loader maps.
        needed: the names of the libraries that it asks for.
        run_paths: where it wants them looked for.
    """

    def __init__(self, path: Path) -> None:
        self._data = path.read_bytes()
        magic, _, self.machine, _, _, start, _, _, _, size, count, *_ = _HEADER.unpack_from(self._data)
        assert magic[:6] == b"\x7fELF\x02\x01", f"{path} is no ELF file of 64 bits, little-endian"
        segments = [self._segment(start + index * size) for index in range(count)]
        self.loaded = [segment for segment in segments if segment.kind == _LOAD]
        [dynamic] = [segment for segment in segments if segment.kind == _DYNAMIC]
        entries = _ENTRY.iter_unpack(self._data[dynamic.offset : dynamic.offset + dynamic.file_bytes])
        found = [(tag, value) for tag, value in entries if tag]
        strings = self._offset(dict(found)[_STRINGS])
        self.needed = [self._text(strings + value) for tag, value in found if tag == _NEEDED]
        self.run_paths = [self._text(strings + value) for tag, value in found if tag in (_RPATH, _RUNPATH)]

    def fits_pages_of(self, size_bytes: int) -> bool:
        """Whether a system with such pages can map it: then each segment's offset and address end alike in a page."""
        return all(
            segment.alignment % size_bytes == 0 and (segment.address - segment.offset) % size_bytes == 0
            for segment in self.loaded
        )

    def _segment(self, at: int) -> Segment:
        kind, _, offset, address, _, file_bytes, _, alignment = _SEGMENT.unpack_from(self._data, at)
        return Segment(kind, offset, address, file_bytes, alignment)

    def _offset(self, address: int) -> int:
        [offset] = [
            address - segment.address + segment.offset
            for segment in self.loaded
            if segment.address <= address < segment.address + segment.file_bytes
        ]
        return offset

    def _text(self, offset: int) -> str:
        return self._data[offset : self._data.index(b"\0", offset)].decode("ascii")
