"""Paired statistics against published and hand-computed values, and bounds that hold as often as they say."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dvfl_mobile.errors import UsageError
from dvfl_mobile.evaluation.paired import (
    MOST_VIDEOS,
    Flips,
    _upper_bound,
    bootstrap,
    drop_bounds,
    mcnemar_p,
    videos_to_decide,
    wilson,
)

Z_95_TWO_SIDED = 1.959963984540054
COUNTS = st.tuples(st.integers(0, 300), st.integers(0, 300), st.integers(1, 2000)).map(
    lambda counts: Flips(counts[0], counts[1], counts[0] + counts[1] + counts[2])
)


@pytest.mark.parametrize(
    ("lost", "gained", "expected"),
    [
        (0, 0, 1),
        (1, 0, 1),
        (5, 5, 1),
        (0, 5, Fraction(2, 32)),
        (1, 7, Fraction(2 * (1 + 8), 256)),  # 0.0703, as in Fagerland, Lydersen & Laake (2014), airway data
        (9, 3, Fraction(2 * (1 + 12 + 66 + 220), 4096)),
    ],
)
def test_mcnemar_by_hand(lost, gained, expected):
    assert mcnemar_p(lost, gained) == pytest.approx(float(expected), rel=1e-12)
    assert mcnemar_p(gained, lost) == pytest.approx(float(expected), rel=1e-12)


@pytest.mark.parametrize(("lost", "gained"), [(40, 60), (700, 800), (1, 300), (1480, 1520)])
def test_mcnemar_against_whole_numbers(lost, gained):
    flips, fewer = lost + gained, min(lost, gained)
    tail = sum(math.comb(flips, count) for count in range(fewer + 1))
    assert mcnemar_p(lost, gained) == pytest.approx(float(min(Fraction(1), Fraction(2 * tail, 2**flips))), rel=1e-9)


def test_mcnemar_of_hundreds_of_thousands_of_flips():
    few, many = 200_000, 201_000
    z = (many - few - 1) / math.sqrt(many + few)  # the normal law with Yates's correction, close for so many
    assert mcnemar_p(few, many) == pytest.approx(math.erfc(z / math.sqrt(2)), rel=1e-3)
    assert mcnemar_p(0, 500_000) == 0.0
    assert 0.99 < mcnemar_p(300_000, 300_001) <= 1


def test_wilson_published_and_at_its_ends():
    # Newcombe (1998), Statistics in Medicine 17, 857-872, table I: 81/263, 15/148, 0/20 and 1/29.
    for right, total, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611)):
        interval = wilson(right, total, 0.95)
        assert (interval.low, interval.high) == (pytest.approx(low, abs=6e-5), pytest.approx(high, abs=6e-5))
    assert wilson(1, 29, 0.95).high == pytest.approx(0.1718, abs=6e-5)
    assert wilson(20, 20, 0.95).high == 1.0
    assert wilson(68, 112, 0.95).low == pytest.approx(0.515, abs=5e-4)  # 51.5 to 69.3 in the README
    assert wilson(68, 112, 0.95).high == pytest.approx(0.693, abs=5e-4)


def test_tango_published_without_the_correction():
    # Airway hyper-responsiveness, 7 and 1 of 21: -0.517 to -0.026 (Fagerland, Lydersen & Laake, Statistics in
    # Medicine 33, 2014, 2850-2875, table on Tango's interval).
    assert _upper_bound(Flips(1, 7, 21), Z_95_TWO_SIDED, 0) == pytest.approx(-0.026, abs=5e-4)
    assert -_upper_bound(Flips(7, 1, 21), Z_95_TWO_SIDED, 0) == pytest.approx(-0.517, abs=5e-4)


def test_without_flips_the_uncorrected_bound_is_known():
    z = 1.6448536269514722
    assert _upper_bound(Flips(0, 0, 112), z, 0) == pytest.approx(z * z / (112 + z * z))


def test_without_flips_the_bounds_stay_apart_and_the_bootstrap_does_not():
    same = Flips(0, 0, 112)
    assert (bootstrap(same, 0.95).low, bootstrap(same, 0.95).high) == (0, 0)
    bounds = drop_bounds(same, 0.95)
    exact = 1 - 0.05 ** (1 / 112)  # the drop at which 112 videos show no loss once in 20 times
    assert bounds.high > exact
    assert bounds.high == pytest.approx(exact, rel=0.25)
    assert bounds.low == -bounds.high


@given(flips=COUNTS)
@settings(deadline=None, max_examples=60)
def test_bounds_hold_the_drop_and_mirror_and_solve_the_score_equation(flips):
    bounds, mirrored = drop_bounds(flips, 0.95), drop_bounds(Flips(flips.gained, flips.lost, flips.total), 0.95)
    assert -1 <= bounds.low < flips.drop < bounds.high <= 1
    assert (bounds.low, bounds.high) == (-mirrored.high, -mirrored.low)
    assert drop_bounds(flips, 0.99).high > bounds.high
    if bounds.high < 1:
        assert score(flips, bounds.high) == pytest.approx(-1.6448536269514722, abs=1e-4)


def score(flips: Flips, drop: float) -> float:
    """Tango's statistic with half a video's correction, the nuisance rate found by brute force on the likelihood."""
    lost, gained, total = flips.lost, flips.gained, flips.total
    low, high = max(0.0, -drop), (1 - drop) / 2

    def slope(q: float) -> float:  # of the log-likelihood in q = P(gained), P(lost) = q + drop; falling
        parts = [(lost, q + drop), (gained, q), (-2 * (total - lost - gained), 1 - drop - 2 * q)]
        return sum(count / max(share, 1e-300) for count, share in parts if count)

    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) > 0 else (low, middle)
    return (lost - gained + 0.5 - total * drop) / math.sqrt(total * (2 * low + drop * (1 - drop)))


@lru_cache(maxsize=4)
def upper_bounds(total: int, most: int) -> tuple[np.ndarray, np.ndarray]:
    counts = np.array([(lost, gained) for lost in range(most) for gained in range(most) if lost + gained <= total])
    return counts, np.array([drop_bounds(Flips(int(lost), int(gained), total), 0.95).high for lost, gained in counts])


@pytest.mark.parametrize("total", [40, 112, 1000])
@pytest.mark.parametrize("expected_gained", [0.0, 1.0, 4.0])
def test_the_upper_bound_holds_at_least_as_often_as_it_says(total, expected_gained):
    """Exactly, by adding up the probability of every outcome whose bound covers the true drop."""
    counts, bounds = upper_bounds(total, 28)
    rest = total - counts.sum(axis=1)
    ways = np.array(
        [
            math.lgamma(total + 1) - sum(map(lambda n: math.lgamma(n + 1), row))
            for row in np.column_stack([counts, rest]).tolist()
        ]
    )
    for expected_drop in np.linspace(0.25, 5, 20):
        lost, gained = (expected_gained + expected_drop) / total, expected_gained / total
        logs = counts[:, 0] * math.log(lost) + rest * math.log(1 - lost - gained)
        logs += counts[:, 1] * math.log(gained) if gained else np.where(counts[:, 1] > 0, -np.inf, 0)
        chances = np.exp(ways + logs)
        assert chances.sum() == pytest.approx(1, abs=1e-6)
        assert chances[bounds >= expected_drop / total].sum() >= 0.95


def test_bounds_and_bootstrap_agree_where_flips_are_many():
    flips = Flips(600, 500, 20_000)
    resampled, bounds = bootstrap(flips, 0.95), drop_bounds(flips, 0.975)
    assert resampled.low == pytest.approx(bounds.low, abs=2e-4)
    assert resampled.high == pytest.approx(bounds.high, abs=2e-4)
    assert resampled == bootstrap(flips, 0.95)


def test_the_number_that_would_decide_is_the_first_that_does():
    for flips, max_drop in ((Flips(0, 0, 112), 0.01), (Flips(3, 2, 112), 0.05), (Flips(8, 1, 112), 0.01)):
        needed = videos_to_decide(flips, max_drop, 0.95)
        assert needed is not None

        def decides(total: int, flips: Flips = flips, max_drop: float = max_drop) -> bool:
            bounds = drop_bounds(flips.scaled(total), 0.95)
            return bounds.high < max_drop or bounds.low > max_drop

        assert decides(needed)
        assert not decides(needed - 1)


def test_a_drop_at_the_limit_is_never_decided():
    assert videos_to_decide(Flips(0, 0, 112), 0.0, 0.95) is None
    assert videos_to_decide(Flips(2, 1, 100), 0.01, 0.95) is None
    assert MOST_VIDEOS >= 400_000


@pytest.mark.parametrize("counts", [(-1, 0, 5), (3, 3, 5), (0, 0, 0), (math.nan, 0, 5)])
def test_what_can_not_be_counts_is_refused(counts):
    with pytest.raises(ValueError, match="counts of videos"):
        Flips(*counts)


@pytest.mark.parametrize("confidence", [0.4, 1.0, math.nan])
def test_a_confidence_that_can_not_be_is_refused(confidence):
    with pytest.raises(UsageError, match="confidence"):
        drop_bounds(Flips(0, 0, 5), confidence)
