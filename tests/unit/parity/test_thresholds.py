"""A threshold may be changed for a run, and never without a reason that every report shows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from dvfl_mobile.artifacts.manifest import ArtifactFacts
from dvfl_mobile.cli.main import main
from dvfl_mobile.data.clips import ClipFacts
from dvfl_mobile.documents import Verdict, json_text
from dvfl_mobile.errors import UsageError
from dvfl_mobile.parity.measure import measure
from dvfl_mobile.parity.report import ParityReport, decided, undecided
from dvfl_mobile.parity.thresholds import arithmetic_of, asked_thresholds, thresholds_for
from dvfl_mobile.recipes import RECIPES
from dvfl_mobile.report import parity
from dvfl_mobile.report.formats import annotations
from dvfl_mobile.runners.values import runner_notes

ARTIFACT = ArtifactFacts(model="nano", target="tflite", recipe="fp16", path="out/nano/tflite/fp16")
CLIPS = ClipFacts(count=2, source="somewhere")
WHY = "The GPU delegate\nrounds (issue 12)"
CHANGE = "50 dB in place of the 45 dB of fp16. Because: The GPU delegate\\nrounds (issue 12)"


def report(min_sqnr: float | None, because: str | None, error: float = 0.02) -> ParityReport:
    """A comparison at about 48 dB."""
    reference = np.array([[10.0, 0.0], [0.0, 10.0]])
    measurement = measure(reference, reference + error * np.array([[1, -1], [2, 0]]), ["a", "b"])
    thresholds = asked_thresholds("fp16", min_sqnr, because)
    return decided(ARTIFACT, {"runtime": "x"}, CLIPS, "checkpoint", measurement, thresholds)


def test_a_target_that_computes_what_no_other_does_has_a_bar_of_its_own() -> None:
    own = thresholds_for("fp16", target="qualcomm-SM8750")
    assert own == asked_thresholds("fp16", target="qualcomm-SM8750")
    assert (own.min_sqnr_db, own.notes) == (40, ())
    assert "Hexagon" in own.sqnr_reason
    assert own.min_top1 == thresholds_for("fp16").min_top1
    assert thresholds_for("fp16", target="tflite") == thresholds_for("fp16", target="no such") == thresholds_for("fp16")
    assert thresholds_for("static_wi8_ai8", target="qualcomm-SM8750") == thresholds_for("static_wi8_ai8")


def test_without_a_change_the_recipes_own_stand() -> None:
    assert asked_thresholds("fp16") == thresholds_for("fp16")
    assert report(None, None).verdict is Verdict.PASS
    assert report(None, None).notes == ()


def test_more_or_less_can_be_asked_for() -> None:
    assert report(50, WHY).verdict is Verdict.FAIL
    assert report(None, None, error=0.2).verdict is Verdict.FAIL
    assert report(20, WHY, error=0.2).verdict is Verdict.PASS


def test_every_report_shows_what_was_changed_and_why() -> None:
    found = report(50, WHY)
    [note] = found.notes
    assert CHANGE in note
    assert found.checks[0].required == "at least 50 dB (changed)"
    assert "below 50 dB (changed)" in found.reasons[0]
    text = json_text(found)
    assert ParityReport.model_validate_json(text) == found
    assert '"recipe_sqnr_db": 45.0' in text
    properties = {one.get("value") for one in ET.fromstring(parity.junit(found)).iter("property")}
    assert any(CHANGE in str(value) for value in properties)
    assert "Because: The GPU delegate" in parity.markdown(found)


def test_what_nothing_could_run_shows_it_too() -> None:
    found = undecided(ARTIFACT, {}, CLIPS, "checkpoint", "not here", asked_thresholds("fp16", 50, WHY))
    assert any(CHANGE in note for note in found.notes)


@pytest.mark.parametrize(
    ("min_sqnr", "because"),
    [(50.0, None), (50.0, ""), (50.0, " \n"), (None, "a reason"), (float("nan"), "x"), (float("inf"), "x")],
)
def test_a_change_without_a_reason_is_refused(min_sqnr: float | None, because: str | None) -> None:
    with pytest.raises(UsageError):
        asked_thresholds("fp16", min_sqnr, because)


@pytest.mark.parametrize(
    "options", [["--min-sqnr", "50"], ["--because", "x"], ["--min-sqnr", "nan", "--because", "x"], ["--min-sqnr", "x"]]
)
def test_the_command_refuses_it_before_it_looks_at_anything(
    options: list[str], capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with pytest.raises(SystemExit) as end:
        main(["parity", str(tmp_path / "nowhere"), *options])
    assert end.value.code == 2
    assert "error: " in capfd.readouterr().err


@pytest.mark.parametrize(
    ("verdict", "level"), [(Verdict.FAIL, "error"), (Verdict.INCONCLUSIVE, "warning"), (Verdict.PASS, "notice")]
)
def test_annotations_take_their_level_from_the_verdict(verdict: Verdict, level: str) -> None:
    reasons = [] if verdict is Verdict.PASS else ["one", "two"]
    lines = annotations.github(verdict, "a title", reasons, "out/manifest.json").splitlines()
    assert len(lines) == max(len(reasons), 1)
    assert all(line.startswith(f"::{level} file=out/manifest.json,title=a title::") for line in lines)


def test_annotations_escape_what_would_end_them() -> None:
    text = annotations.github(Verdict.FAIL, "a: b, c", ["100 % of\r\n::error::it"], "a,b:c")
    assert text == "::error file=a%2Cb%3Ac,title=a%3A b%2C c::100 %25 of%0D%0A::error::it\n"
    assert annotations.subject(report(None, None)) == (
        "parity of nano/tflite/fp16",
        "out/nano/tflite/fp16/manifest.json",
    )


def test_reuse_leaves_the_same_artifact_alone_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dvfl_mobile.artifacts.make import open_artifact
    from dvfl_mobile.model.default import seeded_student
    from dvfl_mobile.pipeline.convert import convert
    from dvfl_mobile.pipeline.plan import make_plan
    from tests.checkpoints import SMALL
    from tests.conversions import skip_without
    from tests.faults import quick

    skip_without("tflite")
    lowered: list[str] = []

    def lower(target: object, request: object, path: Path) -> object:
        lowered.append(path.name)
        return quick.lower(target, request, path)

    monkeypatch.setattr("dvfl_mobile.artifacts.make.lower", lower)
    student = seeded_student(SMALL)
    plan = make_plan(["tflite"], "fp16", tmp_path)

    def made_anew(change: Callable[[], object] = lambda: None, model: object = student) -> bool:
        change()
        before = len(lowered)
        [artifact] = convert(model, plan, reuse=True)  # type: ignore[arg-type]
        assert artifact == open_artifact(artifact.folder)
        return len(lowered) > before

    folder = tmp_path / SMALL.name / "tflite" / "fp16"
    assert made_anew()
    assert not made_anew()
    assert made_anew(lambda: (folder / "model.tflite").write_bytes(b"changed"))
    assert made_anew(lambda: (folder / "manifest.json").unlink())
    assert made_anew(model=seeded_student(SMALL, seed=1))
    assert made_anew(model=seeded_student(SMALL, ["a", "b", "c", "d", "e"], seed=1))
    assert made_anew(), "the first student again"
    monkeypatch.setattr("dvfl_mobile.artifacts.make.versions", lambda _: {"litert-torch": "0"})
    assert made_anew()
    assert not made_anew()


def test_a_device_that_computes_in_half_has_to_reach_what_half_precision_can() -> None:
    in_half = {name: thresholds_for(name, "float16") for name in RECIPES}
    assert (in_half["fp32"].min_sqnr_db, in_half["fp32"].min_top1) == (45, 0.99)
    assert "half precision" in in_half["fp32"].sqnr_reason
    assert in_half["fp16"] == thresholds_for("fp16")
    assert in_half["static_wi8_ai8"] == thresholds_for("static_wi8_ai8")
    assert thresholds_for("fp32", "float32") == thresholds_for("fp32")


HALVES = np.array([[0.5, -1.25, 3.0, 65504.0]])
FLOATS = np.array([[0.5, -1.25, 3.0, 0.1]], np.float32)


@pytest.mark.parametrize(
    ("recipe", "delegate", "logits", "expected"),
    [
        ("fp16", "XNNPACK", HALVES, "float16"),
        ("fp16", "XNNPACK", FLOATS, "float32"),
        ("fp16", "XNNPACK", np.zeros((1, 4)), "float32"),
        ("fp16", "XNNPACK", HALVES * 2, "float32"),  # beyond half precision's largest
        ("fp16", "Core ML", HALVES, None),
        ("fp16", None, HALVES, None),
        ("weight_only_wf16_afp32", "XNNPACK", HALVES, None),
        ("fp32", "XNNPACK", HALVES, None),
    ],
)
def test_what_was_computed_in_shows_in_the_logits(
    recipe: str, delegate: str | None, logits: np.ndarray, expected: str | None
) -> None:
    assert arithmetic_of(recipe, delegate, logits) == expected


def test_half_precision_has_a_bar_of_its_own_and_no_other_recipe_has() -> None:
    assert [name for name, recipe in RECIPES.items() if recipe.half_sqnr_db is not None] == ["fp16"]
    found, whole = thresholds_for("fp16").in_half(), thresholds_for("fp16")
    assert found.min_sqnr_db == RECIPES["fp16"].half_sqnr_db
    assert found.min_sqnr_db < whole.min_sqnr_db
    assert found.sqnr_reason == RECIPES["fp16"].half_reason
    assert (found.min_top1, found.recipe_sqnr_db) == (whole.min_top1, None)


def test_what_somebody_asked_for_stands_in_half_precision_too() -> None:
    asked = asked_thresholds("fp16", 50, WHY)
    found = asked.in_half()
    assert (found.min_sqnr_db, found.sqnr_reason) == (50, asked.sqnr_reason)
    assert "50 dB in place of the 36 dB of fp16" in found.notes[0]


def test_a_reader_sees_what_was_computed_in() -> None:
    assert "Computed in half precision throughout" in runner_notes({"arithmetic": "float16"})[0]
    assert "Computed in float32" in runner_notes({"arithmetic": "float32"})[0]
    assert runner_notes({}) == ()
