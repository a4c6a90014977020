"""The losses: of labels, and of a student that follows its teacher. All are `(B,)`, one a clip, in float32."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional


def label_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross entropy of soft targets.

    Args:
        logits, targets: `(B,K)`; a row of targets sums to 1.
    """
    return -(targets * functional.log_softmax(logits.float(), dim=-1)).sum(-1)


def forward_kl(logits: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """`T² · Σ p (log p - log q)`, with `p = softmax(teacher / T)` and `q = softmax(logits / T)`.

    The forward Kullback-Leibler divergence of DVFL-Net (Ullah et al., 2025, arXiv:2507.12426) at a temperature T. Its
    gradient shrinks by T², and T² makes up for it (Hinton et al., 2015, arXiv:1503.02531).
    """
    log_p = functional.log_softmax(teacher.float() / temperature, dim=-1)
    log_q = functional.log_softmax(logits.float() / temperature, dim=-1)
    return temperature**2 * functional.kl_div(log_q, log_p, reduction="none", log_target=True).sum(-1)


def official_kd(logits: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """`T² · Σ p (log p - q)`: what the official code computes, with `q` where the formula has `log q`.

    What it can change of this is `-T² Σ p q`, the student's expected p. That is least where all of q is on the
    teacher's likeliest class, not where q equals p: it teaches which class is first, and nothing of the others.
    """
    log_p = functional.log_softmax(teacher.float() / temperature, dim=-1)
    q = functional.softmax(logits.float() / temperature, dim=-1)
    return temperature**2 * (log_p.exp() * (log_p - q)).sum(-1)


TEACHER_LOSSES: dict[str, Callable[[Tensor, Tensor, float], Tensor]] = {
    "forward_kl": forward_kl,
    "official": official_kd,
}
