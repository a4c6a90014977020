"""A FlatBuffer reader for untrusted files: every offset and size is checked.

Only what is asked for is read, a few bytes at a time, so that a file's weights are never held in memory.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

_SIZES = {code: struct.calcsize(f"<{code}") for code in "bBhHiIqQf?"}


class MalformedError(ValueError):
    """The bytes are no such FlatBuffer."""


class Source:
    """The bytes of a file, by position."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDONLY)
        self.size_bytes = os.fstat(self._file).st_size

    def __enter__(self) -> Source:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._file)

    def bytes_at(self, at: int, count: int) -> bytes:
        """Exactly `count` bytes. Raises MalformedError where the file has fewer."""
        if at < 0 or count < 0 or at + count > self.size_bytes:
            raise MalformedError(f"bytes {at} to {at + count} lie outside of {self.size_bytes}")
        data = os.pread(self._file, count, at)
        if len(data) < count:
            raise MalformedError(f"the file ends at byte {at + len(data)}")
        return data

    def number(self, code: str, at: int) -> int | float:
        """The little-endian number at a position, by `struct`'s code."""
        value: int | float = struct.unpack(f"<{code}", self.bytes_at(at, _SIZES[code]))[0]
        return value

    def integer(self, code: str, at: int) -> int:
        """As `number`, of a code of integers."""
        return int(self.number(code, at))

    def root(self, identifier: bytes) -> Table:
        """The outermost table of a file that begins with this identifier."""
        if self.bytes_at(4, 4) != identifier:
            raise MalformedError(f"it doesn't begin as {identifier.decode()} does")
        return Table(self, self.integer("I", 0))


class Table:
    """A table at a position. Fields are named by their place in the schema, from 0; one left out has its default."""

    def __init__(self, source: Source, at: int) -> None:
        self._source = source
        self._at = at
        self._fields = at - source.integer("i", at)
        self._fields_bytes = source.integer("H", self._fields)

    def integer(self, field: int, code: str, default: int = 0) -> int:
        """The integer of a field."""
        at = self._position(field)
        return default if at is None else self._source.integer(code, at)

    def number(self, field: int, default: float = 0.0) -> float:
        """The float32 of a field."""
        at = self._position(field)
        return default if at is None else float(self._source.number("f", at))

    def table(self, field: int) -> Table | None:
        """The table that a field refers to."""
        at = self._position(field)
        return None if at is None else Table(self._source, self._reference(at))

    def text(self, field: int, most_bytes: int) -> str:
        """The beginning of a field's text."""
        start, count = self._vector(field, 1)
        return self._source.bytes_at(start, min(count, most_bytes)).decode("utf-8", "replace")

    def count(self, field: int, item_bytes: int = 4) -> int:
        """How many items a field's vector has."""
        return self._vector(field, item_bytes)[1]

    def region(self, field: int) -> tuple[int, int]:
        """Where in the file a field's vector of bytes begins, and how many they are."""
        return self._vector(field, 1)

    def integers(self, field: int, most: int) -> tuple[int, ...]:
        """A field's vector of int32. Raises MalformedError where it has more than `most`."""
        start, count = self._vector(field, 4, most)
        return struct.unpack(f"<{count}i", self._source.bytes_at(start, 4 * count))

    def tables(self, field: int, most: int) -> Iterator[Table]:
        """A field's vector of tables. Raises MalformedError where it has more than `most`."""
        start, count = self._vector(field, 4, most)
        for index in range(count):
            yield Table(self._source, self._reference(start + 4 * index))

    def _position(self, field: int) -> int | None:
        entry = 4 + 2 * field
        if entry + 2 > self._fields_bytes:
            return None
        offset = self._source.integer("H", self._fields + entry)
        return self._at + offset if offset else None

    def _reference(self, at: int) -> int:
        return at + self._source.integer("I", at)

    def _vector(self, field: int, item_bytes: int, most: int | None = None) -> tuple[int, int]:
        """Where a field's vector begins, and how many items it has."""
        at = self._position(field)
        if at is None:
            return 0, 0
        start = self._reference(at)
        count = self._source.integer("I", start)
        if most is not None and count > most:
            raise MalformedError(f"a vector has {count} items, more than {most}")
        if start + 4 + count * item_bytes > self._source.size_bytes:
            raise MalformedError(f"a vector of {count} items ends outside of the file")
        return start + 4, count
