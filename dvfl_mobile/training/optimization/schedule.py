"""What is to happen in each step: which clips it sees, and how far it goes."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from dvfl_mobile.training.randomness import Stream, random_stream
from dvfl_mobile.training.settings import OFFICIAL_BATCH, TrainSettings


class Schedule:
    """It depends on the settings and the number of clips, and on nothing else.

    Attributes:
        epoch_steps: steps in an epoch. What is left over of it, as fewer clips than a batch, waits for another one.
        steps: of the whole training.
    """

    def __init__(self, settings: TrainSettings, clips: int) -> None:
        self._settings, self._clips = settings, clips
        self.epoch_steps = max(1, clips // settings.global_batch)
        self.steps = settings.epochs * self.epoch_steps
        self._known: tuple[int, NDArray[np.int64]] = (-1, np.zeros(0, np.int64))
        self._warm = settings.warmup_epochs * self.epoch_steps

    def epoch(self, step: int) -> int:
        return step // self.epoch_steps

    def ends_epoch(self, step: int) -> bool:
        return (step + 1) % self.epoch_steps == 0

    def batch(self, step: int) -> NDArray[np.int64]:
        """The indices of a step's clips, in order."""
        epoch, place = divmod(step, self.epoch_steps)
        start = place * self._settings.global_batch
        return self._order(epoch)[start : start + self._settings.global_batch]

    def chunks(self, step: int, rank: int, count: int) -> list[NDArray[np.int64]]:
        """The clips that process `rank` of `count` puts through the network in a step, as many at once as may be.

        A step is cut in the same pieces whatever the number of processes, so that each piece's gradients are the same.
        """
        batch, size = self.batch(step), self._settings.micro_batch
        pieces = [batch[start : start + size] for start in range(0, len(batch), size)]
        return pieces[rank::count]

    def learning_rate(self, step: int) -> float:
        """A straight line in the warm-up, then a cosine that began with the first step: the official schedule (timm's).

        Where the one goes over into the other it drops a little, since the cosine doesn't wait for the warm-up's end.
        """
        scale = self._settings.global_batch / OFFICIAL_BATCH
        first, most, last = (
            rate * scale
            for rate in (
                self._settings.warmup_learning_rate,
                self._settings.learning_rate,
                self._settings.min_learning_rate,
            )
        )
        if step < self._warm:
            return first + step * (most - first) / self._warm
        return last + 0.5 * (most - last) * (1 + math.cos(math.pi * step / self.steps))

    def _order(self, epoch: int) -> NDArray[np.int64]:
        if epoch != self._known[0]:
            self._known = (epoch, random_stream(self._settings.seed, Stream.ORDER, epoch).permutation(self._clips))
        return self._known[1]
