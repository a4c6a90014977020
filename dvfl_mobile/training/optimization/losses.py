"""The losses: cross entropy with labels, and distillation from a teacher. All are computed in float32."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional


def label_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross entropy of soft targets, `(B,)`: one value a clip.

    Args:
        logits, targets: `(B,K)`; a row of targets sums to 1.
    """
    return -(targets * functional.log_softmax(logits.float(), dim=-1)).sum(-1)


def forward_kl(logits: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """`T² · Σ p (log p - log q)`, `(B,)`, with `p = softmax(teacher / T)` and `q = softmax(logits / T)`.

    The forward Kullback-Leibler divergence of DVFL-Net (Ullah et al., 2025, arXiv:2507.12426) at a temperature T. Its
    gradient shrinks by T², and T² makes up for it (Hinton et al., 2015, arXiv:1503.02531).
    """
    log_p = functional.log_softmax(teacher.float() / temperature, dim=-1)
    log_q = functional.log_softmax(logits.float() / temperature, dim=-1)
    return temperature**2 * functional.kl_div(log_q, log_p, reduction="none", log_target=True).sum(-1)


def official_kd(logits: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """`T² · Σ p (log p - q)`, `(B,)`: what the official code computes, with `q` where the formula has `log q`.

    What it can change of this is `-T² Σ p q`, the student's expected p. That is least where all of q is on the
    teacher's likeliest class, not where q equals p: it teaches which class is first, and nothing of the others.
    """
    log_p = functional.log_softmax(teacher.float() / temperature, dim=-1)
    q = functional.softmax(logits.float() / temperature, dim=-1)
    return temperature**2 * (log_p.exp() * (log_p - q)).sum(-1)


def distillation_loss(
    logits: Tensor, teacher: Tensor, label: int | None, temperature: float, label_weight: float
) -> Tensor:
    """`forward_kl + label_weight · label_loss` of one clip, a scalar: the loss of quantization-aware training.

    Args:
        logits, teacher: `(1,K)`.
        label: None: there is none, and the teacher alone is followed.
    """
    loss = forward_kl(logits, teacher, temperature)
    if label is not None and label_weight:
        target = functional.one_hot(torch.tensor([label], device=logits.device), logits.shape[1])
        loss = loss + label_weight * label_loss(logits, target)
    return loss.sum()


TEACHER_LOSSES: dict[str, Callable[[Tensor, Tensor, float], Tensor]] = {
    "forward_kl": forward_kl,
    "official": official_kd,
}
