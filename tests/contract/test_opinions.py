"""Second opinions on real `.tflite` files: other kernels run them, agree, and are believed where they don't."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dvfl_mobile.artifacts.make import Artifact, open_artifact
from dvfl_mobile.cli.main import main
from dvfl_mobile.documents import Verdict
from dvfl_mobile.parity.second_opinion import allowed
from dvfl_mobile.pipeline.check import check
from dvfl_mobile.recipes import RECIPES
from dvfl_mobile.runners.base import Runner, open_runner
from dvfl_mobile.runners.opinions import OPINIONS, opinions_named
from dvfl_mobile.runners.values import Logits, Pixels
from tests.conversions import Make

RECIPES_OF_TFLITE = [recipe.name for recipe in RECIPES.values() if "tflite" in recipe.meaning and recipe.name != "auto"]


Copied = Callable[[str, str], Artifact]


@pytest.fixture
def copied(made: Make, tmp_path: Path) -> Copied:
    """A function that gives a copy of the shared artifact, with its reference: a report is left in its folder."""

    def copy(target: str, recipe: str) -> Artifact:
        folder = made(target, recipe).artifact.folder
        model = folder.parents[1]
        shutil.copytree(folder, tmp_path / model.name / target / recipe)
        for reference in model.glob("reference-*"):
            shutil.copy(reference, tmp_path / model.name)
        return open_artifact(tmp_path / model.name / target / recipe)

    return copy


@pytest.fixture(params=[opinion.name for opinion in OPINIONS if opinion.target == "tflite"])
def opinion(request: pytest.FixtureRequest) -> str:
    if request.param == "tensorflow":
        pytest.importorskip("tensorflow", reason="it is no part of `all`", exc_type=ImportError)
    return str(request.param)


@pytest.mark.parametrize("recipe", RECIPES_OF_TFLITE)
def test_other_kernels_agree_with_xnnpack(copied: Copied, opinion: str, recipe: str) -> None:
    report = check(copied("tflite", recipe), second_opinions=[opinion])
    [found] = report.second_opinions
    assert report.verdict is Verdict.PASS, report.reasons
    assert (found.name, found.runner["delegate"], found.check) == (opinion, None, report.checks[-1])
    assert found.first is not None
    assert found.first.sqnr_db is not None
    # Not the same bits: then the same kernels would have run twice.
    assert allowed(recipe).min_sqnr_db <= found.first.sqnr_db < np.inf
    assert found.first.agreeing == found.first.clips == 8
    assert found.pytorch.sqnr_db == pytest.approx(report.pooled.sqnr_db, abs=1.5)


class Disturbed:
    """A runner whose logits are off by just under a hundredth: 40.01 dB below them, 40.09 below its own."""

    def __init__(self, runner: Runner) -> None:
        self._runner, self.facts = runner, runner.facts

    def run(self, clips: Pixels) -> Logits:
        return self._runner.run(clips) * np.float32(1.00999)

    def time(self, clip: Pixels, warmup: int, runs: int) -> list[int]:
        return self._runner.time(clip, warmup, runs)


@pytest.mark.parametrize("whose", ["the other", "the first"])
def test_one_that_disagrees_fails_the_artifact(copied: Copied, monkeypatch: pytest.MonkeyPatch, whose: str) -> None:
    def opened(folder: Path, manifest: Any, opinion: Any = None) -> Runner:
        runner = open_runner(folder, manifest, opinion)
        return Disturbed(runner) if (opinion is None) is (whose == "the first") else runner

    monkeypatch.setattr("dvfl_mobile.pipeline.compare.open_runner", opened)
    report = check(copied("tflite", "fp16"), second_opinions=["reference"])
    assert (report.verdict, report.verdict.exit_code) == (Verdict.FAIL, 5)
    failed = [check.name for check in report.checks if check.verdict is Verdict.FAIL]
    assert failed == (["opinion_reference"] if whose == "the other" else ["sqnr", "opinion_reference"])
    assert any("other logits than the first runner: SQNR 40.0 dB" in reason for reason in report.reasons)


def test_reference_kernels_use_no_delegate_and_are_another_runtime(made: Make) -> None:
    artifact = made("tflite", "fp32").artifact
    [reference] = opinions_named(["reference"], "tflite")
    facts = open_runner(artifact.folder, artifact.manifest, reference).facts
    assert (facts["delegate"], facts["kernels"], facts["threads"]) == (None, "reference", 1)
    assert open_runner(artifact.folder, artifact.manifest).facts["delegate"] == "XNNPACK"


def run(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as end:
        main(["parity", *map(str, arguments)])
    assert isinstance(end.value.code, int)
    return end.value.code


def test_the_command_line_shows_and_stores_it(copied: Copied, capfd: pytest.CaptureFixture[str]) -> None:
    folder = copied("tflite", "fp32").folder
    assert run(folder, "--second-opinion", "reference", "--json") == 0
    printed = json.loads(capfd.readouterr().out)
    assert [one["name"] for one in printed["second_opinions"]] == ["reference"]
    assert json.loads((folder / "parity.json").read_text()) == printed


def test_without_tensorflow_it_ends_with_4_before_any_work(
    made: Make, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    version = metadata.version

    def missing(name: str) -> str:
        if name == "tensorflow":
            raise metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(metadata, "version", missing)
    assert run(made("tflite", "fp32").artifact.folder, "--second-opinion", "tensorflow") == 4
    err = capfd.readouterr().err
    assert "tensorflow isn't installed" in err
    assert "pip install 'dvfl-mobile[tensorflow]'" in err
    assert "reference logits" not in err


def test_there_is_none_on_another_target(made: Make, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(made("coreml", "fp32").artifact.folder, "--second-opinion", "reference") == 2
    assert "on an artifact for coreml" in capfd.readouterr().err
