"""Measure an artifact's logits against the reference form's: every metric, by clip and pooled, in float64.

Every figure is of what the softmax can tell: see `metrics.compared`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field, FiniteFloat

from dvfl_mobile.documents import Decibels, Document, Line
from dvfl_mobile.errors import ArtifactError, CheckpointError, InputError
from dvfl_mobile.metrics import FAINT, Compared, Floats, compared, cosine, kl_nats, non_finite, top5_overlap
from dvfl_mobile.spelling import option
from dvfl_mobile.wording import decibels


class ClipMetrics(Document):
    """One clip. What can't be measured, because the candidate's logits aren't finite, is None.

    Attributes:
        label: the clip's true class, where known; no metric reads it.
        reference_top1, candidate_top1: classes.
        flip_margin: where these differ, how far the reference's own logits put the one above the other; at most
            `metrics.FAINT`, from where on it is no class of the reference's at all.
        sqnr_db: None also where one class has all the probability on all clips.
        non_finite: candidate values that are NaN, infinite or beyond float32.
    """

    name: Line
    label: int | None
    reference_top1: int
    candidate_top1: int | None
    flip_margin: FiniteFloat | None
    sqnr_db: Decibels | None
    max_abs_diff: FiniteFloat | None
    cosine: FiniteFloat | None
    kl_nats: FiniteFloat | None
    top5_overlap: FiniteFloat | None
    non_finite: int

    @property
    def agrees(self) -> bool:
        return self.candidate_top1 == self.reference_top1

    @property
    def sqnr(self) -> str:
        """`63.2 dB`, or why there is no such figure."""
        return _sqnr_text(self.sqnr_db, self.non_finite)


class PooledMetrics(Document):
    """All clips' logits together: SQNR and cosine over every value compared, KL and top-5 overlap as means over clips.

    Attributes:
        agreeing: clips whose top-1 is the reference's, near ties not counted.
        reference_rms: root mean square of what is compared of the reference's logits.
        classes, compared_classes: how many classes the network has, and how many of them were compared: those that
            some clip brings into somebody's top five.
        worst_clip: the clip of lowest SQNR, or the first whose logits aren't finite.
    """

    clips: int = Field(ge=1)
    agreeing: int
    sqnr_db: Decibels | None
    max_abs_diff: FiniteFloat | None
    cosine: FiniteFloat | None
    kl_nats: FiniteFloat | None
    top5_overlap: FiniteFloat | None
    reference_rms: FiniteFloat
    non_finite: int
    classes: int | None = None
    compared_classes: int | None = None
    worst_clip: Line
    worst_sqnr_db: Decibels | None

    @property
    def agreement(self) -> str:
        """`111 of 112`."""
        return f"{self.agreeing} of {self.clips}"

    @property
    def sqnr(self) -> str:
        """`63.2 dB`, or why there is no such figure."""
        return _sqnr_text(self.sqnr_db, self.non_finite)


def _sqnr_text(sqnr_db: float | None, bad: int) -> str:
    if sqnr_db is None and not bad:
        return "nothing to compare"
    return decibels(sqnr_db)


class Measurement(Document):
    """Every clip's metrics, in the order of the clips, and the pooled ones."""

    clips: tuple[ClipMetrics, ...]
    pooled: PooledMetrics


def measure(
    reference: ArrayLike, candidate: ArrayLike, names: Sequence[str], labels: Sequence[int | None] | None = None
) -> Measurement:
    """Compare logits, clip by clip and pooled.

    Args:
        reference: `(N,K)`, the reference form's.
        candidate: `(N,K)`, the artifact's.
        names: N names of clips.
        labels: N true classes, where they are known.

    Raises:
        InputError: there are no clips.
        CheckpointError: the reference's own logits aren't finite.
        ArtifactError: the artifact gave logits of another shape.
    """
    expected, actual = np.asarray(reference, np.float64), np.asarray(candidate, np.float64)
    _check_logits(expected, actual)
    labels = [None] * len(names) if labels is None else labels
    bad = non_finite(actual, expected)
    left = compared(expected, _without(bad, actual, expected))
    rows = [
        _clip_metrics(name, label, expected[index], actual[index], int(bad[index].sum()), row)
        for index, (name, label, row) in enumerate(zip(names, labels, left.rows(), strict=True))
    ]
    # A clip that can't be measured comes first, then the lowest SQNR.
    worst = min(rows, key=lambda row: (row.sqnr_db is not None, row.sqnr_db or 0.0))
    pooled = PooledMetrics(
        clips=len(rows),
        agreeing=sum(row.agrees for row in rows),
        reference_rms=float(np.sqrt(np.mean(left.reference**2))),
        classes=expected.shape[1],
        compared_classes=len(left.classes),
        worst_clip=worst.name,
        worst_sqnr_db=worst.sqnr_db,
        **_figures(left, int(bad.sum())),
    )
    return Measurement(clips=tuple(rows), pooled=pooled)


def _without(bad: NDArray[np.bool_], candidate: Floats, reference: Floats) -> Floats:
    """The candidate's logits, and where a clip's aren't finite the reference's: nothing is measured there."""
    return np.where(bad.any(axis=1, keepdims=True), reference, candidate)


def _check_logits(reference: Floats, candidate: Floats) -> None:
    if reference.ndim != 2 or reference.shape[1] == 0:
        raise ValueError(f"logits must be (N,K), not {reference.shape}")
    if len(reference) == 0:
        raise InputError(
            "There are no clips to compare on.", hint=f"Name a video, or a folder of them, with {option('clips')}."
        )
    if candidate.shape != reference.shape:
        raise ArtifactError(
            f"The artifact gave logits of shape {candidate.shape}, the reference form {reference.shape}.",
            hint="Compare it with the checkpoint that it was made from, or convert that checkpoint again.",
        )
    if bad := int(non_finite(reference).sum()):
        raise CheckpointError(
            f"{bad} of the reference form's own {reference.size} logits are not finite: nothing compares with those.",
            hint="The checkpoint's weights are damaged or have diverged; use another.",
        )


def _clip_metrics(
    name: str, label: int | None, reference: Floats, candidate: Floats, bad: int, left: Compared
) -> ClipMetrics:
    chosen = int(reference.argmax())
    answer = None if bad else int(candidate.argmax())
    margin = None if answer in (None, chosen) else min(FAINT, float(reference[chosen] - reference[answer]))
    return ClipMetrics(
        name=name,
        label=label,
        reference_top1=chosen,
        candidate_top1=answer,
        flip_margin=margin,
        **_figures(left, bad),
    )


def _figures(left: Compared, bad: int) -> dict[str, Any]:
    if bad:
        names = ("sqnr_db", "max_abs_diff", "cosine", "kl_nats", "top5_overlap")
        return dict.fromkeys(names) | {"non_finite": bad}
    return {
        "sqnr_db": left.sqnr_db,
        "max_abs_diff": float(np.abs(left.reference - left.candidate).max()),
        "cosine": cosine(left.reference, left.candidate),
        "kl_nats": kl_nats(left.reference, left.candidate),
        "top5_overlap": top5_overlap(left.reference, left.candidate),
        "non_finite": 0,
    }
