"""Trace: every operator of an artifact with its value for one clip."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROUND, MOVE = "round", "move"
"""Kinds of operators that compute nothing: those that convert a value to another type, and those that move it."""


@dataclass(frozen=True)
class Step:
    """One operator of an artifact, and what it gave.

    Attributes:
        kind: the operator in words that all targets share: `linear`, `conv`, `gelu`, `add`, `sub`, `mul`, `mean`,
            `rsqrt`, `layer_norm`, `abs`; `ROUND`, or `MOVE` for all else.
        operator: the operator as the artifact calls it.
        name: of its output, different for each.
        reads: names of the values that it reads, constants left out.
        values: its output as the artifact holds it, in its own layout and type.
        scale, zero_point: what its integers stand for; None where it holds floats.
    """

    kind: str
    operator: str
    name: str
    reads: tuple[str, ...]
    values: NDArray[Any]
    scale: float | None = None
    zero_point: int = 0

    @property
    def floats(self) -> NDArray[np.float32]:
        """Its output as numbers."""
        values = np.asarray(self.values, np.float32)
        if self.scale is None:
            return values
        return (values - np.float32(self.zero_point)) * np.float32(self.scale)


@dataclass(frozen=True)
class Trace:
    """All operators of an artifact in order, for one clip.

    Attributes:
        input: the first value, the clip as the artifact takes it; its operator is empty.
        output: the name of the value that holds the logits.
        is_named: whether names are those that the nodes had when it was converted.
        channels_last: whether pictures are held `(N,H,W,C)`, and not `(N,C,H,W)`; None: each value in either way.
        means: how the values were had, in words.
    """

    input: Step
    steps: tuple[Step, ...]
    output: str
    is_named: bool
    channels_last: bool | None
    means: str

    @property
    def by_name(self) -> Mapping[str, Step]:
        """Every step, the input too, by the name of its output."""
        return {step.name: step for step in (self.input, *self.steps)}
