"""Paired comparison of two classifiers on the same videos: exact test and interval of the difference.

Everything follows from how often the answer changed. A video is *lost* where the reference is right and the artifact
wrong, and *gained* the other way round; where both are right or both wrong, it says nothing about a difference. The
*drop* is the reference's accuracy minus the artifact's: (lost - gained) / total, as a share from 0 to 1.

Numpy and the standard library only: each formula is short enough to stand here with its source.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from dvfl_mobile.errors import UsageError

RESAMPLES = 10_000
# No set of labelled videos comes near it: to list more would help nobody.
MOST_VIDEOS = 1_000_000


@dataclass(frozen=True)
class Interval:
    """From `low` to `high`, both as shares."""

    low: float
    high: float


@dataclass(frozen=True)
class Flips:
    """How often two classifiers differed in being right, on the same videos.

    Attributes:
        lost: videos that only the reference got right.
        gained: videos that only the artifact got right.
        total: all videos. Counts may be fractions, where they are what a larger sample would show.
    """

    lost: float
    gained: float
    total: float

    def __post_init__(self) -> None:
        if not (self.lost >= 0 and self.gained >= 0 and self.total > 0 and self.lost + self.gained <= self.total):
            raise ValueError(f"these can't be counts of videos: {self}")

    @property
    def drop(self) -> float:
        """The reference's accuracy minus the artifact's, -1 to 1."""
        return (self.lost - self.gained) / self.total

    def scaled(self, total: float) -> Flips:
        """The flips of a sample of `total` videos that has the same rates."""
        return Flips(self.lost * total / self.total, self.gained * total / self.total, total)


def mcnemar_p(lost: int, gained: int) -> float:
    """The exact two-sided p-value of McNemar's test: how likely flips are to fall this unevenly by chance.

    If neither classifier is better, each flip is a fair coin: twice the binomial tail
    `sum(C(n,i) for i <= min(lost, gained)) / 2^n`, `n = lost + gained`, at most 1 (McNemar, Psychometrika 12, 1947).
    1.0 without flips.
    """
    flips, fewer = lost + gained, min(lost, gained)
    if lost == gained:
        return 1.0
    log_last = math.lgamma(flips + 1) - math.lgamma(fewer + 1) - math.lgamma(flips - fewer + 1) - flips * math.log(2)
    # Every term of the tail as a multiple of its last and largest: no term overflows, however many flips there are.
    below = np.arange(fewer, 0, -1, dtype=np.float64)
    tail = 1.0 + float(np.cumprod(below / (flips - below + 1)).sum())
    return min(1.0, 2 * math.exp(log_last + math.log(tail)))


def wilson(right: int, total: int, confidence: float) -> Interval:
    """The two-sided interval of one accuracy, from its score test (Wilson, JASA 22, 1927)."""
    z = _quantile((1 + confidence) / 2)
    share = right / total
    middle = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return Interval(max(0.0, middle - half), min(1.0, middle + half))


def bootstrap(flips: Flips, confidence: float, resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """The two-sided percentile interval of the drop, over resampled videos (Efron & Tibshirani 1993, chapter 13).

    To draw `total` videos with replacement is to draw how many of them are lost and gained from a multinomial, so
    20,000 videos cost no more than 20. Without flips every resample is the same and the interval a point, which no
    verdict may rest on: see `drop_bounds`.
    """
    shares = [flips.lost / flips.total, flips.gained / flips.total]
    drawn = np.random.default_rng(seed).multinomial(int(flips.total), [*shares, max(0.0, 1 - sum(shares))], resamples)
    drops = (drawn[:, 0] - drawn[:, 1]) / flips.total
    low, high = np.quantile(drops, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(low), float(high))


def drop_bounds(flips: Flips, confidence: float) -> Interval:
    """What the drop is at least, and what it is at most: each bound by itself at `confidence`.

    Tango's score interval for a difference of paired proportions (Statistics in Medicine 17, 1998, 891-908): the
    drops d that the score test doesn't reject,

        |lost - gained - total d| <= z sqrt(total (2 q + d (1 - d))),

    where q is the likeliest share of gained videos if the drop were d, the larger root of

        2 total q^2 + ((2 total - lost + gained) d - lost - gained) q - gained d (1 - d) = 0,

    and z is one-sided. Unlike a bootstrap or a Wald interval it doesn't collapse where there are few flips or none.
    As counts are whole, half a video is taken off the left side (Yates's correction): without it the bounds hold
    less often than they say where flips are few, which is where a verdict most needs them.
    """
    z = _quantile(confidence)
    return Interval(-_upper_bound(Flips(flips.gained, flips.lost, flips.total), z), _upper_bound(flips, z))


def videos_to_decide(flips: Flips, max_drop: float, confidence: float) -> int | None:
    """The fewest videos on which flips at these same rates would show the drop to be below or above `max_drop`.

    Real flips scatter around their rates, so that many decide about as often as not. None: more than MOST_VIDEOS,
    because the drop lies too close to `max_drop`.
    """

    def decides(total: int) -> bool:
        bounds = drop_bounds(flips.scaled(total), confidence)
        return bounds.high < max_drop or bounds.low > max_drop

    if not decides(MOST_VIDEOS):
        return None
    too_few, enough = 0, MOST_VIDEOS
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        too_few, enough = (too_few, middle) if decides(middle) else (middle, enough)
    return enough


def _quantile(probability: float) -> float:
    if not 0.5 <= probability < 1:
        raise UsageError(f"No confidence can be {probability:g}.", hint="Give one from 0.5 to below 1, such as 0.95.")
    return NormalDist().inv_cdf(probability)


def _upper_bound(flips: Flips, z: float, correction: float = 0.5) -> float:
    """The largest drop that the score test at `z` does not reject, by halving to the last bit that matters."""
    low, high = max(-1.0, flips.drop), 1.0
    if _excess(flips, high, z, correction) >= 0:
        return high
    while high - low > 1e-12:
        middle = (low + high) / 2
        low, high = (middle, high) if _excess(flips, middle, z, correction) >= 0 else (low, middle)
    return high


def _excess(flips: Flips, drop: float, z: float, correction: float) -> float:
    """Below zero where the score test rejects `drop` as too large."""
    return flips.lost - flips.gained + correction - flips.total * drop + z * _deviation(flips, drop)


def _deviation(flips: Flips, drop: float) -> float:
    """The standard deviation of `lost - gained` if the drop were `drop`: Tango's, at the likeliest rates of flips."""
    if drop < 0:  # the same question the other way round, for which the formula keeps its digits
        return _deviation(Flips(flips.gained, flips.lost, flips.total), -drop)
    a = 2 * flips.total
    b = (a - flips.lost + flips.gained) * drop - flips.lost - flips.gained
    c = -flips.gained * drop * (1 - drop)
    root = math.sqrt(b * b - 4 * a * c)
    share = (root - b) / (2 * a) if b <= 0 else -2 * c / (root + b)
    return math.sqrt(max(0.0, flips.total * (2 * share + drop * (1 - drop))))
