"""Message framing between parent and child: a JSON object and an array, each with its length.

Nothing is pickled. Neither side takes a message at its word: lengths are bounded, and an array has to fit its shape.
"""

from __future__ import annotations

import json
import math
import socket
import struct
import time
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

_LENGTHS = struct.Struct(">QQ")
_DTYPES = {name: np.dtype(name) for name in ("bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32")}
NO_ARRAY: NDArray[Any] = np.zeros(0, np.uint8)

Document = dict[str, Any]


class Message(NamedTuple):
    """What was sent; `array` is empty where none was."""

    document: Document
    array: NDArray[Any]


class BrokenMessageError(Exception):
    """What came is no message."""


class Wire:
    """One end of a connection."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def send(self, document: Document, array: NDArray[Any] = NO_ARRAY, until: float | None = None) -> None:
        """Send a message.

        Args:
            array: of uint8, int32 or float32.
            until: the monotonic clock's time by which it has to be taken.

        Raises:
            TimeoutError: it wasn't taken in time.
            OSError: there is no other end any more.
        """
        about = {"dtype": array.dtype.name, "shape": array.shape}
        text = json.dumps([document, about]).encode("ascii")
        data = np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
        for part in (_LENGTHS.pack(len(text), len(data)), text, data):
            self._limit(until)
            try:
                self._connection.sendall(part)
            except BlockingIOError as error:
                raise TimeoutError from error

    def receive(self, until: float | None = None, most_bytes: int | None = None) -> Message:
        """Wait for a message.

        Args:
            until: the monotonic clock's time by which all of it has to be here.
            most_bytes: what the object and the array may have, each.

        Raises:
            TimeoutError: it wasn't here in time.
            EOFError: the other end is closed.
            BrokenMessageError: it is larger than that, or contradicts itself.
            OSError: there is no other end any more.
        """
        lengths = _LENGTHS.unpack(self._read(_LENGTHS.size, until))
        if most_bytes is not None and max(lengths) > most_bytes:
            raise BrokenMessageError(f"it claims to have {max(lengths)} bytes")
        text, data = (self._read(length, until) for length in lengths)
        try:
            document, about = json.loads(text)
            dtype, shape = _DTYPES[about["dtype"]], [int(side) for side in about["shape"]]
            if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != len(data):
                raise ValueError("the array doesn't fit its shape")
            if not isinstance(document, dict):
                raise ValueError("it holds no object")
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise BrokenMessageError(str(error)) from error
        return Message(document, np.frombuffer(data, dtype).reshape(shape))

    def close(self) -> None:
        """Let the other end know that nothing more comes."""
        self._connection.close()

    def _read(self, size: int, until: float | None) -> bytearray:
        data = bytearray(size)
        rest = memoryview(data)
        while rest:
            self._limit(until)
            try:
                count = self._connection.recv_into(rest)
            except BlockingIOError as error:
                raise TimeoutError from error
            if not count:
                raise EOFError
            rest = rest[count:]
        return data

    def _limit(self, until: float | None) -> None:
        # Past the deadline only what is here already counts: this process may have been stopped for a while.
        self._connection.settimeout(None if until is None else max(0.0, until - time.monotonic()))
