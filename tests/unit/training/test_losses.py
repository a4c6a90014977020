"""What training minimizes: the formulas, and what sets the official loss apart from the formula it is named after."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from dvfl_mobile.training.optimization.losses import forward_kl, label_loss, official_kd

LOGITS = torch.tensor([[0.3, -1.0, 2.0], [4.0, 0.0, -4.0]])
TEACHER = torch.tensor([[1.0, 0.5, -0.2], [0.1, 0.2, 0.3]])


@pytest.mark.parametrize("temperature", [1.0, 10.0])
def test_forward_kl_is_the_formula_clip_by_clip(temperature: float) -> None:
    p, q = (functional.softmax(values.double() / temperature, -1) for values in (TEACHER, LOGITS))
    expected = temperature**2 * (p * (p / q).log()).sum(-1)
    torch.testing.assert_close(forward_kl(LOGITS, TEACHER, temperature).double(), expected, rtol=1e-4, atol=1e-6)


def test_the_official_loss_has_q_where_the_formula_has_its_logarithm() -> None:
    p, q = (functional.softmax(values.double() / 10, -1) for values in (TEACHER, LOGITS))
    expected = 100 * (p * (p.log() - q)).sum(-1)
    torch.testing.assert_close(official_kd(LOGITS, TEACHER, 10).double(), expected, rtol=1e-5, atol=1e-6)


def test_only_the_formula_is_least_where_the_student_says_what_the_teacher_says() -> None:
    logits = TEACHER.clone().requires_grad_()
    formula = torch.autograd.grad(forward_kl(logits, TEACHER, 10).sum(), logits)[0]
    official = torch.autograd.grad(official_kd(logits, TEACHER, 10).sum(), logits)[0]
    assert float(formula.abs().max()) < 1e-5  # 0, but for the rounding of exp and log, times T
    assert float(official.abs().max()) > 0.01
    # The official one goes on from there, towards the teacher's first class alone.
    surer = TEACHER + 50 * functional.one_hot(TEACHER.argmax(-1), 3)
    assert bool((official_kd(surer, TEACHER, 10) < official_kd(TEACHER, TEACHER, 10)).all())
    assert bool((forward_kl(surer, TEACHER, 10) > 100).all())


def test_the_gradient_keeps_its_size_at_any_temperature() -> None:
    def gradient(temperature: float) -> torch.Tensor:
        logits = LOGITS.clone().requires_grad_()
        return torch.autograd.grad(forward_kl(logits, TEACHER, temperature).sum(), logits)[0]

    # At high temperatures it tends to the difference of the centred logits over the number of classes.
    centred = (LOGITS - LOGITS.mean(-1, keepdim=True)) - (TEACHER - TEACHER.mean(-1, keepdim=True))
    torch.testing.assert_close(gradient(1000), centred / 3, rtol=2e-2, atol=1e-2)
    assert 0.1 < float(gradient(1).norm() / gradient(1000).norm()) < 10


def test_label_loss_is_cross_entropy_of_soft_targets() -> None:
    labels = torch.tensor([2, 0])
    hard = functional.one_hot(labels, 3).float()
    torch.testing.assert_close(label_loss(LOGITS, hard), functional.cross_entropy(LOGITS, labels, reduction="none"))
    smooth = hard * 0.9 + 0.1 / 3
    expected = functional.cross_entropy(LOGITS, labels, label_smoothing=0.1, reduction="none")
    torch.testing.assert_close(label_loss(LOGITS, smooth), expected)


def test_losses_are_taken_in_float32_whatever_they_are_given() -> None:
    half = LOGITS.bfloat16()
    for loss in (forward_kl(half, TEACHER.bfloat16(), 10), official_kd(half, TEACHER, 10), label_loss(half, TEACHER)):
        assert loss.dtype is torch.float32
