"""Run two artifacts in alternate rounds, so that drift of the machine affects both."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dvfl_mobile.artifacts.make import Artifact
from dvfl_mobile.runners.base import open_runner
from dvfl_mobile.runners.values import Pixels

ROUNDS = 12
_WARMUP = 2


def race(base: Artifact, other: Artifact, clip: Pixels, rounds: int = ROUNDS) -> NDArray[np.float64]:
    """Time of `base` over time of `other`, `(rounds,)`, on this machine's own runners; two rounds more don't count.

    Args:
        clip: `(T,3,H,W)`, 0 to 255.

    Raises:
        InconclusiveError: nothing here runs one of them.
    """
    runners = [open_runner(one.folder, one.manifest) for one in (base, other)]
    times = np.array([[runner.time(clip, 0, 1)[0] for runner in runners] for _ in range(_WARMUP + rounds)], np.float64)
    return times[_WARMUP:, 0] / times[_WARMUP:, 1]
