"""How large each operator's values become, and which of them half precision or an int8 scale can't hold.

A float16 ends at 65,504: what goes beyond is infinite, and an engine that computes in half is wrong from there on. A
bfloat16 ends where a float32 does, and holds whatever that does. Clips show only what they reach: `MARGIN` is what must
be left above it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import Field

from dvfl_mobile.documents import Document, Line

MOST_HALF = 65504.0
"""The largest float16."""
MARGIN = 16.0
"""How many times larger than on the clips that were seen a value may become and still be a float16."""

CONSTANT = "constant"
"""What stands for an operator in the row of a weight that half precision can't hold."""

_MOST_FLOAT = 3.4028234663852886e38


class OperatorRange(Document):
    """What one operator gave.

    Attributes:
        operator: such as `linear`, or `constant` for a weight.
        module: the path of its module; empty for none.
        largest: the largest absolute value, over all clips; what isn't finite counts as the largest float32.
        reach: of what is converted to int8: the largest absolute value that its scale can hold; None of floats.
    """

    operator: str
    module: str
    largest: float = Field(ge=0, le=_MOST_FLOAT)
    reach: float | None = Field(default=None, gt=0)

    @property
    def is_saturated(self) -> bool:
        """Whether it becomes larger than its int8 scale can hold."""
        return self.reach is not None and self.largest > self.reach

    @property
    def headroom(self) -> float:
        """How many times larger it may become and still be a float16; below 1 it is none."""
        return MOST_HALF / self.largest if self.largest else float("inf")


class Ranges(Document):
    """The largest absolute value of every operator that computes something, in the order in which they run.

    Behind them stand the weights that half precision can't hold.

    Attributes:
        clips: how many were run.
        source: what they were, in words.
    """

    schema_version: Literal[1] = 1
    clips: int = Field(ge=1)
    source: Line
    rows: tuple[OperatorRange, ...]

    @classmethod
    def of(cls, rows: Iterable[tuple[str, str, float, float | None]], clips: int, source: str) -> Ranges:
        """From each operator's name, module, largest value and reach."""
        found = tuple(
            OperatorRange(operator=operator, module=module, largest=min(largest, _MOST_FLOAT), reach=reach)
            for operator, module, largest, reach in rows
        )
        return cls(clips=clips, source=source, rows=found)

    @property
    def overflowing(self) -> tuple[OperatorRange, ...]:
        """What leaves half precision, in the order in which it comes."""
        return tuple(row for row in self.rows if row.headroom < 1)

    @property
    def near(self) -> tuple[OperatorRange, ...]:
        """What stays in half precision by less than `MARGIN`."""
        return tuple(row for row in self.rows if 1 <= row.headroom < MARGIN)

    @property
    def saturated(self) -> tuple[OperatorRange, ...]:
        """What becomes larger than its int8 scale can hold."""
        return tuple(row for row in self.rows if row.is_saturated)

    @property
    def largest(self) -> OperatorRange | None:
        """The row with the largest value."""
        return max(self.rows, key=lambda row: row.largest, default=None)
