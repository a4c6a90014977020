"""Figures over videos: lost and gained answers, accuracy by class, and averaging over views."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from dvfl_mobile.evaluation import paired
from dvfl_mobile.evaluation.document import Accuracy, ClassFigures, PairedFigures, Score, VideoOutcome
from dvfl_mobile.metrics import non_finite
from dvfl_mobile.runners.values import Logits
from dvfl_mobile.wording import rounded_down

Probabilities = NDArray[np.float64]

_TOP = 5


def compare(rows: Sequence[VideoOutcome], confidence: float) -> PairedFigures:
    """The figures over all videos, of which there must be one."""
    lost = sum(row.reference_right and not row.artifact_right for row in rows)
    gained = sum(row.artifact_right and not row.reference_right for row in rows)
    both = sum(row.artifact_right and row.reference_right for row in rows)
    flips = paired.Flips(lost, gained, len(rows))
    bounds, resampled = paired.drop_bounds(flips, confidence), paired.bootstrap(flips, confidence)

    def score(is_right: Callable[[VideoOutcome], bool]) -> Score:
        return Score.of(sum(map(is_right, rows)), len(rows), confidence)

    return PairedFigures(
        videos=len(rows),
        both_right=both,
        lost=lost,
        gained=gained,
        both_wrong=len(rows) - both - lost - gained,
        agreeing=sum(row.agree for row in rows),
        mcnemar_p=paired.mcnemar_p(lost, gained),
        drop=flips.drop,
        drop_at_least=bounds.low,
        drop_at_most=bounds.high,
        bootstrap_low=resampled.low,
        bootstrap_high=resampled.high,
        reference=Accuracy(top1=score(lambda row: row.reference_right), top5=score(lambda row: row.reference_in_top5)),
        artifact=Accuracy(top1=score(lambda row: row.artifact_right), top5=score(lambda row: row.artifact_in_top5)),
    )


def by_class(rows: Sequence[VideoOutcome], name_of: Callable[[int], str]) -> tuple[ClassFigures, ...]:
    """The figures of each class that the videos have."""
    of_class: defaultdict[int, list[VideoOutcome]] = defaultdict(list)
    for row in rows:
        of_class[row.label].append(row)
    return tuple(
        ClassFigures(
            name=name_of(label),
            videos=len(members),
            reference_right=sum(row.reference_right for row in members),
            artifact_right=sum(row.artifact_right for row in members),
            lost=sum(row.reference_right and not row.artifact_right for row in members),
            gained=sum(row.artifact_right and not row.reference_right for row in members),
        )
        for label, members in sorted(of_class.items())
    )


def points(share: float) -> str:
    """`1.25 points` of a share of 0.0125, cut downwards."""
    return _points(rounded_down(share, 4))


def points_up(share: float) -> str:
    """As `points`, rounded upwards: a lower bound that is shown must not be below what it is held against."""
    return _points(-rounded_down(-share, 4))


def _points(share: Decimal) -> str:
    return f"{share * 100 + 0:.2f} points"  # + 0: a zero without a sign


def mean_probabilities(logits: Logits) -> Probabilities | None:
    """`(K,)`: the mean over views of the softmax of `(V,K)`; None if one isn't finite, a mask's -inf aside."""
    wide = logits.astype(np.float64)
    if non_finite(wide).any():
        return None
    odds = np.exp(wide - wide.max(axis=1, keepdims=True))
    return np.asarray((odds / odds.sum(axis=1, keepdims=True)).mean(axis=0))


def is_in_top(probabilities: Probabilities, label: int) -> bool:
    return label in np.argsort(-probabilities, kind="stable")[:_TOP]
