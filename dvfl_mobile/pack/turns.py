"""The eight orientations of a picture: quarter turns and mirroring."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

UPRIGHT = "upright"


def _turn(quarters: int, *, mirrored: bool) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """Mirror pictures `(...,h,w,3)` if asked to, then turn them counterclockwise."""

    def lay(picture: NDArray[Any]) -> NDArray[Any]:
        return np.rot90(picture[..., ::-1, :] if mirrored else picture, quarters, axes=(-3, -2))

    return lay


TURNS: Mapping[str, Callable[[NDArray[Any]], NDArray[Any]]] = MappingProxyType(
    {
        UPRIGHT: _turn(0, mirrored=False),
        "turned by 90 degrees": _turn(3, mirrored=False),
        "turned by 180 degrees": _turn(2, mirrored=False),
        "turned by 270 degrees": _turn(1, mirrored=False),
        "mirrored": _turn(0, mirrored=True),
        "mirrored and turned by 90 degrees": _turn(3, mirrored=True),
        "mirrored and turned by 180 degrees": _turn(2, mirrored=True),
        "mirrored and turned by 270 degrees": _turn(1, mirrored=True),
    }
)


def turn_between(upright: NDArray[Any], stored: NDArray[Any]) -> str:
    """The name of the turn that makes the stored picture of the upright one."""
    for name, lay in TURNS.items():
        if np.array_equal(lay(upright), stored):
            return name
    raise ValueError("not the same picture")
