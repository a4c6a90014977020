"""Second opinions: the same artifact under another runtime, against PyTorch and the first runner."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dvfl_mobile.documents import Verdict, worst_of
from dvfl_mobile.metrics import non_finite
from dvfl_mobile.parity.judge import Check, judge
from dvfl_mobile.parity.measure import measure
from dvfl_mobile.parity.report import SecondOpinion
from dvfl_mobile.parity.thresholds import Thresholds, thresholds_for
from dvfl_mobile.recipes import RECIPES
from dvfl_mobile.runners.opinions import Opinion
from dvfl_mobile.runners.values import Facts, Logits
from dvfl_mobile.targets import Precision
from dvfl_mobile.wording import percent

_SAME_FLOATS = {"float32": "fp32", "float16": "fp16"}
"""The recipe whose thresholds hold for two runtimes that compute alike, by what they compute in."""


def allowed(recipe: str, target: str = "tflite", arithmetic: Precision | None = None) -> Thresholds:
    """How far two runtimes of one file may be from each other.

    Both hold the same weights, so that what rounding them costs is in no difference between the two. Where activations
    are rounded to integers as well, a last bit of float32 makes another integer now and then: the recipe's own
    thresholds allow for that. Elsewhere both compute in float32, in another order at most, and what `fp32` must reach
    holds; or in half precision, where the target does, and what `fp16` must reach.

    Args:
        arithmetic: what one of them computed in, where `arithmetic_of` tells; the other may have computed in float32.

    Raises:
        ArtifactError: no thresholds stand for the recipe.
    """
    own = thresholds_for(recipe)
    known = RECIPES[recipe]
    if known.rounds_activations:
        return own
    if arithmetic == "float16":
        return own.in_half()
    return thresholds_for(_SAME_FLOATS[known.computes_in(target)])


def compared(
    opinion: Opinion,
    facts: Facts,
    recipe: str,
    reference: Logits,
    first: Logits,
    other: Logits,
    names: Sequence[str],
    arithmetic: Precision | None = None,
) -> SecondOpinion:
    """What another runtime made of the clips.

    Args:
        facts: what its runner knows of itself.
        reference: `(N,K)`, the reference form's logits.
        first: `(N,K)`, the first runner's.
        other: `(N,K)`, its own.
        names: N names of clips.
        arithmetic: what the first runner computed in, where `arithmetic_of` tells.

    Raises:
        ArtifactError: it gave logits of another shape.
    """
    pytorch = measure(reference, other, names).pooled
    thresholds = allowed(recipe, opinion.target, arithmetic)
    required = f"{thresholds.required['sqnr']}, {percent(thresholds.min_top1)}"
    pooled = None
    if not non_finite(np.asarray(first, np.float64)).any():
        measurement = measure(first, other, names)
        pooled, judged = measurement.pooled, judge(measurement, thresholds)
        verdict = worst_of([each.verdict for each in judged])
        measured = ", ".join(each.measured for each in judged if each.name != "finite")
        how = "the logits of" if verdict is Verdict.PASS else "other logits than"
        sentence = (
            f"By {opinion.title}, the same file gives {how} the first runner: SQNR {pooled.sqnr}, top-1 "
            f"the same on {pooled.agreement} clips; {required} must be."
        )
    else:
        verdict, measured = Verdict.FAIL, "not measured"
        sentence = f"{opinion.title} can't be compared: not all of the first runner's logits are finite."
    check = Check(
        name=f"opinion_{opinion.name}", required=required, measured=measured, verdict=verdict, sentence=sentence
    )
    return SecondOpinion(
        name=opinion.name, title=opinion.title, runner=facts, pytorch=pytorch, first=pooled, check=check
    )
