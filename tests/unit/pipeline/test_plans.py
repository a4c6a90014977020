"""Plans: which targets a command takes, with names and without."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from importlib import metadata
from pathlib import Path

import pytest

from dvfl_mobile.errors import MissingDependencyError, UsageError
from dvfl_mobile.pipeline.plan import make_plan
from dvfl_mobile.pipeline.quantize_plan import Calibration, QuantizePlan, check_plan
from dvfl_mobile.recipes import recipe_named
from dvfl_mobile.targets import TARGETS


@pytest.fixture(autouse=True)
def everything_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "version", lambda name: "1.0")  # noqa: ARG005 (whichever it is)


@pytest.mark.parametrize("recipe", ["fp32", "fp16", "w8a8"])
def test_without_a_name_the_three_are_taken_and_core_ai_is_not_even_mentioned(recipe: str) -> None:
    plan = make_plan([], recipe, Path("out"))
    assert [target.name for target in plan.targets] == ["executorch", "coreml", "tflite"]
    assert plan.notes == ()


def test_core_ai_is_taken_by_name() -> None:
    plan = make_plan(["coreai", "tflite", "coreai"], "fp32", Path("out"))
    assert [target.name for target in plan.targets] == ["coreai", "tflite"]
    assert plan.targets[0].minimum_os == "iOS 27, macOS 27"


@pytest.mark.parametrize("recipe", ["dynamic", "w8", "w4", "lut4"])
def test_core_ai_refuses_what_it_has_not_with_what_would_do(recipe: str) -> None:
    with pytest.raises(UsageError, match="coreai-torch quantizes nothing") as caught:
        make_plan(["coreai"], recipe, Path("out"))
    assert "static_wi8_ai8" in caught.value.hint


def test_core_ai_that_is_not_installed_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name == "coreai-torch":
            raise metadata.PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr(metadata, "version", version)
    with pytest.raises(MissingDependencyError) as caught:
        make_plan(["coreai"], "fp32", Path("out"))
    assert (caught.value.package, caught.value.extra) == ("coreai-torch", "coreai")
    assert [target.name for target in make_plan([], "fp32", Path("out")).targets] == ["executorch", "coreml", "tflite"]


def test_what_has_to_be_named() -> None:
    assert [target.name for target in TARGETS.values() if target.only_by_name] == [
        "executorch-coreml",
        "coreai",
        "qualcomm",
    ]


CLIPS = Calibration("ucf8", samples=16)


@pytest.mark.parametrize(
    ("plan", "recipe", "method"),
    [
        (QuantizePlan.ptq(CLIPS, keep=("stage3.*",)), "static_wi8_ai8", "ptq"),
        (QuantizePlan.qat(CLIPS), "static_wi8_ai8", "qat"),
        (QuantizePlan.auto(CLIPS, min_agreement=0.98), "auto", "ptq"),
        (QuantizePlan(recipe_named("dynamic")), "dynamic_wi8_afp32", "ptq"),
    ],
    ids=["ptq", "qat", "auto", "without scales"],
)
def test_the_presets_of_quantizing_are_whole(plan: QuantizePlan, recipe: str, method: str) -> None:
    check_plan(plan)
    assert (plan.recipe.name, plan.method) == (recipe, method)
    with pytest.raises(FrozenInstanceError):
        plan.keep = ()  # type: ignore[misc]


@pytest.mark.parametrize(
    ("plan", "problem"),
    [
        (QuantizePlan(recipe_named("w8a8")), "calibrated on clips"),
        (QuantizePlan(recipe_named("auto"), CLIPS), "promise to keep"),
        (replace(QuantizePlan.auto(CLIPS, min_sqnr_db=25), recipe=recipe_named("w8a8")), "asked for"),
        (QuantizePlan.qat(Calibration("noise")), "on video"),
        (QuantizePlan.ptq(replace(CLIPS, observer="magic")), "'magic'"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_does_not_go_together_is_refused(plan: QuantizePlan, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        check_plan(plan)
