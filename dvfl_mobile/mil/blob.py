"""The reader of blob files, where an ML program keeps its weights.

The format (MILBlob, storage version 2), little-endian: a header of 64 bytes, `count: u32, version: u32`, zeros; then at
the offset that the program names, a record of 64 bytes, `0xDEADBEEF: u32, type: u32, size: u64, offset: u64, padding
bits: u64`, zeros; and the bytes at that record's offset.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from dvfl_mobile.mil.dtypes import DType, unpack
from dvfl_mobile.mil.errors import MalformedError

_HEADER = struct.Struct("<II56x")
_RECORD = struct.Struct("<IIQQQ32x")
_SENTINEL = 0xDEADBEEF
_VERSION = 2


class BlobFile:
    """One blob file, read through a map of it; every access is checked against its size.

    Raises:
        MalformedError: it isn't such a file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        size = path.stat().st_size
        if size < _HEADER.size:
            raise MalformedError(f"{path} is shorter than the header of a blob file.")
        self._data = np.memmap(path, np.uint8, mode="r")
        _count, version = _HEADER.unpack(self._bytes(0, _HEADER.size))
        if version != _VERSION:
            raise MalformedError(f"{path} is of storage version {version}; {_VERSION} is known.")

    def read(self, offset: int, dtype: DType, count: int) -> np.ndarray:
        """`count` values of a type from the record at `offset`, `(count,)`.

        Raises:
            MalformedError: there is no such record, it is of another type or size, or it leaves the file.
        """
        sentinel, kind, size, start, _padding = _RECORD.unpack(self._bytes(offset, _RECORD.size))
        if sentinel != _SENTINEL:
            raise MalformedError(f"{self._path} has no record at {offset}.")
        if kind != dtype.blob:
            raise MalformedError(f"{self._path}: the record at {offset} is of type {kind}, and {dtype.name} is meant.")
        try:
            return unpack(self._bytes(start, size), dtype, count)
        except ValueError as error:
            raise MalformedError(f"{self._path}: at {offset}, {error}.") from error

    def _bytes(self, start: int, size: int) -> bytes:
        if start + size > len(self._data):
            raise MalformedError(f"{self._path} ends before {start + size}.")
        return self._data[start : start + size].tobytes()
