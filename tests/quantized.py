"""Quantized forms of small students, for tests: calibrated on drawn clips, which aren't noise to the network."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import cache
from typing import Any
from unittest import mock

import numpy as np

from dvfl_mobile.data.drawn import moving_shapes
from dvfl_mobile.model.default import seeded_student
from dvfl_mobile.model.student import Student
from dvfl_mobile.quantization.settings import CalibrationFacts
from tests.checkpoints import SMALL
from tests.threads import threads

CLIPS = 8


@cache
def small_student() -> Student:
    return seeded_student(SMALL)


@cache
def drawn(count: int = CLIPS, seed: int = 0) -> Any:
    """Clips of the small student, `(N,T,3,H,W)` uint8."""
    return np.stack([clip.pixels for clip in moving_shapes(small_student().clip, count, seed)])


def facts(clips: Any, observer: str = "mse") -> CalibrationFacts:
    digest = hashlib.sha256(clips.tobytes()).hexdigest()
    return CalibrationFacts(source="drawn", clips=len(clips), classes=0, seed=0, observer=observer, sha256=digest)


@cache
def small_form(observer: str = "mse", keep: tuple[str, ...] = (), recipe: str = "static_wi8_ai8") -> Any:
    """The small student's quantized form: the same in each of a run's processes, whatever ran there before.

    The patches after its first stage are scaled per token, as some of a trained nano's are, and the others not.
    """
    from dvfl_mobile.quantization.calibrate import ptq, token_scaling

    with threads(1), mock.patch.object(token_scaling, "LEAST_DB_OF_PATCHES", 34.0):
        return ptq.quantize(small_student(), recipe, drawn(), facts(drawn(), observer), keep)


def with_scale(form: Any, key: str, factor: float) -> Any:
    """A form with one tensor rounded `factor` times as coarsely."""
    scale = form.settings.scales[key]
    scales = form.settings.scales | {key: scale.model_copy(update={"scale": scale.scale * factor})}
    return replace(form, settings=form.settings.model_copy(update={"scales": scales}))
