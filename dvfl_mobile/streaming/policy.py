"""Policy: when an app asks its model, how it smooths what the model says, and when it says "I don't know".

The same sums stand in `web_harness/page/policy.js`, and docs/stream.md says them in words. They are made of additions,
multiplications, divisions and `floor` on doubles, in one order, so that every language gives the same bits: the `exp`
of two libraries need not. Decisions are made on probabilities in whole billionths, so that a threshold of 0.6 and a
hysteresis of 0.1 meet 0.5 exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field, ValidationError

from dvfl_mobile.documents import Document
from dvfl_mobile.errors import InputError, UsageError
from dvfl_mobile.files import read_small
from dvfl_mobile.wording import first_problem

BILLION = 10**9
MOST_TICKS = 3000
NOTHING = -1
"""What stands for "don't know" where labels are numbers."""

_MOST_BYTES = 2**16
# ln 2 in two parts, of which the first has so few bits that it times a small whole number is exact (fdlibm).
_LN2, _LN2_HIGH, _LN2_LOW = 0.6931471805599453, 6.93147180369123816490e-01, 1.90821492927058770002e-10
_LOWEST = -40.0
_TERMS = 13

Doubles = NDArray[np.float64]
Whole = NDArray[np.int64]


class Policy(Document):
    """How answers about clips become the answer that a user sees.

    Attributes:
        every: ticks of a clock of 30 a second between two answers.
        half_life_s: seconds after which what the model said counts half; 0: only its last answer counts.
        threshold: the least probability at which a label is said.
        hysteresis: by how much less than the threshold, and than another label, one that was said may have.
    """

    schema_version: Literal[1] = 1
    every: int = Field(default=8, ge=1, le=MOST_TICKS)
    half_life_s: float = Field(default=0.5, ge=0, le=3600, allow_inf_nan=False)
    threshold: float = Field(default=0.5, ge=0, le=1, allow_inf_nan=False)
    hysteresis: float = Field(default=0.1, ge=0, le=1, allow_inf_nan=False)


@dataclass(frozen=True)
class Answer:
    """What is said at one instant.

    Attributes:
        label: index of a class; None: "don't know".
        probability: of that label, or of the likeliest where none is said; smoothed, 0 to 1, nine digits.
        probabilities: of each class, likewise.
    """

    label: int | None
    probability: float
    probabilities: tuple[float, ...]


class Answers:
    """The answers to one stream, one after the other.

    Args:
        policy: how they are smoothed, and when a label is said.
        classes: how many the model knows.
    """

    def __init__(self, policy: Policy, classes: int) -> None:
        self._policy = policy
        self._classes = classes
        self._seconds: float | None = None
        self._smoothed: Doubles | None = None
        self._said = np.array([NOTHING])
        self._threshold = np.array([whole(policy.threshold)])
        self._hysteresis = np.array([whole(policy.hysteresis)])

    def add(self, seconds: float, logits: ArrayLike) -> Answer:
        """What is said now.

        Args:
            seconds: when, by any clock that goes on.
            logits: of the clip that ends now, `(K,)`.

        Raises:
            UsageError: they are no K finite numbers, or the clock stood still.
        """
        given = np.asarray(logits, np.float64)
        if given.shape != (self._classes,) or not np.isfinite(given).all():
            raise UsageError(f"An answer takes {self._classes} finite logits.")
        if not np.isfinite(seconds) or (self._seconds is not None and seconds <= self._seconds):
            raise UsageError(f"An answer at {seconds} s can't follow one at {self._seconds} s.")
        now = probabilities_of(given)
        if self._smoothed is None or self._seconds is None:
            self._smoothed = now
        else:
            self._smoothed = smooth(self._smoothed, now, kept(seconds - self._seconds, self._policy.half_life_s))
        self._seconds = seconds
        parts = billionths(self._smoothed)
        self._said = decide(self._said, parts, self._threshold, self._hysteresis)
        label = int(self._said[0])
        shown = parts[label] if label != NOTHING else parts.max()
        return Answer(None if label == NOTHING else label, float(shown / BILLION), tuple(map(float, parts / BILLION)))


def read_policy(path: Path) -> Policy:
    """A policy from its file.

    Raises:
        InputError: it can't be read, or isn't one.
    """
    hint = f"A policy is JSON with all of its fields, such as {Policy().model_dump_json()}."
    data = read_small(path, _MOST_BYTES, "is too large for a policy", hint=hint)
    try:
        policy = Policy.model_validate_json(data, strict=True)
    except ValidationError as error:
        raise InputError(f"{path} is no policy: {first_problem(error)}.", hint=hint) from error
    missing = sorted(Policy.model_fields.keys() - policy.model_fields_set)
    if missing:
        raise InputError(f"{path} is no policy: it has no {' and no '.join(missing)}.", hint=hint)
    return policy


def whole(share: float) -> int:
    """A number from 0 to 1 in billionths."""
    return int(billionths(np.array(share)))


def billionths(probabilities: Doubles) -> Whole:
    """Each probability in billionths."""
    return np.floor(probabilities * BILLION + 0.5).astype(np.int64)


def probabilities_of(logits: Doubles) -> Doubles:
    """The softmax of logits `(...,K)`, summed from the first class to the last."""
    odds = _exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(odds / np.add.accumulate(odds, -1)[..., -1:], np.float64)


def kept(seconds: float, half_life_s: float) -> float:
    """The share that what was smoothed before keeps after so many seconds."""
    return float(_exp(np.array(-(seconds / half_life_s) * _LN2))) if half_life_s > 0 else 0.0


def smooth(before: Doubles, now: Doubles, keep: float | Doubles) -> Doubles:
    """What was smoothed before, and what the model says now, as one."""
    return before * keep + now * (1.0 - keep)


def decide(said: Whole, parts: Whole, threshold: Whole, hysteresis: Whole) -> Whole:
    """What each of P policies says now, `(P,)`: a label, or `NOTHING`.

    Args:
        said: what each said before, `(P,)`.
        parts: the probabilities of the K classes in billionths, `(K,)`, or `(P,K)`.
        threshold, hysteresis: of each policy, in billionths, `(P,)`.
    """
    each = np.broadcast_to(parts, (len(said), parts.shape[-1]))
    rows = np.arange(len(said))
    best = each.argmax(-1)
    most, held = each[rows, best], each[rows, said]
    stays = (said != NOTHING) & (held >= threshold - hysteresis) & (most - held <= hysteresis)
    return np.where(stays, said, np.where(most >= threshold, best, NOTHING))


def _exp(x: NDArray[Any]) -> NDArray[Any]:
    """e to the power of x <= 0, to a few units in the last place, by operations that every language rounds alike.

    Below -40, where it is under a billionth by far, it is that of -40.
    """
    x = np.maximum(x, _LOWEST)
    doublings = np.floor(x / _LN2 + 0.5)
    rest = x - doublings * _LN2_HIGH - doublings * _LN2_LOW
    total = np.ones_like(rest)
    for term in range(_TERMS, 0, -1):
        total = 1.0 + rest * total / term
    return np.asarray(np.ldexp(total, doublings.astype(np.int64)))


def series(policy: Policy, times: Sequence[float], logits: ArrayLike) -> list[Answer]:
    """The answers to a whole stream: N instants and the logits `(N,K)` of each. Raises what `Answers.add` does."""
    rows = np.asarray(logits, np.float64)
    answers = Answers(policy, rows.shape[-1])
    return [answers.add(seconds, row) for seconds, row in zip(times, rows, strict=True)]
