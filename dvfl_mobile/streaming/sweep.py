"""Many policies on the same logits, and those that nothing beats.

The model runs once, at the closest stride of all; every other stride's clips are among those.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from pydantic import FiniteFloat

from dvfl_mobile.documents import Document
from dvfl_mobile.streaming.figures import Assessed, Measured, StreamFigures, assess, figures_of
from dvfl_mobile.streaming.policy import (
    MOST_TICKS,
    NOTHING,
    Policy,
    billionths,
    decide,
    kept,
    probabilities_of,
    smooth,
    whole,
)
from dvfl_mobile.streaming.scenes import Scene, tally
from dvfl_mobile.streaming.watch import Watched

Floats = NDArray[np.float64]

HALF_LIVES_S = (0.0, 0.25, 0.5, 1.0, 2.0)
HYSTERESES = (0.0, 0.1, 0.2)
_STRIDES = (1, 2, 4, 8)
_STEPS = np.array([0.001, 0.1, 0.1, 0.001])


class SweepRow(Document):
    """One policy of a sweep.

    Attributes:
        is_unbeaten: no other is at least as good in everything and better in something: time right, median time to
            decide, changes a minute, clips a second. Differences below 0.1 %, 0.1 s and 0.1 a minute don't count.
        unbeaten_share: in what share of the resamples that holds; None where there are too few scenes.
    """

    policy: Policy
    figures: StreamFigures
    is_unbeaten: bool
    unbeaten_share: FiniteFloat | None


def finest(policy: Policy) -> int:
    """The stride, in ticks, at which the model has to run for a sweep around a policy."""
    return policy.every // 2 if policy.every % 2 == 0 else policy.every


def grid(policy: Policy) -> list[Policy]:
    """The policies of a sweep around one: strides from half of its own, or its own, times smoothings; and itself."""
    strides = [finest(policy) * times for times in _STRIDES if finest(policy) * times <= MOST_TICKS]
    half_lives = sorted({*HALF_LIVES_S, policy.half_life_s})
    hystereses = sorted({*HYSTERESES, policy.hysteresis})
    return [
        policy.model_copy(update={"every": every, "half_life_s": half_life_s, "hysteresis": hysteresis})
        for every, half_life_s, hysteresis in product(strides, half_lives, hystereses)
    ]


def sweep(policies: Sequence[Policy], watched: Watched, scenes: Sequence[Scene], seed: int) -> list[SweepRow]:
    """How right each policy is over a labelled stream, and which of them nothing beats.

    Args:
        watched: at a stride of which each policy's is a multiple.
        seed: of the resamples.
    """
    by_stride = [_at_stride(group, watched, scenes, seed) for group in _grouped(policies)]
    found = [figures for group in by_stride for figures in group.figures]
    ordered = [policy for group in by_stride for policy in group.policies]
    costs = np.array([figures.clips_per_s for figures in found])
    now = unbeaten(_points([group.assessed.at_once for group in by_stride], costs))[0]
    drawn = [group.assessed.drawn for group in by_stride if group.assessed.drawn is not None]
    shares = unbeaten(_points(drawn, costs)).mean(0) if drawn else None
    return [
        SweepRow(
            policy=policy,
            figures=figures,
            is_unbeaten=bool(now[place]),
            unbeaten_share=None if shares is None else float(shares[place]),
        )
        for place, (policy, figures) in enumerate(zip(ordered, found, strict=True))
    ]


def said_by(policies: Sequence[Policy], watched: Watched) -> NDArray[np.int64]:
    """What each of P policies of one stride says at each of N instants, `(P,N)`; to the bit as `policy.Answers` do."""
    half_lives = sorted({policy.half_life_s for policy in policies})
    own = np.array([half_lives.index(policy.half_life_s) for policy in policies])
    threshold = np.array([whole(policy.threshold) for policy in policies])
    hysteresis = np.array([whole(policy.hysteresis) for policy in policies])
    now = probabilities_of(watched.logits.astype(np.float64))
    smoothed = np.repeat(now[:1], len(half_lives), axis=0)
    said = np.full(len(policies), NOTHING)
    rows = []
    for place, seconds in enumerate(watched.seconds):
        if place:
            passed = float(seconds - watched.seconds[place - 1])
            keep = np.array([[kept(passed, half_life_s)] for half_life_s in half_lives])
            smoothed = smooth(smoothed, now[place], keep)
        said = decide(said, billionths(smoothed)[own], threshold, hysteresis)
        rows.append(said)
    return np.stack(rows, axis=1)


def unbeaten(points: Floats) -> NDArray[np.bool_]:
    """Which of P points nothing beats, `(R,P)`; the smaller a coordinate, the better, `(R,P,C)`."""
    beaten = np.zeros(points.shape[:2], bool)
    for place in range(points.shape[1]):
        rival = points[:, place : place + 1]
        beaten |= (rival <= points).all(-1) & (rival < points).any(-1)
    return ~beaten


@dataclass(frozen=True, eq=False)
class _Stride:
    """Policies of one stride, and what was measured of them."""

    policies: list[Policy]
    figures: list[StreamFigures]
    assessed: Assessed


def _grouped(policies: Sequence[Policy]) -> list[list[Policy]]:
    strides = sorted({policy.every for policy in policies})
    return [[policy for policy in policies if policy.every == every] for every in strides]


def _at_stride(policies: list[Policy], watched: Watched, scenes: Sequence[Scene], seed: int) -> _Stride:
    heard = watched.every(policies[0].every)
    found = tally(scenes, heard.seconds, said_by(policies, heard))
    assessed = assess(found, seed)
    return _Stride(policies, figures_of(policies, found, assessed), assessed)


def _points(measured: Sequence[Measured], costs: Floats) -> Floats:
    """What policies are compared by, in whole steps of what counts as a difference, `(R,P,4)`."""
    right, median_s, changes = (
        np.concatenate([getattr(each, name) for each in measured], axis=1) for name in ("right", "median_s", "changes")
    )
    median_s = np.where(np.isnan(median_s), np.inf, median_s)
    points = np.stack([-right, median_s, changes, np.broadcast_to(costs, right.shape)], axis=-1)
    return np.floor(points / _STEPS + 0.5)
