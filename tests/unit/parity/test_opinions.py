"""Second opinions: how far two runtimes of one file may be apart, what is said of it, and which there are."""

from __future__ import annotations

import json
import platform
from importlib import metadata
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from dvfl_mobile.artifacts.manifest import ArtifactFacts
from dvfl_mobile.data.clips import ClipFacts
from dvfl_mobile.documents import Verdict, json_text
from dvfl_mobile.errors import ArtifactError, MissingDependencyError, UsageError
from dvfl_mobile.parity.measure import measure
from dvfl_mobile.parity.report import ParityReport, SecondOpinion, decided
from dvfl_mobile.parity.second_opinion import allowed, compared
from dvfl_mobile.parity.thresholds import thresholds_for
from dvfl_mobile.report import parity
from dvfl_mobile.runners.opinions import OPINIONS, opinions_named
from tests.unit.report.test_report import shown

NAMES = ("one.avi", "two.avi", "three.avi")
REFERENCE = np.array([[9, 1, 0], [0, 8, 2], [1, 0, 7]], np.float32)
[OPINION] = opinions_named(["reference"], "tflite")
FACTS = {"runtime": "LiteRT", "version": "2.3.0", "device": "host", "delegate": None, "kernels": "reference"}


def off_by(decibels: float, logits: np.ndarray = REFERENCE) -> np.ndarray:
    """The logits with an error of so many decibels below what differs in a clip, and no class changed."""
    wide = logits.astype(np.float64)
    spread = wide - wide.mean(axis=1, keepdims=True)
    error = np.sqrt((spread**2).sum() / 6) * 10 ** (-decibels / 20)
    return wide + error * np.array([1, -1, 0])


def opinion_on(first: np.ndarray, other: np.ndarray, recipe: str = "fp32") -> SecondOpinion:
    return compared(OPINION, FACTS, recipe, REFERENCE, first, other, NAMES)


def report_with(opinion: SecondOpinion, first: np.ndarray = REFERENCE) -> ParityReport:
    artifact = ArtifactFacts(model="nano", target="tflite", recipe="fp32", path="out/nano/tflite/fp32")
    measured = measure(REFERENCE, first, NAMES)
    return decided(artifact, FACTS, ClipFacts(count=3, source="clips"), "checkpoint", measured, opinions=[opinion])


@pytest.mark.parametrize(
    ("recipe", "decibels"),
    [
        ("fp32", 110),
        ("fp16", 110),
        ("weight_only_wf16_afp32", 110),
        ("weight_only_wi8_afp32", 110),
        ("weight_only_wi4_afp32", 110),
        ("dynamic_wi8_afp32", 22),
        ("static_wi8_ai8", 20),
        ("auto", 20),
    ],
)
def test_only_rounded_activations_excuse_a_difference_between_two_runtimes(recipe: str, decibels: float) -> None:
    assert allowed(recipe).min_sqnr_db == decibels
    assert opinion_on(REFERENCE, off_by(decibels + 1), recipe).check.verdict is Verdict.PASS
    assert opinion_on(REFERENCE, off_by(decibels - 1), recipe).check.verdict is Verdict.FAIL


def test_a_recipe_without_thresholds_is_refused() -> None:
    with pytest.raises(ArtifactError, match="int3"):
        allowed("int3")


def test_it_is_held_against_pytorch_and_against_the_first_runner() -> None:
    found = opinion_on(off_by(120), off_by(115))
    assert found.pytorch.sqnr_db == pytest.approx(115)
    assert found.first is not None
    # The two errors are of one sign, so that they differ by less than the larger.
    assert found.first.sqnr_db == pytest.approx(-20 * np.log10(10 ** (-115 / 20) - 10 ** (-120 / 20)), abs=0.01)
    assert (found.pytorch.agreement, found.first.agreement) == ("3 of 3", "3 of 3")


def test_one_that_is_near_pytorch_and_far_from_the_first_runner_fails() -> None:
    first = off_by(112)
    found = opinion_on(first, 2 * REFERENCE - first)  # as near to PyTorch, from the other side
    assert found.pytorch.sqnr_db is not None
    assert found.pytorch.sqnr_db >= thresholds_for("fp32").min_sqnr_db
    assert found.check.verdict is Verdict.FAIL
    report = report_with(found, first)
    assert (report.verdict, report.verdict.exit_code) == (Verdict.FAIL, 5)
    [reason] = report.reasons
    assert reason == found.check.sentence
    assert reason.startswith(
        "By LiteRT's reference kernels, the same file gives other logits than the first runner: SQNR 105.9 dB"
    )


def test_a_flipped_class_fails_where_the_sqnr_alone_would_not() -> None:
    first = np.array([[9.0, 1, 0], [0, 8, 2], [4.6, 0, 3.4]])
    flipped, tied = first.copy(), first.copy()
    flipped[2], tied[2] = (3.95, 0, 4.05), (4.1, 0, 4.0)
    found = opinion_on(first, flipped, "static_wi8_ai8")
    assert found.first is not None
    assert found.first.sqnr_db is not None
    assert found.first.sqnr_db > 20
    assert (found.check.verdict, found.check.measured) == (Verdict.FAIL, "20.4 dB, 2 of 3")
    assert "top-1 the same on 2 of 3 clips" in found.check.sentence
    excused = opinion_on(tied, flipped, "static_wi8_ai8").check
    assert (excused.verdict, excused.measured) == (Verdict.PASS, "36.3 dB, 2 of 3 + 1 near tie")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_logits_that_are_not_finite_fail_on_either_side(value: float) -> None:
    broken = REFERENCE.astype(np.float64)
    broken[1, 1] = value
    second = opinion_on(REFERENCE, broken)
    assert (second.check.verdict, second.pytorch.non_finite) == (Verdict.FAIL, 1)
    first = opinion_on(broken, REFERENCE)
    assert (first.check.verdict, first.first, first.check.measured) == (Verdict.FAIL, None, "not measured")
    assert "first runner's logits" in first.check.sentence


def test_every_report_carries_it() -> None:
    for other, verdict in ((REFERENCE, Verdict.PASS), (off_by(30), Verdict.FAIL)):
        report = report_with(opinion_on(REFERENCE, other))
        assert report.verdict is verdict
        parsed = json.loads(json_text(report))
        [stored] = parsed["second_opinions"]
        assert (stored["name"], stored["runner"], stored["check"]["verdict"]) == ("reference", FACTS, verdict.value)
        assert ParityReport.model_validate_json(json_text(report)) == report

        [suite] = ET.fromstring(parity.junit(report))
        cases = {case.get("name"): case for case in suite.iter("testcase")}
        assert (cases["second opinion: reference"].find("failure") is not None) is (verdict is Verdict.FAIL)
        assert suite.get("failures") == ("1" if verdict is Verdict.FAIL else "0")
        properties = {one.get("name"): one.get("value") for one in suite.iter("property")}
        decibels = "inf dB" if verdict is Verdict.PASS else "30.0 dB"
        assert properties["second_opinion.reference.kernels"] == "reference"
        assert properties["second_opinion.reference.sqnr"] == decibels
        assert properties["second_opinion.reference.sqnr_to_first"] == decibels

        text = shown(parity.terminal(report))
        assert f"second opinion: reference  {decibels}, 3 of 3" in text
        assert max(map(len, text.splitlines())) <= 80
        assert f"top-1 3 of 3 against PyTorch; SQNR {decibels}" in " ".join(text.split())
        assert f"- LiteRT's reference kernels, LiteRT 2.3.0 (device host, kernels reference): SQNR {decibels}" in (
            parity.markdown(report)
        )


def test_a_report_without_any_says_nothing_of_them() -> None:
    artifact = ArtifactFacts(model="nano", target="tflite", recipe="fp32", path="out")
    report = decided(
        artifact, FACTS, ClipFacts(count=3, source="clips"), "checkpoint", measure(REFERENCE, REFERENCE, NAMES)
    )
    assert report.second_opinions == ()
    assert "second opinion" not in shown(parity.terminal(report)) + parity.markdown(report) + parity.junit(report)


def test_each_is_taken_once() -> None:
    assert [opinion.name for opinion in opinions_named(["reference", "reference"], "tflite")] == ["reference"]
    assert opinions_named([], "coreml") == ()


@pytest.mark.parametrize(
    ("name", "target", "hint"),
    [("nobody", "tflite", "reference, tensorflow"), ("reference", "executorch", "tflite")],
)
def test_what_there_is_not_is_refused_with_what_there_is(name: str, target: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        opinions_named([name], target)
    assert name in caught.value.problem
    assert target in caught.value.problem
    assert hint in caught.value.hint


@pytest.mark.parametrize("opinion", OPINIONS, ids=lambda opinion: opinion.name)
def test_one_that_is_not_installed_names_its_extra(monkeypatch: pytest.MonkeyPatch, opinion) -> None:
    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    with pytest.raises(MissingDependencyError) as caught:
        opinions_named([opinion.name], opinion.target)
    assert (caught.value.exit_code, caught.value.package, caught.value.extra) == (4, opinion.package, opinion.extra)


def test_the_executor_gives_a_second_opinion_beside_core_ml_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    with pytest.raises(UsageError, match="the executor runs a Core ML artifact already"):
        opinions_named(["executor"], "coreml")
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    [opinion] = opinions_named(["executor"], "coreml")
    assert opinion.module == "dvfl_mobile.runners.coreml.executor"
    assert allowed("fp16", "coreml") == thresholds_for("fp16")
    assert allowed("fp32", "coreml") == thresholds_for("fp32")
    assert allowed("static_wi8_ai8", "coreml") == thresholds_for("static_wi8_ai8")
