"""Check the output of the timed runs: a wrong answer's latency isn't reported."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from dvfl_mobile.documents import Verdict
from dvfl_mobile.metrics import Floats, logits_sqnr_db, non_finite
from dvfl_mobile.parity.thresholds import arithmetic_of, thresholds_for
from dvfl_mobile.profiling.document import OutputCheck, Round
from dvfl_mobile.profiling.subjects import Subject
from dvfl_mobile.runners.values import Logits
from dvfl_mobile.targets import Precision
from dvfl_mobile.wording import decibels

ONE_CLIP_DB = 6.0
"""A recipe's threshold is for many clips together; one clip's error may well be twice the amplitude of the mean's."""


_NOT_FINITE = "The output is wrong: its logits are not finite."


def check_output(
    subject: Subject,
    logits: Logits,
    rounds: Sequence[Round],
    *,
    same_options: bool,
    computes_in: Precision | None = None,
) -> OutputCheck:
    """Hold what a device gave for the clip against the reference form, and against what its timed processes gave.

    Args:
        logits: `(K,)`, of the device's own `run` of the clip.
        same_options: whether that ran with the threads and units of the timed runs. If not, sums may be taken in
            another order and differ in their last bits, so that other bytes prove nothing.
        computes_in: what the device computes floats in, whatever the recipe says; None: as it says.
    """
    digest = hashlib.sha256(np.ascontiguousarray(logits, "<f4").tobytes()).hexdigest()
    timed = {each.output_sha256 for each in rounds}
    manifest = subject.artifact.manifest
    thresholds = thresholds_for(manifest.recipe, computes_in)
    delegate = manifest.delegation.delegate if computes_in is None else None
    if arithmetic_of(manifest.recipe, delegate, logits) == "float16":
        thresholds = thresholds.in_half()
    required = thresholds.min_sqnr_db - ONE_CLIP_DB
    verdict, sentence, reached = _judged(subject, logits.astype(np.float64), required)
    if verdict is not Verdict.FAIL and timed != {digest}:
        verdict, sentence = _other_bytes(len(timed), same_options=same_options)
    return OutputCheck(
        sha256=digest,
        is_reproduced=timed == {digest},
        sqnr_db=reached,
        required_db=required,
        verdict=verdict,
        sentence=sentence,
    )


def _judged(subject: Subject, logits: Floats, required: float) -> tuple[Verdict, str, float | None]:
    """The verdict, its sentence, and the SQNR where there is one."""
    if subject.expected is None:
        if non_finite(logits).any():
            return Verdict.FAIL, _NOT_FINITE, None
        return Verdict.INCONCLUSIVE, f"Whether the output is right wasn't checked: {subject.why_not}", None
    if logits.shape != subject.expected.shape:
        return Verdict.FAIL, "The output is wrong: it has another shape than the reference form's.", None
    expected = subject.expected.astype(np.float64)
    if non_finite(logits, expected).any():
        return Verdict.FAIL, _NOT_FINITE, None
    reached = logits_sqnr_db(expected[None], logits[None])
    if reached is None:
        why = "on the timed clip one class has all the probability, so that no other logit can be compared."
        return Verdict.INCONCLUSIVE, f"Whether the output is right wasn't checked: {why}", None
    nearness = f"{decibels(reached)} against the reference form on the timed clip"
    if reached < required:
        return Verdict.FAIL, f"The output is wrong: {nearness}, and {required:g} dB is the least.", reached
    return Verdict.PASS, f"The output is right: {nearness}, and every timed process gave those very logits.", reached


def _other_bytes(count: int, *, same_options: bool) -> tuple[Verdict, str]:
    if count > 1:
        return Verdict.FAIL, f"The output isn't reliable: timed processes gave {count} different sets of logits."
    if same_options:
        return Verdict.FAIL, "The output is wrong: the timed processes gave other logits than a run of the same clip."
    return Verdict.INCONCLUSIVE, (
        "Whether the output is right wasn't checked: with these threads, cores or units the logits differ from those "
        "of a plain run, which may be the order of sums."
    )
