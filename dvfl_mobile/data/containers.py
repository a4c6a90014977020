"""Read from a container's own bytes what FFmpeg doesn't tell: how long it should be, and which chunks are empty."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_MOST_INDEX_BYTES = 2**26


def missing_bytes(path: Path) -> str:
    """Where a Matroska file is shorter than its one segment says (RFC 9559): it counts no frames to compare."""
    with path.open("rb") as file:
        head = file.read(4096)
    if not head.startswith(b"\x1a\x45\xdf\xa3"):
        return ""
    size, at = _ebml_size(head, 4)
    segment = at + size
    if head[segment : segment + 4] != b"\x18\x53\x80\x67":
        return ""
    size, at = _ebml_size(head, segment + 4)
    announced, actual = at + size, path.stat().st_size
    return f"the file has {actual} of the {announced} bytes that it announces" if actual < announced else ""


def _ebml_size(data: bytes, at: int) -> tuple[int, int]:
    """An EBML element's size and where its content begins; a size that isn't given reads as 0 (RFC 8794, 4)."""
    if at >= len(data) or data[at] == 0:
        return 0, at + 1
    length = 9 - data[at].bit_length()
    value = int.from_bytes(data[at : at + length]) & ((1 << 7 * length) - 1)
    is_unknown = value == (1 << 7 * length) - 1
    return (0 if is_unknown else value), at + length


def empty_at_end(path: Path, stream: int) -> int:
    """How many of an AVI stream's last chunks are empty, by its index: they repeat the picture before.

    They are chunks like others for the header's count, and FFmpeg makes no packets of them.
    """
    with path.open("rb") as file:
        sizes = [
            int.from_bytes(entry[12:16], "little")
            for entry in _avi_index(file)
            if entry[:2] == b"%02d" % stream and entry[2:4] in (b"dc", b"db")
        ]
    return next((count for count, size in enumerate(reversed(sizes)) if size), len(sizes))


def _avi_index(file: BinaryIO) -> Iterator[bytes]:
    """The entries of `idx1`, 16 bytes each; none where there is no such chunk in the first RIFF list."""
    if file.read(12)[:4] != b"RIFF":
        return
    while len(head := file.read(8)) == 8:
        size = int.from_bytes(head[4:], "little")
        if head[:4] == b"idx1":
            index = file.read(min(size, _MOST_INDEX_BYTES))
            yield from (index[at : at + 16] for at in range(0, len(index) - 15, 16))
            return
        file.seek(size + size % 2, 1)
