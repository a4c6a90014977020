"""The table of all known operators, by their names in a program."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from dvfl_mobile.mil.ops import boxes, elementwise, images, indexing, layers, reductions, shapes, weights

Operator = Callable[..., Any]

OPERATORS: Mapping[str, Operator] = MappingProxyType(
    {
        **elementwise.OPERATORS,
        **reductions.OPERATORS,
        **layers.OPERATORS,
        **shapes.OPERATORS,
        **indexing.OPERATORS,
        **images.OPERATORS,
        **boxes.OPERATORS,
        **weights.OPERATORS,
    }
)

CONTROL = frozenset({"const", "cond", "while_loop", "classify"})
"""What the executor does itself: constants, blocks within blocks, and labels."""

KNOWN = CONTROL | OPERATORS.keys()
