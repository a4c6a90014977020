"""Random streams: a generator for each purpose and place, so that no result depends on processes, threads or kills."""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Stream(IntEnum):
    """What a random stream is for."""

    ORDER = 0
    CLIP = 1
    MIX = 2
    DROP_PATH = 3
    HOLD_OUT = 4


def random_stream(seed: int, stream: Stream, *place: int) -> np.random.RandomState:
    """A generator of its own for each purpose and place (epoch, clip): MT19937, whose output numpy keeps."""
    return np.random.RandomState([seed, int(stream), *place])
