"""Location: the document that locating ends with. Free of torch, so that reports can load it."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

import numpy as np
from pydantic import Field, FiniteFloat

from dvfl_mobile.artifacts.manifest import ArtifactFacts
from dvfl_mobile.documents import Decibels, Document, Line
from dvfl_mobile.metrics import Floats


class Cause(StrEnum):
    """What the values of a faulty operator look like."""

    OVERFLOW = "float16 overflow"
    SATURATED = "saturated scale"
    EPSILON = "wrong epsilon"
    FACTOR = "constant factor"
    OFFSET = "constant offset"
    LAYOUT = "wrong layout"
    ROUNDING = "other rounding"
    UNKNOWN = "unknown"


class ValueStats(Document):
    """A tensor in a few figures, over its finite values.

    Attributes:
        saturated: share of int8 values at -128 or 127; None where they aren't int8.
        non_finite: how many values are NaN or infinite.
    """

    count: int
    least: FiniteFloat
    greatest: FiniteFloat
    mean: FiniteFloat
    std: FiniteFloat
    saturated: FiniteFloat | None = None
    non_finite: int = 0

    @classmethod
    def of(cls, values: Floats, saturated: float | None = None) -> ValueStats:
        """Of any array."""
        finite = values[np.isfinite(values)]
        some = finite if finite.size else np.zeros(1)
        return cls(
            count=values.size,
            least=float(some.min()),
            greatest=float(some.max()),
            mean=float(some.mean()),
            std=float(some.std()),
            saturated=saturated,
            non_finite=values.size - finite.size,
        )


class OperatorDeviation(Document):
    """How far one operator of the artifact is from the reference's.

    Attributes:
        operator: as the artifact calls it.
        name: of its value, as the artifact calls it.
        module: path of the module of the deploy form that it belongs to.
        own_db: its own error: SQNR against the reference's operator on what the artifact's own operator read; None
            where a value isn't finite.
        explained_db: what the recipe's rounding explains at this operator.
        allowed_db: the least own SQNR within tolerance.
        through_db: SQNR of its value against the reference's, errors of all before it added up.
    """

    index: int
    operator: str
    name: Line
    module: Line
    own_db: Decibels | None
    explained_db: Decibels
    allowed_db: Decibels
    through_db: Decibels | None
    is_beyond: bool


class Place(Document):
    """Where an artifact leaves its reference, and what that looks like.

    Attributes:
        node: the operator of the reference.
        reference: its value in the reference, from the same clip.
        expected: what it would have given on what the artifact gave it to read.
        found: what it gave.
        evidence: the figures that show the cause.
    """

    error: OperatorDeviation
    node: Line
    reference: ValueStats
    expected: ValueStats
    found: ValueStats
    cause: Cause
    evidence: Line


class Location(Document):
    """What locating found in one artifact, on one clip.

    Attributes:
        clip: its name.
        means: how the artifact's values were had.
        runtime_db: SQNR of the traced logits against those of the target's own runtime; None where it wasn't run.
        tolerance: what operators may be off by, in a sentence.
        place: the first operator beyond tolerance; None where none is.
        beyond: places of all operators beyond tolerance in `rows`.
        unmatched: operators of the artifact that compute something and answer to nothing in the reference.
        notes: what a reader must know.
    """

    schema_version: Literal[1] = 1
    tool_version: str
    artifact: ArtifactFacts
    clip: Line
    means: str
    runtime_db: Decibels | None
    tolerance: str
    place: Place | None
    beyond: tuple[int, ...]
    unmatched: tuple[Line, ...]
    rows: tuple[OperatorDeviation, ...] = Field(min_length=1)
    notes: tuple[Line, ...] = ()
