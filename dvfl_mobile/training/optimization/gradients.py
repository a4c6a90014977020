"""Gradient accumulation over the clips of a step, in one process or in many."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from dvfl_mobile.training.process_group import ProcessGroup


class GradientAccumulator:
    """Accumulates gradients, loss and other figures over the clips of a step; by default in double precision.

    In double precision the sum is the same in whatever order, and by however many processes it is taken, but for an
    unlikely last bit.
    """

    def __init__(
        self,
        parameters: Mapping[str, Tensor],
        device: torch.device,
        figures: int = 1,
        dtype: torch.dtype = torch.float64,
    ) -> None:
        self._parameters = list(parameters.values())
        sizes = [values.numel() for values in self._parameters]
        self._all = torch.zeros(sum(sizes) + figures, dtype=dtype, device=device)
        *parts, self._figures = self._all.split([*sizes, figures])
        self._parts = [part.view_as(values) for part, values in zip(parts, self._parameters, strict=True)]

    def clear(self) -> None:
        self._all.zero_()

    def add(self, loss: Tensor, *figures: Tensor, scale: float = 1.0) -> None:
        """Add a loss, its gradients times `scale`, and what else is to be summed."""
        (loss * scale if scale != 1.0 else loss).backward()
        self._figures += torch.stack([loss.detach(), *(value.detach() for value in figures)])
        for part, values in zip(self._parts, self._parameters, strict=True):
            if values.grad is not None:
                part += values.grad
                values.grad = None

    def reduce(self, processes: ProcessGroup, clips: int, scale: float = 1.0) -> tuple[float, ...] | None:
        """Give each parameter the mean gradient over the clips of all processes.

        Returns:
            The mean loss, then the other figures' means; None where one of them or a gradient isn't finite.
        """
        processes.sum(self._all).div_(clips)
        if not bool(self._all.isfinite().all()):
            return None
        for part, values in zip(self._parts, self._parameters, strict=True):
            values.grad = (part / scale if scale != 1.0 else part).to(values.dtype)
        return tuple(self._figures.tolist())
