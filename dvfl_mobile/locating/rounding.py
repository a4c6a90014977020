"""The error that a recipe's rounding explains at each operator.

An operator is computed a second time as the recipe would round it, on the same inputs: each input and result off by as
much as its type rounds, each weight by as much as its bits do. How far that leaves the exact result is what rounding
explains, at this very operator: a sum that cancels is allowed more than one that doesn't.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from dvfl_mobile.recipes import RECIPES, Weights
from dvfl_mobile.targets import Precision

MARGIN_DB = 12.0
"""How far an operator's error may lie above what rounding explains: four times its amplitude. Rounding is drawn as if
each were independent; roundings that share a cause add up, and approximations of GELU and roots add theirs."""

FLOAT, HALF = 2.0**-22, 2.0**-11
"""Relative steps of float32, two bits wider than its own for approximated functions and other orders of sums; and of
float16, whose one rounding is far above those."""

_LEAST_HALF = 2.0**-24
"""float16's least number above zero. All of its numbers below 2^-14 are multiples of it, and so rounded more coarsely
than by `HALF`."""

_LEAST_DB_IN_HALF = 50.0
_LEAST_DB_SUMMED_IN_HALF = 40.0
"""LiteRT's GPU kernels left 48 dB of a pico's convolutions, whose sums of some hundred products are in half."""


@dataclass(frozen=True)
class Rounding:
    """How a recipe rounds on a target.

    Attributes:
        step: of activations, relative to their size.
        weights: how weights are stored where the reference has them as floats; `float32` where both have the same.
        is_dynamic: whether products read activations in int8, scaled token by token.
        least_db: an error that lies below this is too small to matter, whatever explains it.
        reason: all of this in a sentence.
    """

    step: float
    weights: Weights
    is_dynamic: bool
    least_db: float
    reason: str


def rounding_of(target: str, recipe: str, computes_in: Precision | None = None) -> Rounding:
    """How a recipe rounds on a target, which may compute in half what the recipe itself leaves in float32.

    Args:
        computes_in: what a device computes floats in, whatever recipe and target say; None: as they say.
    """
    known = RECIPES[recipe]
    # A quantized graph holds its integers, as the reference does: they round no more.
    weights: Weights = "float32" if known.is_calibrated else known.weights
    step = {"float32": FLOAT, "float16": HALF}
    made = Rounding(step[known.floats], weights, known.mode == "dynamic", known.least_db, known.rounds)
    floats = computes_in or known.computes_in(target)
    if floats == known.floats:
        return made
    # A recipe or a target says what values are rounded to; a device that computes in half sums in half too.
    least_db = min(made.least_db, _LEAST_DB_IN_HALF if computes_in is None else _LEAST_DB_SUMMED_IN_HALF)
    reason = f"{made.reason}; {floats} arithmetic" + (", sums too" if computes_in is not None else "")
    return replace(made, step=step[floats], weights=floats, least_db=least_db, reason=reason)


class Noise:
    """Draws rounding errors, the same ones each time.

    Args:
        rounding: of the recipe.
    """

    def __init__(self, rounding: Rounding) -> None:
        self._rounding = rounding
        self._random = torch.Generator().manual_seed(0)
        self._weights: dict[int, Tensor] = {}

    def activation(self, values: Tensor) -> Tensor:
        """Values, each off by up to half the distance of the numbers around it."""
        return values + self._uniform(values) * _distances(values, self._rounding.step) / 2

    def by_token(self, values: Tensor) -> Tensor:
        """Values, `(...,C)`, each off by up to half a step of its token's own range."""
        span = values.amax(-1, keepdim=True).clamp_min(0) - values.amin(-1, keepdim=True).clamp_max(0)
        return values + self._uniform(values) * span / 255 / 2

    def on_grid(self, values: Tensor, scale: float) -> Tensor:
        """Values, each off by up to half a step of an int8 scale."""
        return values + self._uniform(values) * scale / 2

    def constant(self, key: int, values: Tensor) -> Tensor:
        """A weight or bias as the recipe may store it."""
        if key not in self._weights:
            self._weights[key] = values + self._uniform(values) * self._steps(values) / 2
        return self._weights[key]

    def _steps(self, values: Tensor) -> Tensor:
        kind = self._rounding.weights
        if kind == "float16" or (kind == "lut4" and values.dim() < 2):
            return _distances(values, HALF)
        if kind == "float32" or values.dim() < 2:
            return _distances(values, self._rounding.step)
        rows = values.abs().flatten(1).amax(1).view(-1, *[1] * (values.dim() - 1))
        # Sixteen values placed by k-means round about as ten even steps on either side of zero do.
        return rows.expand_as(values) / {"int8": 127, "int4": 7, "lut4": 5}[kind]

    def _uniform(self, values: Tensor) -> Tensor:
        return torch.rand(values.shape, generator=self._random, dtype=values.dtype) * 2 - 1


def _distances(values: Tensor, step: float) -> Tensor:
    """How far the numbers of a float type lie apart where values are, at most."""
    return values.abs() * 2 * step + (_LEAST_HALF if step == HALF else 0.0)


def allowed_power(explained: float, signal: float, least_db: float) -> float:
    """The power of error that an operator may have: what rounding explains and a margin, or too little to matter."""
    return float(max(explained * 10 ** (MARGIN_DB / 10), signal * 10 ** (-least_db / 10)))
