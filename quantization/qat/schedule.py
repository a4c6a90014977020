"""The schedule of a training: which clips each step sees, how far it goes, and until when ranges move."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from dvfl_mobile.quantization.settings import QatSettings

_WARM_UP = 0.1


class Schedule:
    """What is to happen in each step; it depends on the settings and the number of clips, and on nothing else.

    Attributes:
        steps: of the whole training.
        frozen_from: the step from which on ranges stay as they are.
    """

    def __init__(self, settings: QatSettings, clips: int) -> None:
        self._settings, self._clips = settings, clips
        self._of_epoch = math.ceil(clips / settings.global_batch)
        self.steps = settings.epochs * self._of_epoch
        self.frozen_from = round(settings.freeze_ranges_after * self.steps)
        self._warm = math.ceil(_WARM_UP * self.steps)

    def batch(self, step: int) -> NDArray[np.int64]:
        """The indices of the clips of a step, in order; an epoch's last batch may be smaller."""
        epoch, place = divmod(step, self._of_epoch)
        order = np.random.RandomState([self._settings.seed, epoch]).permutation(self._clips)
        start = place * self._settings.global_batch
        return order[start : start + self._settings.global_batch]

    def learning_rate(self, step: int) -> float:
        """It grows evenly over the first tenth of all steps, then falls along half a cosine, towards zero."""
        most = self._settings.learning_rate
        if step < self._warm:
            return most * (step + 1) / self._warm
        return most * 0.5 * (1 + math.cos(math.pi * (step - self._warm) / (self.steps - self._warm)))

    def ends_epoch(self, step: int) -> bool:
        return (step + 1) % self._of_epoch == 0
