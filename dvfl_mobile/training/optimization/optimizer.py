"""The optimizer, with all it remembers there from the start, so that a state can be read into it before a step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from dvfl_mobile.training.settings import TrainSettings

Optimizer = torch.optim.SGD | torch.optim.AdamW


def make_optimizer(parameters: Mapping[str, Tensor], settings: TrainSettings) -> Optimizer:
    """SGD with Nesterov's momentum, or AdamW; vectors (biases, norms, layer scales) don't decay, as officially."""
    decaying = [values for values in parameters.values() if values.ndim > 1]
    others = [values for values in parameters.values() if values.ndim <= 1]
    groups: list[dict[str, Any]] = [{"params": decaying}, {"params": others, "weight_decay": 0.0}]
    rate, decay = settings.learning_rate, settings.weight_decay
    optimizer: Optimizer
    if settings.optimizer == "sgd":
        optimizer = torch.optim.SGD(
            groups, lr=rate, weight_decay=decay, momentum=settings.momentum, nesterov=settings.momentum > 0
        )
    else:
        optimizer = torch.optim.AdamW(groups, lr=rate, weight_decay=decay, betas=settings.betas, eps=settings.eps)
    for values in parameters.values():
        optimizer.state[values] = _remembered(values, settings)
    return optimizer


def memory_of(optimizer: Optimizer, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Every tensor that the optimizer remembers, by a name of its own; changed in place by its steps."""
    return {
        f"{kind}/{name}": remembered
        for name, values in parameters.items()
        for kind, remembered in optimizer.state[values].items()
    }


def set_rate(optimizer: Optimizer, learning_rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = learning_rate


def _remembered(values: Tensor, settings: TrainSettings) -> dict[str, Tensor]:
    """As the optimizer would make it in its first step: a momentum of zero takes the first gradient as it is."""
    if settings.optimizer == "sgd":
        return {"momentum_buffer": torch.zeros_like(values)} if settings.momentum > 0 else {}
    return {
        "step": torch.zeros(()),
        "exp_avg": torch.zeros_like(values),
        "exp_avg_sq": torch.zeros_like(values),
    }
