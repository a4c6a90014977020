"""Which operators a core ran in XNNPACK, and which outside of it, by the runtimes' own traces of a run."""

from __future__ import annotations

import os
from collections import Counter as Tally

import numpy as np
from numpy.typing import NDArray

from arm_counting.tools import Counter
from dvfl_mobile.artifacts.make import Artifact
from dvfl_mobile.devices.base import find_device
from dvfl_mobile.devices.emulated import QEMU_VARIABLE
from dvfl_mobile.devices.values import OperatorTime, RunOptions


def traced(counter: Counter, cpu: str, artifact: Artifact, clip: NDArray[np.uint8]) -> tuple[OperatorTime, ...]:
    """The operators of an artifact as they ran on a core, six times; their times say nothing.

    Args:
        clip: `(T,3,H,W)`, 0 to 255.

    Raises:
        DeviceError: it doesn't run there.
    """
    os.environ[QEMU_VARIABLE] = str(counter.qemu)
    with find_device(f"arm64:{cpu}").open(artifact.folder, artifact.manifest) as runner:
        return runner.measure(clip, RunOptions(warmup=0, runs=1, threads=1, operators=True)).operators


def kernels(operators: tuple[OperatorTime, ...]) -> dict[str, int]:
    """How many operators had each name; those outside of XNNPACK are marked."""
    return dict(Tally(each.name if each.delegated else f"{each.name} (outside)" for each in operators))
