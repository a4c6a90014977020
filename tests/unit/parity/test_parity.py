"""Metrics against values worked out by hand, thresholds at their edges, and verdicts that can't pass unseen."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import ValidationError

from dvfl_mobile.artifacts.manifest import ArtifactFacts
from dvfl_mobile.data.clips import ClipFacts
from dvfl_mobile.documents import Verdict, worst_of
from dvfl_mobile.errors import ArtifactError, CheckpointError, InputError
from dvfl_mobile.metrics import cosine, kl_nats, sqnr_db, top5_overlap
from dvfl_mobile.parity.measure import measure
from dvfl_mobile.parity.report import ParityReport, decided, undecided
from dvfl_mobile.parity.thresholds import thresholds_for
from dvfl_mobile.recipes import RECIPES

# Steps of 2^-10 keep every value and difference exact in float64.
LOGITS = arrays(np.float64, (3, 6), elements=st.integers(-20_000, 20_000).map(lambda step: step / 1024))
CLIPS = ClipFacts(count=2, source="somewhere")


def artifact(recipe: str = "fp16") -> ArtifactFacts:
    return ArtifactFacts(model="nano", target="tflite", recipe=recipe, path=f"out/nano/tflite/{recipe}")


def report_of(reference, candidate, recipe: str = "fp16", weights="checkpoint") -> ParityReport:
    names = [f"clip{index}" for index in range(len(reference))]
    return decided(artifact(recipe), {"runtime": "x"}, CLIPS, weights, measure(reference, candidate, names))


def logits_at(sqnr: float, clips: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Logits with clear winners, and others at exactly that SQNR: noise on the least class only."""
    reference = np.tile(np.array([[10.0, 4.0, 1.0]]), (clips, 1))
    candidate = reference.copy()
    # Less their mean, the logits are 5, -1 and -4, and of the error's power two thirds are left.
    candidate[:, 2] -= np.sqrt(42 * 3 / 2) * 10 ** (-sqnr / 20)
    return reference, candidate


def test_metrics_by_hand():
    reference, candidate = np.array([[3.0, 4.0]]), np.array([[3.0, 4.5]])
    assert sqnr_db(reference, candidate) == pytest.approx(20.0)  # 10 log10(25 / 0.25)
    assert cosine(reference, candidate) == pytest.approx(27 / (5 * math.sqrt(29.25)))
    p, q = 1 / (1 + math.exp(-1)), 1 / (1 + math.exp(-1.5))
    assert kl_nats(reference, candidate) == pytest.approx(p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q)))


def test_pooled_sqnr_is_over_all_values_and_not_a_mean_of_decibels():
    pooled = measure([[3.0, 4.0], [30.0, 40.0]], [[3.0, 4.5], [30.0, 40.5]], ["a", "b"]).pooled
    # Less their means: -0.5 and 0.5, -5 and 5; errors of -0.25 and 0.25.
    assert pooled.sqnr_db == pytest.approx(10 * math.log10(50.5 / 0.25))
    assert pooled.max_abs_diff == 0.25
    assert (pooled.worst_clip, pooled.worst_sqnr_db) == ("a", pytest.approx(10 * math.log10(0.5 / 0.125)))
    assert pooled.reference_rms == pytest.approx(math.sqrt(50.5 / 4))


def test_pooled_kl_and_top5_are_means_over_clips():
    reference, candidate = np.array([[0.0, 1.0], [2.0, 0.0]]), np.array([[0.5, 1.0], [2.0, 0.0]])
    measured = measure(reference, candidate, ["a", "b"])
    assert measured.pooled.kl_nats == pytest.approx(kl_nats(reference[:1], candidate[:1]) / 2)


def test_top5_counts_members_whatever_their_order():
    reference = np.array([[7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0]])
    assert top5_overlap(reference, np.array([[3.0, 4.0, 5.0, 6.0, 7.0, 2.0, 1.0]])) == 1.0
    assert top5_overlap(reference, np.array([[7.0, 6.0, 5.0, 1.0, 0.0, 4.0, 3.0]])) == pytest.approx(3 / 5)
    assert top5_overlap(np.array([[1.0, 2.0]]), np.array([[2.0, 1.0]])) == 1.0


def test_top5_mean_is_over_clips():
    reference = np.array([[7.0, 6.0, 5.0, 4.0, 3.0, 2.0]] * 2)
    candidate = np.array([[7.0, 6.0, 5.0, 4.0, 3.0, 2.0], [7.0, 6.0, 5.0, 4.0, 2.0, 3.0]])
    assert top5_overlap(reference, candidate) == pytest.approx(0.9)


@given(reference=LOGITS, candidate=LOGITS, power=st.integers(-8, 8))
@settings(deadline=None, max_examples=100)
def test_joint_scaling_changes_no_sqnr_or_cosine(reference, candidate, power):
    scale = 2.0**power
    assert sqnr_db(scale * reference, scale * candidate) == pytest.approx(sqnr_db(reference, candidate))
    assert cosine(scale * reference, scale * candidate) == pytest.approx(cosine(reference, candidate))


@given(reference=LOGITS, candidate=LOGITS)
@settings(deadline=None, max_examples=100)
def test_every_metric_stays_in_its_range(reference, candidate):
    pooled = measure(reference, candidate, ["a", "b", "c"]).pooled
    assert pooled.kl_nats >= 0
    assert -1 <= pooled.cosine <= 1
    assert 0 <= pooled.top5_overlap <= 1
    assert not math.isnan(pooled.sqnr_db)


@given(reference=LOGITS, recipe=st.sampled_from(sorted(RECIPES)))
@settings(deadline=None, max_examples=50)
def test_identical_logits_pass_every_recipe(reference, recipe):
    assume(np.any(reference))
    report = report_of(reference, reference.copy(), recipe)
    assert report.verdict is Verdict.PASS
    assert report.pooled.sqnr_db == math.inf
    assert report.pooled.agreement == "3 of 3"
    assert report.pooled.kl_nats == report.pooled.max_abs_diff == 0
    assert report.pooled.top5_overlap == 1


def test_a_reference_of_zeros_is_no_signal():
    pooled = measure([[0.0, 0.0]], [[0.0, 1.0]], ["a"]).pooled
    assert pooled.sqnr_db == -math.inf
    assert pooled.cosine == 0


def test_logits_are_compared_in_float64():
    reference = np.array([[1e4, 1e4 - 1, 1e4 - 2]], np.float32)
    candidate = reference.astype(np.float64)
    candidate[0, 1] += 1e-7  # lost in a float32 of that size
    pooled = measure(reference, candidate, ["a"]).pooled
    assert pooled.sqnr_db == pytest.approx(10 * math.log10(2 / (2 / 3 * 1e-14)), abs=1e-3)


def test_logits_at_float32s_end_are_measured():
    reference = np.array([[3e38, -3e38], [1, 2]], np.float32)
    pooled = measure(reference, reference * np.float32(0.5), ["a", "b"]).pooled
    assert (pooled.non_finite, pooled.agreement) == (0, "2 of 2")
    assert pooled.sqnr_db is not None


@pytest.mark.parametrize(("recipe", "bound"), [("fp32", 110), ("fp16", 45)])
def test_sqnr_decides_at_its_threshold(recipe, bound):
    assert report_of(*logits_at(bound + 0.05), recipe).verdict is Verdict.PASS
    report = report_of(*logits_at(bound - 0.05), recipe)
    assert report.verdict is Verdict.FAIL
    assert report.reasons == (f"SQNR {bound - 0.1:.1f} dB is below {bound} dB ({recipe}).",)


def flipped(clips: int, margin: float) -> tuple[np.ndarray, np.ndarray]:
    """Logits whose first clip's winner flips, for the smallest error that can flip it."""
    reference = np.tile(np.array([[10.0, 4.0, 1.0]]), (clips, 1))
    reference[0] = (10.0, 10.0 - margin, 1.0)
    candidate = reference.copy()
    candidate[0, :2] = (10.0 - margin * 0.51, 10.0 - margin * 0.49)
    return reference, candidate


def test_fp32_must_agree_on_every_clip():
    report = report_of(*flipped(1000, margin=0.01), "fp32")
    assert report.pooled.agreement == "999 of 1000"
    assert "Top-1 agrees with the reference on 999 of 1000 clips; at least 100 % must (fp32)." in report.reasons


@pytest.mark.parametrize(("clips", "verdict"), [(100, Verdict.PASS), (99, Verdict.FAIL)])
def test_fp16_may_flip_one_clip_in_a_hundred(clips, verdict):
    report = report_of(*flipped(clips, margin=0.3))
    assert report.near_ties == ()
    assert report.pooled.sqnr_db > 45
    assert report.verdict is verdict


@pytest.mark.parametrize(("recipe", "db"), [("fp16", 45), ("fp32", 110)])
def test_a_flip_is_a_near_tie_only_within_twice_the_allowed_error(recipe, db):
    reference = np.tile(np.array([[10.0, 4.0, 1.0]]), (10, 1))
    width = 2 * np.sqrt(np.mean((reference - 5) ** 2)) * 10 ** (-db / 20)
    tied = report_of(*flipped(10, margin=0.9 * width), recipe)
    assert (tied.verdict, tied.near_ties, tied.pooled.agreement) == (Verdict.PASS, ("clip0",), "9 of 10")
    apart = report_of(*flipped(10, margin=1.3 * width), recipe)
    assert (apart.verdict, apart.near_ties) == (Verdict.FAIL, ())


def test_a_worse_artifact_does_not_widen_the_near_tie():
    reference, candidate = flipped(10, margin=1.0)
    candidate[:, 2] += 3
    assert report_of(reference, candidate).near_ties == ()


def test_the_margin_is_to_the_class_that_was_chosen_and_not_to_the_second():
    measured = measure([[5.0, 4.999, 1.0]], [[5.0, 4.999, 6.0]], ["a"])
    assert measured.clips[0].flip_margin == 4.0
    assert report_of([[5.0, 4.999, 1.0]], [[5.0, 4.999, 6.0]]).near_ties == ()


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf, 1e300])
def test_values_that_are_not_finite_fail_by_name_and_leave_no_nan(poison):
    reference = np.eye(3)
    candidate = reference.copy()
    candidate[1, 0] = candidate[1, 2] = poison
    report = report_of(reference, candidate)
    assert report.verdict is Verdict.FAIL
    assert "The artifact's logits are not finite: 2 values in 1 clip (clip1)." in report.reasons
    assert report.pooled.agreement == "2 of 3"
    assert report.pooled.worst_clip == "clip1"
    assert report.pooled.sqnr_db is None
    assert report.rows[0].sqnr_db == math.inf
    assert report.rows[1].candidate_top1 is None
    assert "nan" not in report.model_dump_json().lower().replace("nano", "")


def test_many_clips_that_are_not_finite_are_counted_and_the_first_named():
    report = report_of(np.ones((12, 2)), np.full((12, 2), np.nan))
    [sentence] = [reason for reason in report.reasons if "24 values" in reason]
    assert sentence.endswith("in 12 clips (clip0, clip1, clip2, clip3, clip4 and 7 more).")


def test_a_reference_that_is_not_finite_is_the_checkpoints_fault():
    with pytest.raises(CheckpointError, match="1 of the reference form's own 4 logits"):
        measure([[1.0, np.nan], [1.0, 2.0]], np.ones((2, 2)), ["a", "b"])


def test_another_shape_is_an_artifact_of_another_checkpoint():
    with pytest.raises(ArtifactError, match=r"\(2, 10\).*\(2, 50\)"):
        measure(np.zeros((2, 50)), np.zeros((2, 10)), ["a", "b"])


def test_no_clips_compare_nothing():
    with pytest.raises(InputError, match="no clips"):
        measure(np.zeros((0, 5)), np.zeros((0, 5)), [])


def test_every_clip_needs_its_name():
    with pytest.raises(ValueError, match="zip"):
        measure(np.zeros((2, 5)), np.zeros((2, 5)), ["a"])


def test_an_unknown_recipe_is_named_with_those_that_can_be_judged():
    with pytest.raises(ArtifactError, match=r"'w2a2'[^$]*fp32, fp16"):
        thresholds_for("w2a2")


def test_the_table_of_thresholds_is_frozen_and_gives_its_reasons():
    with pytest.raises(TypeError):
        RECIPES["fp32"] = RECIPES["fp16"]
    with pytest.raises(ValidationError):
        RECIPES["fp32"].min_sqnr_db = 0
    with pytest.raises(ValidationError):
        thresholds_for("fp32").min_sqnr_db = 0
    for recipe, thresholds in zip(RECIPES, map(thresholds_for, RECIPES), strict=True):
        assert thresholds.recipe == recipe
        assert len(thresholds.sqnr_reason) > 20
        assert len(thresholds.top1_reason) > 20


def test_what_could_not_be_run_is_inconclusive_and_says_why():
    report = undecided(artifact(), {}, CLIPS, "checkpoint", "Core ML artifacts run on macOS only.")
    assert report.verdict is Verdict.INCONCLUSIVE
    assert report.reasons == ("Core ML artifacts run on macOS only.",)
    assert {check.verdict for check in report.checks} == {Verdict.INCONCLUSIVE}
    assert report.pooled is None


def as_json(report: ParityReport) -> dict:
    return json.loads(report.model_dump_json())


@pytest.mark.parametrize(
    "document",
    [
        as_json(undecided(artifact(), {}, CLIPS, "checkpoint", "It can't run here.")) | {"verdict": "pass"},
        as_json(report_of(np.eye(3), np.eye(3))) | {"pooled": None},
        as_json(report_of(np.eye(3), np.eye(3))) | {"checks": []},
        as_json(report_of(np.eye(3), 2 * np.eye(3))) | {"verdict": "pass"},
    ],
)
def test_no_report_can_say_more_than_its_checks(document):
    with pytest.raises(ValidationError, match=r"verdict|inconclusive where"):
        ParityReport.model_validate(document)


def test_exit_codes():
    assert [verdict.exit_code for verdict in Verdict] == [0, 5, 7]


def test_worst_of():
    assert worst_of([Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.FAIL]) is Verdict.FAIL
    assert worst_of([Verdict.PASS, Verdict.INCONCLUSIVE]) is Verdict.INCONCLUSIVE
    assert worst_of([Verdict.PASS]) is Verdict.PASS
    assert worst_of([]) is Verdict.INCONCLUSIVE


def test_seeded_weights_say_that_they_show_no_accuracy():
    assert any("nothing about accuracy" in note for note in report_of(np.eye(3), np.eye(3), weights="seeded").notes)
    assert report_of(np.eye(3), np.eye(3), weights="checkpoint").notes == ()


def test_foreign_names_are_kept_to_one_printable_line():
    measured = measure([[1.0]], [[1.0]], ["a\x1b[31m\n\udcff\u202eb é 火"])
    assert measured.clips[0].name == "a\\x1b[31m\\n\\udcff\\u202eb é 火"
