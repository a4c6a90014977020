"""Measure an artifact's logits against the reference form's: every metric, by clip and pooled, in float64."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field, FiniteFloat

from dvfl_mobile.documents import Decibels, Document, Line
from dvfl_mobile.errors import ArtifactError, CheckpointError, InputError
from dvfl_mobile.metrics import Floats, cosine, kl_nats, sqnr_db, top5_overlap
from dvfl_mobile.spelling import option

_LARGEST_FLOAT32 = float(np.finfo(np.float32).max)


class ClipMetrics(Document):
    """One clip. What can't be measured, because the candidate's logits aren't finite, is None.

    Attributes:
        label: the clip's true class, where known; no metric reads it.
        reference_top1, candidate_top1: classes.
        flip_margin: where these differ, how far the reference's own logits put the one above the other.
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


class PooledMetrics(Document):
    """All clips' logits together: SQNR and cosine over every value, KL and top-5 overlap as means over clips.

    Attributes:
        agreeing: clips whose top-1 is the reference's, near ties not counted.
        reference_rms: root mean square of the reference's logits.
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
    worst_clip: Line
    worst_sqnr_db: Decibels | None

    @property
    def agreement(self) -> str:
        """`111 of 112`."""
        return f"{self.agreeing} of {self.clips}"


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
    rows = [
        _clip_metrics(name, label, one, other)
        for name, label, one, other in zip(names, labels, expected, actual, strict=True)
    ]
    # A clip that can't be measured comes first, then the lowest SQNR.
    worst = min(rows, key=lambda row: (row.sqnr_db is not None, row.sqnr_db or 0.0))
    pooled = PooledMetrics(
        clips=len(rows),
        agreeing=sum(row.agrees for row in rows),
        reference_rms=float(np.sqrt(np.mean(expected**2))),
        worst_clip=worst.name,
        worst_sqnr_db=worst.sqnr_db,
        **_figures(expected, actual),
    )
    return Measurement(clips=tuple(rows), pooled=pooled)


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
    if bad := _count_non_finite(reference):
        raise CheckpointError(
            f"{bad} of the reference form's own {reference.size} logits are not finite: nothing compares with those.",
            hint="The checkpoint's weights are damaged or have diverged; use another.",
        )


def _clip_metrics(name: str, label: int | None, reference: Floats, candidate: Floats) -> ClipMetrics:
    figures = _figures(reference, candidate)
    chosen = int(reference.argmax())
    answer = None if figures["non_finite"] else int(candidate.argmax())
    margin = None if answer in (None, chosen) else float(reference[chosen] - reference[answer])
    return ClipMetrics(
        name=name, label=label, reference_top1=chosen, candidate_top1=answer, flip_margin=margin, **figures
    )


def _figures(reference: Floats, candidate: Floats) -> dict[str, Any]:
    non_finite = _count_non_finite(candidate)
    if non_finite:
        names = ("sqnr_db", "max_abs_diff", "cosine", "kl_nats", "top5_overlap")
        return dict.fromkeys(names) | {"non_finite": non_finite}
    return {
        "sqnr_db": sqnr_db(reference, candidate),
        "max_abs_diff": float(np.abs(reference - candidate).max()),
        "cosine": cosine(reference, candidate),
        "kl_nats": kl_nats(reference, candidate),
        "top5_overlap": top5_overlap(reference, candidate),
        "non_finite": 0,
    }


def _count_non_finite(values: Floats) -> int:
    # NaN compares false. Values beyond float32 count too: their squares would overflow what follows.
    return int(np.count_nonzero(~(np.abs(values) <= _LARGEST_FLOAT32)))
