"""The loss of quantization-aware training: stay with the float student, and with the labels where there are any."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def distillation_loss(
    logits: Tensor, teacher: Tensor, label: int | None, temperature: float, label_weight: float
) -> Tensor:
    """The loss of one clip, a scalar, in float32.

    `T² · KL(p ‖ q) + label_weight · CE(logits, label)`, with `p = softmax(teacher / T)`, `q = softmax(logits / T)`
    and `KL(p ‖ q) = Σ p (log p - log q)`: the forward Kullback-Leibler divergence of DVFL-Net (Ullah et al., 2025,
    arXiv:2507.12426) at a temperature T. Its gradient shrinks by T², and T² makes up for it (Hinton et al., 2015,
    arXiv:1503.02531).

    Args:
        logits, teacher: `(1,K)`.
        label: None: there is none, and the teacher alone is followed.
    """
    log_p = functional.log_softmax(teacher.float() / temperature, dim=-1)
    log_q = functional.log_softmax(logits.float() / temperature, dim=-1)
    loss = temperature**2 * functional.kl_div(log_q, log_p, reduction="sum", log_target=True)
    if label is not None and label_weight:
        target = torch.tensor([label], device=logits.device)
        loss = loss + label_weight * functional.cross_entropy(logits.float(), target)
    return loss
