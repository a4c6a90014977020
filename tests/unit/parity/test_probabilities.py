"""A verdict rests on probabilities: what changes none of them changes no figure, and no few logits make one."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dvfl_mobile.artifacts.manifest import ArtifactFacts
from dvfl_mobile.data.clips import ClipFacts
from dvfl_mobile.documents import Verdict
from dvfl_mobile.evaluation.figures import mean_probabilities
from dvfl_mobile.metrics import FAINT, compared, logits_sqnr_db, non_finite, sqnr_db
from dvfl_mobile.parity.measure import measure
from dvfl_mobile.parity.report import ParityReport, decided
from dvfl_mobile.quantization.mixed.sensitivity import figures_of
from dvfl_mobile.recipes import RECIPES

Array = NDArray[np.float64]
CLIPS = 24


def report_on(reference: Array, candidate: Array, recipe: str = "static_wi8_ai8") -> ParityReport:
    artifact = ArtifactFacts(model="nano", target="tflite", recipe=recipe, path="out")
    names = [f"clip{index}" for index in range(len(reference))]
    return decided(
        artifact, {}, ClipFacts(count=len(names), source="x"), "checkpoint", measure(reference, candidate, names)
    )


def top_five(*every: Array) -> set[int]:
    return {int(each) for logits in every for row in logits for each in np.argsort(-row, kind="stable")[:5]}


def figures(report: ParityReport) -> list[float]:
    rows = (report.pooled, *report.rows)
    names = ("sqnr_db", "max_abs_diff", "cosine", "kl_nats", "top5_overlap")
    margins = [row.flip_margin or 0.0 for row in report.rows]
    values = [getattr(row, name) for row in rows for name in names]
    # Two logits may differ from their mean by the same: what is left is the last bit of float64, near 300 dB.
    values = [min(value, 200.0) if isinstance(value, float) else value for value in values]
    return values + margins + [report.pooled.reference_rms]


@settings(deadline=None, max_examples=150)
@given(
    seed=st.integers(0, 2**32 - 1),
    classes=st.sampled_from([2, 5, 8, 40, 400]),
    spread=st.sampled_from([0.3, 1.5, 4.0]),
    decibels=st.sampled_from([-3, 6, 19, 21, 46, 112]),
    recipe=st.sampled_from(["fp32", "fp16", "static_wi8_ai8"]),
    mask=st.sampled_from([-60.0, -1e2, -1e4, -65504.0, -3e38, -np.inf]),
)
def test_shifts_and_masks_leave_verdicts_and_figures_as_they_are(
    seed: int, classes: int, spread: float, decibels: float, recipe: str, mask: float
) -> None:
    stream = np.random.default_rng(seed)
    reference = stream.normal(0, spread, (6, classes))
    candidate = reference + stream.normal(0, spread * 10 ** (-decibels / 20), reference.shape)
    plain = report_on(reference, candidate, recipe)
    others = sorted(set(range(classes)) - top_five(reference, candidate))
    hidden = [each for each in others if stream.random() < 0.5]
    first, second = reference.copy(), candidate.copy()
    first[:, hidden], second[:, hidden] = mask, mask
    first += stream.uniform(-100, 100, (6, 1))
    second += stream.uniform(-100, 100, (6, 1))
    found = report_on(first, second, recipe)
    assert [check.verdict for check in found.checks] == [check.verdict for check in plain.checks]
    assert (found.verdict, found.near_ties) == (plain.verdict, plain.near_ties)
    assert found.pooled is not None
    assert plain.pooled is not None
    assert found.pooled.agreement == plain.pooled.agreement
    # Sums of float64 near 100: their last bit is 1e-14, where 112 dB below 0.3 is 1e-6.
    assert figures(found) == pytest.approx(figures(plain), rel=1e-6, abs=1e-9)


def far_off() -> tuple[Array, Array]:
    """Logits of a network, and of an artifact that is nowhere near: about 6 dB, some top-1 flipped."""
    stream = np.random.default_rng(3)
    reference = stream.normal(0, 2, (CLIPS, 8))
    return reference, reference + stream.normal(0, 1, reference.shape)


def biased(by: float, classes: slice | list[int]) -> tuple[Array, Array]:
    reference, candidate = far_off()
    reference[:, classes] += by
    candidate[:, classes] += by
    return reference, candidate


@pytest.mark.parametrize("by", [-40.0, -100.0, -1e4, -np.inf])
@pytest.mark.parametrize("classes", [[3], [0, 5], [1, 2, 3, 4, 5]])
def test_a_masked_class_buys_no_verdict(by: float, classes: list[int]) -> None:
    reference, candidate = far_off()
    left = [each for each in range(8) if each not in classes]
    without = report_on(reference[:, left], candidate[:, left])
    masked = report_on(*biased(by, classes))
    assert masked.verdict is without.verdict is Verdict.FAIL
    assert without.pooled is not None
    assert masked.pooled is not None
    assert masked.pooled.sqnr_db == pytest.approx(without.pooled.sqnr_db)
    assert masked.pooled.kl_nats == pytest.approx(without.pooled.kl_nats)
    assert masked.pooled.reference_rms == pytest.approx(without.pooled.reference_rms)


@pytest.mark.parametrize("by", [100.0, 1e4, -1e4])
def test_a_constant_on_all_logits_buys_no_verdict(by: float) -> None:
    plain, moved = report_on(*far_off()), report_on(*biased(by, slice(None)))
    assert moved.verdict is plain.verdict is Verdict.FAIL
    assert figures(moved) == pytest.approx(figures(plain), rel=1e-6)


@pytest.mark.parametrize("by", [40.0, 100.0, 1e4])
def test_where_one_class_has_all_the_probability_nothing_is_decided(by: float) -> None:
    report = report_on(*biased(by, [3]))
    assert report.verdict is Verdict.INCONCLUSIVE
    assert report.verdict.exit_code == 7
    assert report.pooled is not None
    assert (report.pooled.sqnr_db, report.pooled.sqnr) == (None, "nothing to compare")
    [reason] = report.reasons
    assert "one and the same class has all the probability" in reason


def test_a_logit_far_above_the_others_counts_no_more_than_it_has_probability() -> None:
    stream = np.random.default_rng(5)
    reference = stream.normal(0, 1, (CLIPS, 8))
    reference[0, 0] = 1e5  # in one clip alone, so that the others still tell
    candidate = reference + stream.normal(0, 1, reference.shape)
    assert sqnr_db(reference, candidate) > 60
    found = report_on(reference, candidate)
    assert found.pooled is not None
    assert found.pooled.sqnr_db is not None
    assert found.pooled.sqnr_db < 10
    assert found.verdict is Verdict.FAIL


def test_only_a_masked_classs_infinity_is_finite() -> None:
    reference = np.array([[3.0, 1, -np.inf], [2, 0, -1e5]])
    assert not non_finite(reference).any()
    assert non_finite(np.full((1, 3), -np.inf)).all()
    assert non_finite(np.array([[np.inf, 0.0]])).tolist() == [[True, False]]
    candidate = np.array([[3.0, -np.inf, -np.inf], [2, 0, -np.inf]])
    assert non_finite(candidate, reference).tolist() == [[False, True, False], [False, False, False]]
    report = report_on(reference, candidate)
    assert "The artifact's logits are not finite: 1 value in 1 clip (clip0)." in report.reasons


def test_an_artifact_that_forgot_the_mask_fails() -> None:
    reference, _ = biased(-np.inf, [3])
    candidate, _ = far_off()
    assert report_on(reference, candidate).verdict is Verdict.FAIL


def test_a_network_with_a_class_masked_passes_as_one_without() -> None:
    stream = np.random.default_rng(7)
    reference, _ = biased(-np.inf, [3])
    candidate = reference + stream.normal(0, 1e-7, reference.shape)
    for recipe in RECIPES:
        assert report_on(reference, candidate, recipe).verdict is Verdict.PASS


def test_classes_that_no_clip_shows_are_counted_and_said() -> None:
    reference = np.tile(np.arange(10.0), (3, 1))
    report = report_on(reference, reference + 1e-9 * np.arange(10))
    assert report.pooled is not None
    assert (report.pooled.classes, report.pooled.compared_classes) == (10, 5)
    assert any("5 of 10 classes were compared" in note for note in report.notes)


def test_every_judge_of_logits_sees_the_same() -> None:
    reference, candidate = biased(-1e4, [3])
    left = [0, 1, 2, 4, 5, 6, 7]
    plain = logits_sqnr_db(reference[:, left], candidate[:, left])
    assert logits_sqnr_db(reference, candidate) == pytest.approx(plain)
    assert figures_of(reference, candidate).sqnr_db == pytest.approx(plain)
    row = np.array([[1.0, 2.0, -np.inf]])
    assert mean_probabilities(row) == pytest.approx([1 / (1 + math.e), math.e / (1 + math.e), 0])
    assert mean_probabilities(np.array([[1.0, np.nan, -np.inf]])) is None


def test_what_is_compared_lies_within_a_float32s_step_of_probability() -> None:
    left = compared(np.array([[0.0, -10, -40, -1e9]]), np.array([[0.0, -10, -60, -1e8]]))
    assert left.classes.tolist() == [0, 1]
    assert math.exp(-FAINT) == pytest.approx(2**-23)
    assert left.reference.tolist() == [[5, -5]]
