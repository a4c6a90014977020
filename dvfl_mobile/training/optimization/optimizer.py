"""The optimizers: SGD and AdamW, whose state is made at once, so that a saved one can be read into it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

Optimizer = torch.optim.SGD | torch.optim.AdamW


@dataclass(frozen=True)
class OptimizerSettings:
    """Which optimizer, and what is fixed of it for the whole training.

    Attributes:
        learning_rate: the highest of the schedule.
        weight_decay: of matrices and kernels; vectors (biases, norms, layer scales) don't decay, as officially.
        momentum: of sgd, which is Nesterov's. betas, eps: of adamw.
        clip_gradient: longest gradient of all weights together; None for any.
    """

    kind: Literal["sgd", "adamw"]
    learning_rate: float
    weight_decay: float
    momentum: float = 0.9
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    clip_gradient: float | None = None


def make_optimizer(
    parameters: Mapping[str, Tensor], settings: OptimizerSettings, rate_factors: Mapping[str, float] | None = None
) -> Optimizer:
    """The optimizer of `parameters`, by name, with its state of before the first step.

    Args:
        rate_factors: what a parameter's learning rate is multiplied by, where that isn't 1.
    """
    factors = rate_factors or {}
    members: dict[tuple[bool, float], list[Tensor]] = defaultdict(list)
    for name, values in parameters.items():
        members[values.ndim > 1, factors.get(name, 1.0)].append(values)
    groups: list[dict[str, Any]] = [
        {"params": values, "weight_decay": settings.weight_decay if decays else 0.0, "rate_factor": factor}
        for (decays, factor), values in members.items()
    ]
    rate = settings.learning_rate
    optimizer: Optimizer
    if settings.kind == "sgd":
        optimizer = torch.optim.SGD(groups, lr=rate, momentum=settings.momentum, nesterov=settings.momentum > 0)
    else:
        optimizer = torch.optim.AdamW(groups, lr=rate, betas=settings.betas, eps=settings.eps)
    for values in parameters.values():
        optimizer.state[values] = _initial_state(values, settings)
    return optimizer


def optimizer_state(optimizer: Optimizer, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Every tensor of the optimizer's state, by a name of its own; changed in place by its steps."""
    return {
        f"{kind}/{name}": state
        for name, values in parameters.items()
        for kind, state in optimizer.state[values].items()
    }


def set_rate(optimizer: Optimizer, learning_rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = learning_rate * group["rate_factor"]


def _initial_state(values: Tensor, settings: OptimizerSettings) -> dict[str, Tensor]:
    """As the optimizer would make it in its first step: a momentum of zero takes the first gradient as it is."""
    if settings.kind == "sgd":
        return {"momentum_buffer": torch.zeros_like(values)} if settings.momentum > 0 else {}
    return {
        "step": torch.zeros(()),
        "exp_avg": torch.zeros_like(values),
        "exp_avg_sq": torch.zeros_like(values),
    }
