"""Keep memory that large tensors gave back, for the next ones, in place of fetching it from the system each time."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# Of glibc's <malloc.h>, and its defaults.
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8
_TRIM_THRESHOLD_DEFAULT, _MMAP_MAX_DEFAULT, _AS_MANY_AS_THREADS_NEED = 128 << 10, 65536, 0


@contextmanager
def kept_memory() -> Iterator[None]:
    """Within the block, freed memory stays with the process, where the C library is glibc; then it is given back.

    By itself glibc maps each large tensor anew and unmaps it again, and the system clears every page of it: of a
    nano's forward pass in PyTorch that is a fifth of the time.
    """
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    if not hasattr(libc, "mallopt") or not hasattr(libc, "malloc_trim"):
        yield
        return
    assert libc is not None
    libc.mallopt(_MMAP_MAX, 0)
    libc.mallopt(_TRIM_THRESHOLD, (1 << 31) - 1)
    # Threads have arenas of their own, in which no tensor above 64 MB has room: one for all.
    libc.mallopt(_ARENA_MAX, 1)
    try:
        yield
    finally:
        libc.mallopt(_MMAP_MAX, _MMAP_MAX_DEFAULT)
        libc.mallopt(_TRIM_THRESHOLD, _TRIM_THRESHOLD_DEFAULT)
        libc.mallopt(_ARENA_MAX, _AS_MANY_AS_THREADS_NEED)
        libc.malloc_trim(0)
