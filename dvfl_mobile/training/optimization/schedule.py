"""The schedule of a training: the clips and the learning rate of each step."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from dvfl_mobile.training.randomness import Stream, random_stream
from dvfl_mobile.training.settings import OFFICIAL_BATCH, TrainSettings


class Schedule(ABC):
    """It depends on the settings and the number of clips, and on nothing else.

    Args:
        clips: in the training data.
        epoch_steps: steps in an epoch.
        micro_batch: clips that go through the network at once.

    Attributes:
        epoch_steps: steps in an epoch.
        steps: of the whole training.
    """

    def __init__(self, clips: int, *, epochs: int, epoch_steps: int, global_batch: int, micro_batch: int) -> None:
        self._clips, self._global_batch, self._micro_batch = clips, global_batch, micro_batch
        self.epoch_steps, self.steps = epoch_steps, epochs * epoch_steps
        self._known: tuple[int, NDArray[np.int64]] = (-1, np.zeros(0, np.int64))

    @abstractmethod
    def learning_rate(self, step: int) -> float:
        """The learning rate of a step."""

    @abstractmethod
    def _order(self, epoch: int) -> NDArray[np.int64]:
        """The indices of all clips in the order of an epoch."""

    def epoch(self, step: int) -> int:
        return step // self.epoch_steps

    def ends_epoch(self, step: int) -> bool:
        return (step + 1) % self.epoch_steps == 0

    def batch(self, step: int) -> NDArray[np.int64]:
        """The indices of a step's clips, in order; an epoch's last batch may be smaller."""
        epoch, place = divmod(step, self.epoch_steps)
        if epoch != self._known[0]:
            self._known = (epoch, self._order(epoch))
        start = place * self._global_batch
        return self._known[1][start : start + self._global_batch]

    def chunks(self, step: int, rank: int, count: int) -> list[NDArray[np.int64]]:
        """The clips that process `rank` of `count` puts through the network in a step, as many at once as may be.

        A step is cut in the same pieces whatever the number of processes, so that each piece's gradients are the same.
        """
        batch, size = self.batch(step), self._micro_batch
        pieces = [batch[start : start + size] for start in range(0, len(batch), size)]
        return pieces[rank::count]


class TrainSchedule(Schedule):
    """The official schedule. What is left over of an epoch, as fewer clips than a batch, waits for another one."""

    def __init__(self, settings: TrainSettings, clips: int) -> None:
        super().__init__(
            clips,
            epochs=settings.epochs,
            epoch_steps=max(1, clips // settings.global_batch),
            global_batch=settings.global_batch,
            micro_batch=settings.micro_batch,
        )
        self._settings = settings
        self._warm = settings.warmup_epochs * self.epoch_steps

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
        return random_stream(self._settings.seed, Stream.ORDER, epoch).permutation(self._clips)
