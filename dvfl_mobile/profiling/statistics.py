"""Statistics of run times, and what may be concluded from them.

Runs of one process aren't independent samples: what slows one mostly slows the next, and a process keeps the luck of
its memory layout to its end (Mytkowicz et al., ASPLOS 2009; Georges et al., OOPSLA 2007). So the unit of every interval
here is the *round*: one process, which loads the artifact, warms up and runs it several times; the round's value is the
median of its runs (Kalibera & Jones, ISMM 2013, resample the highest level for the same reason). All runs together only
describe: percentiles, mean, spread.

Two artifacts are compared by *pairs* of rounds that follow each other, in an order that a coin decides for each pair.
If the artifact scales the time by one factor and the moment by another, then a pair's log ratio is that of the
artifacts, plus or minus what the two moments differ by, and the coin chose the sign. Given the moments, whatever made
them (drift, bursts, throttling, load that lasts over many rounds), the signs are independent and fair: a sign-flip test
of the pairs is exact by design (Fisher 1935; Edgington, *Randomization Tests*), with no model of the noise. Its
interval is that of Wilcoxon's signed ranks: the ratios that the test doesn't reject (Hodges & Lehmann 1963).

Numpy and the standard library only. Tests hold coverage against simulated drift, bursts and autocorrelation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

CONFIDENCE = 0.95
FLOOR_CONFIDENCE = 0.99
P90_NEEDS_RUNS, P99_NEEDS_RUNS = 20, 200
"""At least two runs beyond a percentile: with fewer it is the largest run, under another name."""

_RESAMPLES = 4000
_MOST_EXACT_PAIRS = 60


def percentile(samples: Floats, share: float) -> float:
    """The sample below or at which a share of all lies, interpolated (type 7, numpy's and R's default)."""
    return float(np.quantile(samples, share))


def medians(rounds: Sequence[Sequence[int]]) -> Floats:
    """The median of each round's runs, `(rounds,)`."""
    return np.array([np.median(runs) for runs in rounds], np.float64)


def median_interval(values: Floats) -> tuple[float, float] | None:
    """A 95 % interval of the median of what rounds give, by order statistics; None where there are too few rounds.

    Between the k-th smallest and the k-th largest value, k from the binomial distribution, which holds for any
    distribution of independent values. Rounds that follow each other are less than independent: their number is taken
    as `n (1 - r) / (1 + r)` (the effective size for a lag-one correlation r), with the estimate of r corrected for its
    bias at few values, `(n r + 1) / (n - 4)` (Kendall, Biometrika 41, 1954), and never below 0. At worst the interval
    is all that was seen. What lasts longer than the whole session no interval of it can hold: see `trend`.
    """
    count = len(values)
    if count < 6:  # the smallest and the largest of five have the median between them in 93.75 % only
        return None
    ordered = np.sort(values)
    rank = max(1, _rank_of_median(count, _independent(values)))
    return float(ordered[rank - 1]), float(ordered[count - rank])


def ratio_interval(log_ratios: Floats) -> tuple[float, tuple[float, float] | None]:
    """The ratio of paired rounds and its 95 % interval, as logarithms in and ratios out.

    The estimate is the median of all pairwise means (Hodges-Lehmann); the interval is that of Wilcoxon's signed ranks.

    Returns:
        The ratio, and its interval, which is None below six pairs: five coins can't fall with a chance below 5 %.
    """
    means = np.sort(_pairwise_means(log_ratios[None])[0])
    rank = signed_rank(len(log_ratios))
    interval = None if rank < 1 else (math.exp(means[rank - 1]), math.exp(means[-rank]))
    return math.exp(float(np.median(means))), interval


def chance_ratio(log_ratios: Floats, pairs: int, seed: int = 0) -> float:
    """The ratio that chance alone stays below in 99 of 100 comparisons of so many pairs; above 1.

    Args:
        log_ratios: of rounds of one and the same artifact: all that they differ by is noise.

    Each comparison is drawn from them, with signs that fair coins give, and estimated as `ratio_interval` does.
    """
    stream = np.random.default_rng(seed)
    drawn = stream.choice(np.abs(log_ratios), (_RESAMPLES, pairs)) * stream.choice((-1.0, 1.0), (_RESAMPLES, pairs))
    estimates = np.abs(np.median(_pairwise_means(drawn), axis=1))
    return math.exp(float(np.quantile(estimates, FLOOR_CONFIDENCE)))


def unpaired_interval(logs_a: Floats, logs_b: Floats) -> tuple[float, tuple[float, float] | None]:
    """The ratio of b to a from rounds that weren't measured in pairs, and its 95 % interval, as ratios.

    The median of all differences, and the interval of the Mann-Whitney test (Hodges & Lehmann 1963), by the normal
    approximation of its ranks. What differs between two sessions as a whole isn't in it.
    """
    differences = np.sort((logs_b[None, :] - logs_a[:, None]).ravel())
    count_a, count_b = len(logs_a), len(logs_b)
    deviation = math.sqrt(count_a * count_b * (count_a + count_b + 1) / 12)
    rank = math.floor(count_a * count_b / 2 - 1.96 * deviation)
    interval = None if rank < 1 else (math.exp(differences[rank - 1]), math.exp(differences[-rank]))
    return math.exp(float(np.median(differences))), interval


def trend(values: Floats) -> tuple[float, float]:
    """Whether values rise or fall in time: the p-value of Mann and Kendall's test, and the change from first to last.

    The change is Theil and Sen's median slope over the whole length, as a share of the median.
    """
    count = len(values)
    if count < 4:
        return 1.0, 0.0
    earlier, later = np.triu_indices(count, 1)
    differences = values[later] - values[earlier]
    score = float(np.sign(differences).sum())
    deviation = math.sqrt(count * (count - 1) * (2 * count + 5) / 18)
    z = max(0.0, abs(score) - 1) / deviation
    slope = float(np.median(differences / (later - earlier)))
    return math.erfc(z / math.sqrt(2)), slope * (count - 1) / float(np.median(values))


@cache
def signed_rank(count: int) -> int:
    """How many of the pairwise means lie outside of the 95 % interval on each side, plus one; 0 where there is none.

    From the exact distribution of the sum of signed ranks; by the normal approximation beyond 60 values.
    """
    if count > _MOST_EXACT_PAIRS:
        middle = count * (count + 1) / 4
        return math.floor(middle - 1.96 * math.sqrt(count * (count + 1) * (2 * count + 1) / 24))
    chances = np.ones(1)
    for rank in range(1, count + 1):
        # Each rank is in the sum or not, with equal chance.
        chances = (np.pad(chances, (0, rank)) + np.pad(chances, (rank, 0))) / 2
    return int(np.searchsorted(np.cumsum(chances), (1 - CONFIDENCE) / 2, side="right"))


def _pairwise_means(values: Floats) -> Floats:
    """All means of two values, and each value itself, of each row."""
    one, other = np.triu_indices(values.shape[-1])
    return (values[:, one] + values[:, other]) / 2


def _independent(values: Floats) -> float:
    """How many independent values say as much about the middle as these."""
    count = len(values)
    offsets = values - values.mean()
    total = float(np.sum(offsets**2))
    if total == 0:
        return count
    found = float(np.sum(offsets[1:] * offsets[:-1])) / total
    correlation = min(0.9, max(0.0, (count * found + 1) / (count - 4)))
    return count * (1 - correlation) / (1 + correlation)


def _rank_of_median(count: int, independent: float) -> int:
    """The k for which the k-th smallest and k-th largest of `count` values hold the median in 95 of 100 cases."""
    if independent >= count:
        chances = np.array([math.comb(count, below) for below in range(count + 1)], np.float64) / 2.0**count
        return int(np.searchsorted(np.cumsum(chances), (1 - CONFIDENCE) / 2, side="right"))
    # As the exact rank falls behind the middle with the root of the size, so it does for fewer independent values.
    return math.floor((count - 1.96 * count / math.sqrt(independent)) / 2)
