"""The names that a pickle may hold: those of torch's own `weights_only` list, numpy's data, and the configuration's."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import torch

CONFIG_NODE = "yacs.config.CfgNode"

_NUMBERS = (
    *("bool", "bool_", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64", "complex64", "complex128"),
)
NUMPY = frozenset(
    (
        "numpy.dtype",
        "numpy.ndarray",
        *(f"numpy.{number}" for number in _NUMBERS),
        *(f"numpy.{core}.multiarray.{name}" for core in ("core", "_core") for name in ("scalar", "_reconstruct")),
    )
)
"""What numbers and arrays of numpy are written with, such as a best accuracy."""


class Unread:
    """Stands in for whatever numpy would make: no weights are of numpy, and nothing of it has to run."""

    def __new__(cls, *_: object) -> Unread:
        return super().__new__(cls)

    def __setstate__(self, state: object) -> None:
        pass


@cache
def allowed() -> Mapping[str, Any]:
    """What torch takes with `weights_only` and nothing else said, by name; as torch itself has it."""
    from torch._weights_only_unpickler import _get_allowed_globals

    return dict(_get_allowed_globals())


@cache
def known() -> frozenset[str]:
    """Every name that a pickle may hold."""
    return frozenset(allowed()) | NUMPY | {CONFIG_NODE}


@cache
def storage_item_bytes() -> Mapping[str, int]:
    """Bytes of a number in each kind of storage; of an untyped one, the numbers are bytes."""
    typed = {
        name: kind.dtype.itemsize
        for name, kind in allowed().items()
        if isinstance(kind, torch.serialization.StorageType)
    }
    return {**typed, "torch.storage.UntypedStorage": 1}


@cache
def dtype_bytes() -> Mapping[str, int]:
    """Bytes of a number of each type."""
    return {name: dtype.itemsize for name, dtype in allowed().items() if isinstance(dtype, torch.dtype)}
