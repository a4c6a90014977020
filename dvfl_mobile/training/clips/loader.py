"""The data loader: threads prepare samples ahead, and chunks come out in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dvfl_mobile.training.clips.data import Sample, Samples

_AHEAD = 2


@dataclass(frozen=True, eq=False)
class Chunk:
    """Clips that go through the network at once.

    Attributes:
        samples: their numbers in the data.
        pixels: `(B,T,3,S,S)`, uint8.
    """

    samples: list[int]
    epoch: int
    pixels: Tensor
    labels: list[int | None]


def load(samples: Samples, wanted: Iterable[tuple[int, Sequence[int]]], workers: int) -> Generator[Chunk, None, None]:
    """The chunks of clips that are wanted, as (epoch, indices), in order, made a few chunks ahead.

    PyAV and numpy let go of the interpreter where they work, so threads do, and share what is known of the videos.
    """
    waiting: deque[tuple[int, list[int], list[Future[Sample]]]] = deque()
    with ThreadPoolExecutor(max(1, workers), thread_name_prefix="clips") as pool:
        try:
            for epoch, indices in wanted:
                numbers = [int(index) for index in indices]
                waiting.append((epoch, numbers, [pool.submit(samples.sample, index, epoch) for index in numbers]))
                if len(waiting) > _AHEAD:
                    yield _made(*waiting.popleft())
            while waiting:
                yield _made(*waiting.popleft())
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _made(epoch: int, numbers: list[int], futures: list[Future[Sample]]) -> Chunk:
    made = [future.result() for future in futures]
    pixels = torch.from_numpy(np.stack([sample.pixels for sample in made]))
    return Chunk(numbers, epoch, pixels, [sample.label for sample in made])
