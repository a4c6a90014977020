"""Distances between two sets of logits, in float64. Every value must be finite, and within float32's range."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


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
    """Kullback-Leibler divergence `Σ p (ln p - ln q)` of the softmaxes of `(…,K)` logits, mean over clips, in nats."""
    p, q = _log_softmax(reference), _log_softmax(candidate)
    return max(0.0, float(np.mean(np.sum(np.exp(p) * (p - q), axis=-1))))


def _log_softmax(logits: Floats) -> Floats:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))


def top5_overlap(reference: Floats, candidate: Floats) -> float:
    """Share of the reference's top 5 of `(…,K)` logits that is in the candidate's too, mean over clips.

    With fewer than five classes it is the top K, and so 1. Of equal logits the lower class comes first.
    """
    size = min(5, reference.shape[-1])
    tops = [np.argsort(-logits, axis=-1, kind="stable")[..., :size] for logits in (reference, candidate)]
    shared = (tops[0][..., :, None] == tops[1][..., None, :]).any(axis=-1)
    return float(shared.mean())
