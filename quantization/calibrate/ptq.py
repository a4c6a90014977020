"""Post-training quantization: calibrates the scales of a student on clips, and rounds its weights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dvfl_mobile.model.build import sha256_of_weights
from dvfl_mobile.model.student import Student
from dvfl_mobile.progress import Step, silent
from dvfl_mobile.quantization.calibrate import cache
from dvfl_mobile.quantization.calibrate.observers import BY_ORDER
from dvfl_mobile.quantization.calibrate.token_scaling import layers_to_scale
from dvfl_mobile.quantization.graph import graphs
from dvfl_mobile.quantization.graph.forms import QuantizedForm, deploy_form, freeze
from dvfl_mobile.quantization.graph.repeats import without_repeats
from dvfl_mobile.quantization.settings import CalibrationFacts, Quantization

_CLIPS_FOR_TOKEN_SCALING = 16


def quantize(
    student: Student,
    recipe: str,
    clips: NDArray[np.uint8],
    calibration: CalibrationFacts,
    keep: Sequence[str] = (),
    step: Step = silent,
) -> QuantizedForm:
    """Static quantization: run the clips through the deploy form, watch every edge, and round.

    Scales that were found before, of the same weights on the same clips, are taken from the cache.

    Args:
        recipe: its name, `static_wi8_ai8` or `auto`.
        clips: `(N,T,3,H,W)`, 0 to 255.
        calibration: what they are; its `observer` chooses the ranges.
        keep: patterns of modules that stay float.
    """
    key = cache.key_of(
        {
            "weights": sha256_of_weights(student.network.state_dict()),
            "architecture": student.architecture.model_dump_json(),
            "clip": student.clip.model_dump_json(),
            "clips": calibration.sha256,
            "observer": calibration.observer,
            "keep": "\n".join(keep),
        }
    )
    known = cache.recall(key)
    if known is None:
        known = _find(student, clips, calibration.observer, keep, step)
        cache.keep(key, known)
    settings = known.model_copy(update={"recipe": recipe, "calibration": calibration})
    return freeze(student, settings)


def _find(student: Student, clips: NDArray[np.uint8], observer: str, keep: Sequence[str], step: Step) -> Quantization:
    """Per-token scaled layers, scales and products of a student, by what it does with the clips."""
    some = clips[np.linspace(0, len(clips) - 1, min(len(clips), _CLIPS_FOR_TOKEN_SCALING)).round().astype(int)]
    with step("look for tokens of unequal size"):
        per_token_scaled = layers_to_scale(deploy_form(student, ()), some)
    form = deploy_form(student, per_token_scaled)
    with step("calibrate", len(clips)) as advance:
        graph, scales, products = graphs.watched(form, student.raw_clip.shape, observer, keep, len(clips))
        graphs.run_clips(without_repeats(graph), clips, advance, in_turn=observer in BY_ORDER)
    return Quantization(
        recipe="static_wi8_ai8",
        method="ptq",
        keep=tuple(keep),
        per_token_scaled=per_token_scaled,
        scales=scales(),
        products={product.path: product.reads for product in products},
    )
