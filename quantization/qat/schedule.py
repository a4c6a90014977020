"""The schedule of quantization-aware training: every clip in every epoch, and until when ranges move."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from dvfl_mobile.quantization.settings import QatSettings
from dvfl_mobile.training.optimization.schedule import Schedule

_WARM_UP = 0.1


class QatSchedule(Schedule):
    """Clips go through the network one at a time: a deploy form takes one.

    Attributes:
        frozen_from: the step from which on ranges stay as they are.
    """

    def __init__(self, settings: QatSettings, clips: int) -> None:
        super().__init__(
            clips,
            epochs=settings.epochs,
            epoch_steps=math.ceil(clips / settings.global_batch),
            global_batch=settings.global_batch,
            micro_batch=1,
        )
        self._settings = settings
        self.frozen_from = round(settings.freeze_ranges_after * self.steps)
        self._warm = math.ceil(_WARM_UP * self.steps)

    def learning_rate(self, step: int) -> float:
        """It grows evenly over the first tenth of all steps, then falls along half a cosine, towards zero."""
        most = self._settings.learning_rate
        if step < self._warm:
            return most * (step + 1) / self._warm
        return most * 0.5 * (1 + math.cos(math.pi * (step - self._warm) / (self.steps - self._warm)))

    def _order(self, epoch: int) -> NDArray[np.int64]:
        # The order is all that is random here, so its stream is by seed and epoch alone.
        return np.random.RandomState([self._settings.seed, epoch]).permutation(self._clips)
