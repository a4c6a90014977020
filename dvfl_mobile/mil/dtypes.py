"""MIL's number types, and the torch and numpy types that hold each.

Types that torch has no arithmetic for stand in the next larger one that holds all their values; the program's declared
type says what they mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import torch


@dataclass(frozen=True)
class DType:
    """One type of MIL.

    Attributes:
        name: as error messages say it.
        bits: of one value in a file.
        held: what holds it here.
        numpy: what holds it outside: inputs, outputs, and bytes in files (sub-byte types: the unpacked bytes).
        least, most: of integer types.
        blob: its number in blob files.
    """

    name: str
    bits: int
    held: torch.dtype
    numpy: np.dtype[np.generic]
    least: int = 0
    most: int = 0
    blob: int = 0

    @property
    def is_integer(self) -> bool:
        return self.most > 0

    @property
    def has_all_of_what_holds_it(self) -> bool:
        """Whether each value of `held` is one of this type: no int4 in an int8."""
        if not self.is_integer:
            return True
        there = torch.iinfo(self.held)
        return self.least <= there.min and there.max <= self.most


def _integer(name: str, bits: int, held: torch.dtype, kind: str, blob: int = 0) -> DType:
    signed = kind.startswith("int")
    least, most = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    return DType(name, bits, held, np.dtype(kind), least, most, blob)


_TABLE = {
    1: DType("bool", 8, torch.bool, np.dtype(np.bool_)),
    10: DType("fp16", 16, torch.float16, np.dtype(np.float16), blob=1),
    11: DType("fp32", 32, torch.float32, np.dtype(np.float32), blob=2),
    12: DType("fp64", 64, torch.float64, np.dtype(np.float64)),
    21: _integer("int8", 8, torch.int8, "int8", 4),
    22: _integer("int16", 16, torch.int16, "int16", 6),
    23: _integer("int32", 32, torch.int32, "int32", 14),
    24: _integer("int64", 64, torch.int64, "int64"),
    25: _integer("int4", 4, torch.int8, "int8", 8),
    31: _integer("uint8", 8, torch.uint8, "uint8", 3),
    32: _integer("uint16", 16, torch.int32, "uint16", 7),
    33: _integer("uint32", 32, torch.int64, "uint32", 15),
    35: _integer("uint4", 4, torch.uint8, "uint8", 11),
    36: _integer("uint2", 2, torch.uint8, "uint8", 10),
    37: _integer("uint1", 1, torch.uint8, "uint8", 9),
    38: _integer("uint6", 6, torch.uint8, "uint8", 13),
    39: _integer("uint3", 3, torch.uint8, "uint8", 12),
}

DTYPES: Mapping[int, DType] = MappingProxyType(_TABLE)
"""By their numbers in MIL's protobuf."""

STRING = 2
"""The number of strings, which no tensor holds here."""

BY_NAME: Mapping[str, DType] = MappingProxyType({dtype.name: dtype for dtype in _TABLE.values()})


def unpack(data: bytes, dtype: DType, count: int) -> np.ndarray:
    """`count` values of a type from their bytes in a file; types below a byte are packed, lowest bits first.

    Raises:
        ValueError: there are too few bytes, or too many.
    """
    expected = (count * dtype.bits + 7) // 8
    if len(data) != expected:
        raise ValueError(f"{count} values of {dtype.name} take {expected} bytes, and there are {len(data)}")
    if dtype.bits >= 8:
        return np.frombuffer(data, dtype.numpy.newbyteorder("<")).astype(dtype.numpy, copy=False)
    bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")[: count * dtype.bits]
    values = np.packbits(bits.reshape(count, dtype.bits), axis=1, bitorder="little").reshape(-1)
    if dtype.least < 0:
        values = np.where(values > dtype.most, values.astype(np.int16) - 2**dtype.bits, values)
    return values.astype(dtype.numpy)


def held(values: np.ndarray, dtype: DType) -> torch.Tensor:
    """An array as the tensor that holds it here."""
    wide = {torch.int32: np.int32, torch.int64: np.int64}.get(dtype.held)
    array = np.ascontiguousarray(values if wide is None else values.astype(wide))
    return torch.from_numpy(array.copy() if not array.flags.writeable else array).reshape(values.shape)
