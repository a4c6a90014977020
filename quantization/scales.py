"""Scale and zero point of int8 tensors. Free of torch."""

from __future__ import annotations

from pydantic import Field

from dvfl_mobile.documents import Document

ACTIVATION_RANGE = (-128, 127)
WEIGHT_RANGE = (-127, 127)
LEAST_SCALE = 2.0**-24


class Scale(Document):
    """`real = scale · (integer - zero_point)`, integers from -128 to 127."""

    scale: float = Field(gt=0, allow_inf_nan=False)
    zero_point: int = Field(ge=-128, le=127)


RAW_PIXELS = Scale(scale=1.0, zero_point=-128)
"""0 to 255 in whole numbers: int8 holds raw pixels exactly."""


def scale_of_range(low: float, high: float) -> Scale:
    """The scale that spreads the integers over `[low, high]`, widened to hold zero exactly."""
    low, high = min(low, 0.0), max(high, 0.0)
    least, most = ACTIVATION_RANGE
    scale = max((high - low) / (most - least), LEAST_SCALE)
    return Scale(scale=scale, zero_point=int(min(max(least - round(low / scale), least), most)))
