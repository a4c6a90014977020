"""Every random draw of a training, by what it is for: none depends on processes, threads or kills."""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Draw(IntEnum):
    """What is drawn."""

    ORDER = 0
    CLIP = 1
    MIX = 2
    DEPTH = 3
    HOLD_OUT = 4


def stream(seed: int, draw: Draw, *place: int) -> np.random.RandomState:
    """A generator of its own for each purpose and place; MT19937, which numpy keeps as it is for ever."""
    return np.random.RandomState([seed, int(draw), *place])
