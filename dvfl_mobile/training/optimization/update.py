"""The optimization step: gradients accumulated over its clips, reduced over all processes, clipped and applied.

Training on labels, distillation and quantization-aware training all take their steps here.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from dvfl_mobile.errors import DvflMobileError
from dvfl_mobile.spelling import option
from dvfl_mobile.training.optimization.gradients import GradientAccumulator
from dvfl_mobile.training.optimization.optimizer import OptimizerSettings, make_optimizer, optimizer_state, set_rate
from dvfl_mobile.training.optimization.precision import Precision
from dvfl_mobile.training.process_group import ProcessGroup

_FIRST_SCALE, _GROW_AFTER = 2.0**16, 2000  # as torch.amp.GradScaler


class Updater:
    """Makes the steps of a training: `add` the loss of each micro-batch, then `apply`.

    Attributes:
        parameters: that are trained, by name.
        changing: all tensors that steps change, by name; changed in place.
        gradient_norm: of all weights together in the last step, before it was clipped.
    """

    def __init__(
        self,
        parameters: Mapping[str, Tensor],
        settings: OptimizerSettings,
        processes: ProcessGroup,
        *,
        precision: Precision,
        figures: int = 1,
        rate_factors: Mapping[str, float] | None = None,
        accumulate_in: torch.dtype = torch.float64,
    ) -> None:
        self.parameters, self._settings, self._processes = parameters, settings, processes
        self._precision = precision
        self._gradients = GradientAccumulator(parameters, processes.device, figures=figures, dtype=accumulate_in)
        self._optimizer = make_optimizer(parameters, settings, rate_factors)
        self._scale = torch.tensor([_FIRST_SCALE if precision == "float16" else 1.0, 0.0], dtype=torch.float64)
        self.gradient_norm = float("nan")
        self.changing: dict[str, Tensor] = {
            **{f"parameters/{name}": values for name, values in parameters.items()},
            **optimizer_state(self._optimizer, parameters),
            "loss_scale": self._scale,
        }

    def begin(self) -> None:
        """Begin a step."""
        self._gradients.clear()

    def add(self, loss: Tensor, *figures: Tensor) -> None:
        """Add a loss, summed over the clips of a micro-batch, with its gradients; and what else is to be summed."""
        self._gradients.add(loss, *figures, scale=float(self._scale[0]))

    def apply(self, step: int, clips: int, learning_rate: float) -> tuple[float, ...] | None:
        """Step along the mean gradient over the `clips` of all processes.

        Returns:
            The mean loss, then the other figures' means; None where the step was left out since float16 overflowed.

        Raises:
            DvflMobileError: the loss or its gradients are no longer finite.
        """
        means = self._gradients.reduce(self._processes, clips, float(self._scale[0]))
        if means is None:
            self._overflowed(step)
            return None
        self.gradient_norm = float(self._clipped())
        set_rate(self._optimizer, learning_rate)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self._grow_scale()
        return means

    def _clipped(self) -> Tensor:
        """The norm of all gradients together, which are then no longer than the settings ask for."""
        if self._settings.clip_gradient is not None:
            return torch.nn.utils.clip_grad_norm_(self.parameters.values(), self._settings.clip_gradient)
        norms = [torch.linalg.vector_norm(v.grad) for v in self.parameters.values() if v.grad is not None]
        return torch.linalg.vector_norm(torch.stack(norms))

    def _overflowed(self, step: int) -> None:
        """In float16, leave the step out and scale the loss down; otherwise, or where that is no help, give up."""
        self._optimizer.zero_grad(set_to_none=True)
        if self._precision == "float16" and self._scale[0] > 1:
            self._scale.copy_(torch.tensor([float(self._scale[0]) / 2, 0.0]))
            return
        raise DvflMobileError(
            f"Training broke down in step {step + 1}: the loss or its gradients are no longer finite.",
            hint=f"Begin anew with a lower {option('learning_rate')} than {self._settings.learning_rate:g}.",
        )

    def _grow_scale(self) -> None:
        if self._precision != "float16":
            return
        self._scale[1] += 1
        if self._scale[1] >= _GROW_AFTER:
            self._scale.copy_(torch.tensor([float(self._scale[0]) * 2, 0.0]))
