"""Files that nobody may open, watched by the kernel: C++ code doesn't ask Python's audit hooks."""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

_IN_ACCESS, _IN_OPEN = 0x1, 0x20
_EVENT = struct.Struct("iIII")


class Watch:
    """Watches files, on Linux; elsewhere it sees nothing."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = list(paths)
        self._handle = -1
        self._names: dict[int, Path] = {}

    def __enter__(self) -> Watch:
        if sys.platform == "linux":
            libc = ctypes.CDLL(None, use_errno=True)
            self._handle = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
            assert self._handle >= 0, os.strerror(ctypes.get_errno())
            for path in self._paths:
                number = libc.inotify_add_watch(self._handle, os.fsencode(path), _IN_OPEN | _IN_ACCESS)
                assert number >= 0, os.strerror(ctypes.get_errno())
                self._names[number] = path
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._handle >= 0:
            os.close(self._handle)

    def opened(self) -> list[Path]:
        """The files that were opened since the last call."""
        if self._handle < 0:
            return []
        try:
            data = os.read(self._handle, 1 << 20)
        except BlockingIOError:
            return []
        found, at = [], 0
        while at < len(data):
            number, _mask, _cookie, length = _EVENT.unpack_from(data, at)
            found.append(self._names[number])
            at += _EVENT.size + length
        return sorted(set(found))
