"""Compact values of each stage: few enough to send, enough to distinguish the faults.

All of it is whole numbers or a plain choice of values, so that Kotlin and Swift get the same.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

GRID = 16
_SAMPLES = 6000


def sample_stride(count: int) -> int:
    """How far apart samples of `count` values lie: 1 where there are few, else about `count` / 6000.

    It is a prime that doesn't divide `count`, so that no row, column or channel is left out.
    """
    stride = max(count // _SAMPLES, 1)
    while stride > 1 and (not _is_prime(stride) or count % stride == 0):
        stride += 1
    return stride


def sampled(values: NDArray[Any], stride: int) -> NDArray[Any]:
    """Every `stride`-th value, from the first, in the order in which they lie."""
    return np.ascontiguousarray(values).reshape(-1)[::stride]


def thumbnail(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The rounded means of 16x16 blocks of a picture `(h,w,3)`, h and w at least 16: `(16,16,3)`.

    Block i of a side of n pixels holds those from i * n // 16 to (i + 1) * n // 16, the last not included.
    """
    height, width = picture.shape[:2]
    rows, columns = _edges(height), _edges(width)
    sums = np.add.reduceat(np.add.reduceat(picture.astype(np.int64), rows[:-1], 0), columns[:-1], 1)
    count = (np.diff(rows)[:, None] * np.diff(columns)[None, :])[:, :, None]
    return ((2 * sums + count) // (2 * count)).astype(np.uint8)


def sha256(values: NDArray[Any]) -> str:
    """Of an array's bytes, in its order, little-endian."""
    return hashlib.sha256(little_endian(values)).hexdigest()


def little_endian(values: NDArray[Any]) -> bytes:
    """An array's bytes as phones have them."""
    return values.astype(values.dtype.newbyteorder("<"), order="C", copy=False).tobytes()


def _edges(length: int) -> NDArray[np.int64]:
    return np.arange(GRID + 1) * length // GRID


def _is_prime(number: int) -> bool:
    return number > 1 and all(number % divisor for divisor in range(2, int(number**0.5) + 1))
