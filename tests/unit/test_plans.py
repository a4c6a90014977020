"""Plans: which targets a command takes, with names and without."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest

from dvfl_mobile.errors import MissingDependencyError, UsageError
from dvfl_mobile.pipeline.plan import make_plan
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


def test_only_core_ai_has_to_be_named() -> None:
    assert [target.name for target in TARGETS.values() if target.only_by_name] == ["coreai"]
