"""Distances between two sets of logits, in float64.

A classifier's answer is the softmax of its logits. So logits are compared by `compared`, which keeps of them what their
softmax can tell: no constant added to a clip's logits and no mask over a class changes a figure. Other tensors are
compared as they are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

FAINT = 23 * math.log(2)
"""How far below its clip's greatest a logit says nothing: its probability is under 2^-23, float32's step at 1."""

_TOP = 5
_LARGEST_FLOAT32 = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Compared:
    """What the softmax can tell of two sets of logits `(N,K)`. Made by `compared`.

    Attributes:
        reference, candidate: `(N,V)`: of the classes compared, each clip's values less their mean, and none further
            than `FAINT` below the clip's greatest.
        classes: `(V,)`: which classes these are, in order: those that some clip has among its top five, in the
            reference or the candidate, less than `FAINT` below its greatest. A class that nobody brings there can have
            any logit, -inf among them.
    """

    reference: Floats
    candidate: Floats
    classes: NDArray[np.intp]

    @property
    def sqnr_db(self) -> float | None:
        """SQNR of what is compared; None where one class has all the probability on all clips, so that nothing is."""
        return None if len(self.classes) < 2 else sqnr_db(self.reference, self.candidate)

    def rows(self) -> list[Compared]:
        """Each clip by itself, over the same classes."""
        pairs = zip(self.reference[:, None], self.candidate[:, None], strict=True)
        return [Compared(reference, candidate, self.classes) for reference, candidate in pairs]


def compared(reference: Floats, candidate: Floats) -> Compared:
    """What the softmax can tell of the logits `(N,K)` of two networks on the same clips.

    `non_finite` must find none in either.
    """
    pair = [np.maximum(logits, logits.max(axis=1, keepdims=True) - FAINT) for logits in (reference, candidate)]
    seen = np.zeros(reference.shape[1], bool)
    for logits in pair:
        classes, counts = _top(logits)
        seen[classes[counts]] = True
    left = [logits[:, seen] for logits in pair]
    first, second = (logits - logits.mean(axis=1, keepdims=True) for logits in left)
    return Compared(first, second, np.flatnonzero(seen))


def are_halves(values: ArrayLike) -> bool:
    """Whether all values are float16 numbers, and not all of them zero: what was computed in half precision is.

    Of float32 values that weren't, one in 8,192 is by chance.
    """
    given = np.asarray(values, np.float64)
    with np.errstate(over="ignore"):
        return bool(given.any() and np.array_equal(given, given.astype(np.float16), equal_nan=True))


def logits_sqnr_db(reference: Floats, candidate: Floats) -> float | None:
    """SQNR of what the softmax can tell of logits `(N,K)`: see `compared`; None where that is nothing."""
    return compared(reference, candidate).sqnr_db


def non_finite(logits: Floats, reference: Floats | None = None) -> NDArray[np.bool_]:
    """Which of logits `(N,K)` are NaN, infinite or beyond float32, as a mask of their shape.

    The -inf of a masked class counts as finite: in a reference wherever another class of the clip has more, in a
    candidate where the reference's own logit lies `FAINT` below its greatest, or deeper.
    """
    # NaN compares false. Values beyond float32 count too: their squares would overflow what follows.
    wrong = ~(np.abs(logits) <= _LARGEST_FLOAT32)
    judge = logits if reference is None else reference
    with np.errstate(invalid="ignore"):
        may_be_masked = judge < judge.max(axis=-1, keepdims=True) - FAINT
    return np.asarray(wrong & ~((logits == -np.inf) & may_be_masked))


def _top(logits: Floats) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """`(N,5)`, the classes of the greatest logits, of equal ones the lower first; and which have a probability."""
    classes = np.argsort(-logits, axis=-1, kind="stable")[..., :_TOP]
    top = np.take_along_axis(logits, classes, axis=-1)
    counts = np.asarray(top > top[..., :1] - FAINT)
    # Where float64 can't tell the two apart, too.
    counts[..., 0] = True
    return classes, counts


def sqnr_db(reference: Floats, candidate: Floats) -> float:
    """Signal to quantization noise, `10 log10(Σ ref² / Σ (ref - cand)²)`, in dB; infinite where they are identical."""
    noise = float(np.sum((reference - candidate) ** 2))
    signal = float(np.sum(reference**2))
    if noise == 0:
        return float("inf")
    if signal == 0:
        return float("-inf")
    return 10 * float(np.log10(signal / noise))


def cosine(reference: Floats, candidate: Floats) -> float:
    """Cosine of the angle between all values of both, -1 to 1; 1 where both are zero, 0 where only one is."""
    lengths = float(np.linalg.norm(reference) * np.linalg.norm(candidate))
    if lengths == 0:
        return float(np.array_equal(reference, candidate))
    return float(np.clip(np.sum(reference * candidate) / lengths, -1, 1))


def kl_nats(reference: Floats, candidate: Floats) -> float:
    """Kullback-Leibler divergence `Σ p (ln p - ln q)` of the softmaxes of `(…,K)` logits, mean over clips, in nats.

    Every logit must be finite.
    """
    p, q = _log_softmax(reference), _log_softmax(candidate)
    return max(0.0, float(np.mean(np.sum(np.exp(p) * (p - q), axis=-1))))


def _log_softmax(logits: Floats) -> Floats:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))


def top5_overlap(reference: Floats, candidate: Floats) -> float:
    """Share of the reference's top 5 of `(…,K)` logits that is in the candidate's too, mean over clips.

    With fewer than five classes it is the top K, and so 1. Classes `FAINT` below the greatest, or deeper, don't count.
    Of equal logits the lower class comes first.
    """
    (wanted, counted), (found, _) = _top(reference), _top(candidate)
    shared = (wanted[..., :, None] == found[..., None, :]).any(axis=-1)
    return float(np.mean((shared & counted).sum(axis=-1) / counted.sum(axis=-1)))
