"""Compare measured figures with thresholds: a check each, with near ties excused."""

from __future__ import annotations

from collections.abc import Iterable

from dvfl_mobile.documents import Document, Line, Verdict
from dvfl_mobile.parity.measure import ClipMetrics, Measurement, PooledMetrics
from dvfl_mobile.parity.thresholds import Thresholds
from dvfl_mobile.wording import first_few, percent, plural


class Check(Document):
    """One threshold held against what was measured.

    Attributes:
        name: `sqnr`, `top1` or `finite`.
        sentence: what was found, to be read alone.
    """

    name: str
    required: str
    measured: str
    verdict: Verdict
    sentence: Line


def judge(measurement: Measurement, thresholds: Thresholds) -> tuple[Check, ...]:
    """Hold a measurement against the thresholds of its recipe."""
    return (
        _judge_sqnr(measurement.pooled, thresholds),
        _judge_top1(measurement, thresholds),
        _judge_finite(measurement, thresholds),
    )


def near_ties(clips: Iterable[ClipMetrics], pooled: PooledMetrics, thresholds: Thresholds) -> tuple[ClipMetrics, ...]:
    """Clips whose top-1 flipped between classes that the reference itself puts within the recipe's near-tie width."""
    width = thresholds.near_tie_width(pooled.reference_rms)
    return tuple(row for row in clips if row.flip_margin is not None and row.flip_margin <= width)


def _judge_sqnr(pooled: PooledMetrics, thresholds: Thresholds) -> Check:
    required = thresholds.required["sqnr"]
    whose = thresholds.recipe if thresholds.recipe_sqnr_db is None else "changed"
    bound = f"{thresholds.min_sqnr_db:g} dB ({whose})"
    measured = pooled.sqnr
    if pooled.sqnr_db is None and pooled.non_finite:
        sentence = "SQNR can't be measured: some of the artifact's logits are not finite."
        return Check(name="sqnr", required=required, measured=measured, verdict=Verdict.FAIL, sentence=sentence)
    if pooled.sqnr_db is None:
        sentence = "On every clip one and the same class has all the probability: no other logit can be compared."
        return Check(name="sqnr", required=required, measured=measured, verdict=Verdict.INCONCLUSIVE, sentence=sentence)
    passed = pooled.sqnr_db >= thresholds.min_sqnr_db
    return Check(
        name="sqnr",
        required=required,
        measured=measured,
        verdict=Verdict.PASS if passed else Verdict.FAIL,
        sentence=f"SQNR {measured} is {'at least' if passed else 'below'} {bound}.",
    )


def _judge_top1(measurement: Measurement, thresholds: Thresholds) -> Check:
    pooled = measurement.pooled
    ties = len(near_ties(measurement.clips, pooled, thresholds))
    passed = (pooled.agreeing + ties) / pooled.clips >= thresholds.min_top1
    excused = f" (and {plural(ties, 'near tie')})" if ties else ""
    return Check(
        name="top1",
        required=thresholds.required["top1"],
        measured=pooled.agreement + (f" + {plural(ties, 'near tie')}" if ties else ""),
        verdict=Verdict.PASS if passed else Verdict.FAIL,
        sentence=f"Top-1 agrees with the reference on {pooled.agreement} clips{excused}; "
        f"at least {percent(thresholds.min_top1)} must ({thresholds.recipe}).",
    )


def _judge_finite(measurement: Measurement, thresholds: Thresholds) -> Check:
    bad = [row.name for row in measurement.clips if row.non_finite]
    count = measurement.pooled.non_finite
    where = f"{plural(count, 'value')} in {plural(len(bad), 'clip')}"
    return Check(
        name="finite",
        required=thresholds.required["finite"],
        measured=f"all but {where}" if bad else "all",
        verdict=Verdict.FAIL if bad else Verdict.PASS,
        sentence=f"The artifact's logits are not finite: {where} ({first_few(bad)})."
        if bad
        else "All of the artifact's logits are finite.",
    )
