"""How right a policy is over time, with 95 % intervals by resampling scenes.

Answers that follow each other aren't independent, and neither are the videos that were cut from one recording. So
whole scenes are drawn with replacement, as many as there are, and every figure is taken anew of each draw: the
percentile bootstrap (Efron & Tibshirani 1993, chapter 13).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import FiniteFloat

from dvfl_mobile.data.camera import TICKS_PER_S
from dvfl_mobile.documents import Document
from dvfl_mobile.streaming.policy import Policy
from dvfl_mobile.streaming.scenes import Tally

Floats = NDArray[np.float64]

RESAMPLES = 1000
LEAST_SCENES = 6
"""Below it there are no intervals: so few can hardly be drawn otherwise than they are."""

_TAILS = (0.025, 0.975)


class Figure(Document):
    """A figure, and its 95 % interval where there are scenes enough. None for a time: not within the scene."""

    value: FiniteFloat | None
    interval: tuple[FiniteFloat | None, FiniteFloat | None] | None


class StreamFigures(Document):
    """How right a policy is.

    Attributes:
        right, wrong, silent: shares of the time in which the right label is said, another, or none; together 1.
        decided_median_s, decided_p90_s: within how many seconds half, and nine of ten, of the cuts have their first
            right answer; None without cuts.
        changes_per_minute: how often what is said changes.
        cuts: from one class to another; a perfect app changes as often.
        undecided: cuts without a right answer before the scene ends.
        clips_per_s: what it costs.
    """

    right: Figure
    wrong: Figure
    silent: Figure
    decided_median_s: Figure | None
    decided_p90_s: Figure | None
    changes_per_minute: Figure
    scenes: int
    cuts: int
    undecided: int
    minutes: FiniteFloat
    clips_per_s: FiniteFloat


@dataclass(frozen=True, eq=False)
class Measured:
    """Each figure of P policies, `(P,)`, or of each of R resamples, `(R,P)`; times that never came are infinite."""

    right: Floats
    wrong: Floats
    silent: Floats
    median_s: Floats
    p90_s: Floats
    changes: Floats


def measure(found: Tally, weights: Floats) -> Measured:
    """The figures where scene s counts `weights[r, s]` times, `(R,S)`."""
    seconds = (weights @ found.lengths)[:, None]
    right, wrong = weights @ found.right.T / seconds, weights @ found.wrong.T / seconds
    median_s, p90_s = (_quantiles(found.delays, weights, share) for share in (0.5, 0.9))
    changes = weights @ found.changes.T / seconds * 60
    return Measured(right, wrong, 1 - right - wrong, median_s, p90_s, changes)


def resampled(scenes: int, seed: int) -> Floats:
    """How often each scene is drawn, in each of many draws of as many as there are, `(R,S)`."""
    drawn = np.random.RandomState(seed).randint(0, scenes, (RESAMPLES, scenes))
    return np.stack([np.bincount(row, minlength=scenes) for row in drawn]).astype(np.float64)


@dataclass(frozen=True, eq=False)
class Assessed:
    """What was measured of P policies: as it is, `(1,P)`, and of each resample; None where there are too few scenes."""

    at_once: Measured
    drawn: Measured | None


def assess(found: Tally, seed: int) -> Assessed:
    """Measure a tally, and what its intervals are taken from; the seed is of the resamples."""
    scenes = len(found.lengths)
    drawn = measure(found, resampled(scenes, seed)) if scenes >= LEAST_SCENES else None
    return Assessed(measure(found, np.ones((1, scenes))), drawn)


def figures_of(policies: list[Policy], found: Tally, assessed: Assessed) -> list[StreamFigures]:
    """The figures of each policy."""
    at_once, drawn = assessed.at_once, assessed.drawn
    scenes = len(found.lengths)
    cuts = int((~np.isnan(found.delays[0])).sum())

    def figure(name: str, place: int) -> Figure:
        value = getattr(at_once, name)[0, place]
        return Figure(value=_finite(value), interval=None if drawn is None else _interval(getattr(drawn, name), place))

    return [
        StreamFigures(
            right=figure("right", place),
            wrong=figure("wrong", place),
            silent=figure("silent", place),
            decided_median_s=figure("median_s", place) if cuts else None,
            decided_p90_s=figure("p90_s", place) if cuts else None,
            changes_per_minute=figure("changes", place),
            scenes=scenes,
            cuts=cuts,
            undecided=int(np.isinf(found.delays[place]).sum()),
            minutes=float(found.lengths.sum() / 60),
            clips_per_s=TICKS_PER_S / policy.every,
        )
        for place, policy in enumerate(policies)
    ]


def _quantiles(delays: Floats, weights: Floats, share: float) -> Floats:
    """The least delay within which that share of the cuts is decided, `(R,P)`; NaN for a draw without cuts."""
    is_cut = ~np.isnan(delays[0])
    found = np.full((len(weights), len(delays)), np.nan)
    if not is_cut.any():
        return found
    drawn = weights[:, is_cut]
    total = drawn.sum(1)
    for place, row in enumerate(delays[:, is_cut]):
        order = np.argsort(row, kind="stable")
        so_far = drawn[:, order].cumsum(1)
        first = (so_far >= share * total[:, None] - 1e-9).argmax(1)
        found[:, place] = np.where(total > 0, row[order][first], np.nan)
    return found


def _interval(drawn: Floats, place: int) -> tuple[float | None, float | None]:
    known = np.sort(drawn[~np.isnan(drawn[:, place]), place])
    low, high = (known[min(len(known) - 1, int(tail * len(known)))] for tail in _TAILS)
    return _finite(low), _finite(high)


def _finite(value: float) -> float | None:
    # Sums of floats differ in their last bits with how many policies are summed at once.
    return round(float(value), 9) if np.isfinite(value) else None
