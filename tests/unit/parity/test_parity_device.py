"""`parity --device`: the same comparison, with another place to run the artifact."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dvfl_mobile.devices.values import DeviceFacts
from dvfl_mobile.errors import DeviceError, InconclusiveError
from dvfl_mobile.model.default import seeded_student
from dvfl_mobile.pipeline.convert import convert
from dvfl_mobile.pipeline.plan import make_plan
from tests.checkpoints import SMALL
from tests.conversions import skip_without
from tests.faults import quick

Outcome = tuple[int, str, str]
CPU = "arm64:cortex-a76"


class Pretended:
    """A device that gives the reference's own logits, times `scale`, and counts what it is asked.

    Args:
        refusal: what it raises in place of running anything.
    """

    def __init__(self, scale: float = 1.0, refusal: Exception | None = None) -> None:
        self.facts = DeviceFacts(device=CPU, kind="emulated", model="Cortex-A76", system="Linux", abi="arm64")
        self.asked: list[int] = []
        self.is_open = False
        self._scale, self._refusal = scale, refusal

    @contextmanager
    def open(self, folder: Path, manifest: Any) -> Iterator[Any]:
        if self._refusal is not None:
            raise self._refusal
        runner = quick.open_runner(folder, manifest)
        run, self.is_open = runner.run, True

        def scaled(clips: Any) -> Any:
            self.asked.append(len(clips))
            return run(clips) * np.float32(self._scale)

        runner.run = scaled
        yield runner
        self.is_open = False


@pytest.fixture
def artifact(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    return make(monkeypatch, tmp_path, "fp32")


def make(monkeypatch: pytest.MonkeyPatch, folder: Path, recipe: str) -> Path:
    skip_without("tflite")
    monkeypatch.setattr("dvfl_mobile.artifacts.make.lower", quick.lower)
    plan = make_plan(["tflite"], recipe, folder / "out")
    [made] = convert(seeded_student(SMALL), plan)
    return made.folder


class OnXnnpack(Pretended):
    """A device whose XNNPACK gives the reference's logits at about 40 dB, as float16 numbers or not."""

    def __init__(self, *, in_half: bool) -> None:
        super().__init__(scale=1.01)
        self._in_half = in_half

    @contextmanager
    def open(self, folder: Path, manifest: Any) -> Iterator[Any]:
        with super().open(folder, manifest) as runner:
            run = runner.run
            runner.facts = {**runner.facts, "delegate": "XNNPACK"}
            runner.run = lambda clips: run(clips).astype(np.float16).astype(np.float32) if self._in_half else run(clips)
            yield runner


@pytest.mark.parametrize(
    ("in_half", "code", "arithmetic", "required"), [(True, 0, "float16", 36), (False, 5, "float32", 45)]
)
def test_the_report_says_what_was_computed_in_and_holds_it_to_the_bar_of_that(
    in_half: bool,
    code: int,
    arithmetic: str,
    required: float,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    run_command: Callable[..., Outcome],
) -> None:
    folder = make(monkeypatch, tmp_path, "fp16")
    pretend(monkeypatch, OnXnnpack(in_half=in_half))
    ended, out, _ = run_command("parity", folder, "--device", CPU, "--json")
    report = json.loads(out)
    assert (ended, report["runner"]["arithmetic"], report["thresholds"]["min_sqnr_db"]) == (code, arithmetic, required)
    said = "Computed in half precision throughout" if in_half else "Computed in float32"
    assert any(said in note for note in report["notes"])


def pretend(monkeypatch: pytest.MonkeyPatch, device: Pretended) -> Pretended:
    found = {CPU: device}
    monkeypatch.setattr("dvfl_mobile.pipeline.check.find_device", found.__getitem__)
    return device


def test_the_device_s_logits_are_judged_by_the_same_rules(
    monkeypatch: pytest.MonkeyPatch, artifact: Path, run_command: Callable[..., Outcome]
) -> None:
    device = pretend(monkeypatch, Pretended())
    code, out, err = run_command("parity", artifact, "--device", CPU, "--json")
    report = json.loads(out)
    assert (code, report["verdict"]) == (0, "pass")
    assert (report["runner"]["kind"], report["runner"]["model"]) == ("emulated", "Cortex-A76")
    assert any("takes there means nothing" in note for note in report["notes"])
    assert f"run on {CPU}" in err
    assert not device.is_open
    pretend(monkeypatch, Pretended(scale=1.01))
    code, out, _ = run_command("parity", artifact, "--device", CPU)
    assert code == 5
    assert out.startswith("FAIL")


def test_clips_go_there_together(
    monkeypatch: pytest.MonkeyPatch, artifact: Path, run_command: Callable[..., Outcome]
) -> None:
    device = pretend(monkeypatch, Pretended())
    assert run_command("parity", artifact, "--device", CPU)[0] == 0
    assert device.asked == [8]


def test_its_report_takes_no_other_s_place(
    monkeypatch: pytest.MonkeyPatch, artifact: Path, run_command: Callable[..., Outcome]
) -> None:
    pretend(monkeypatch, Pretended())
    run_command("parity", artifact, "--device", CPU)
    assert (artifact / "parity-arm64_cortex-a76.json").is_file()
    assert not (artifact / "parity.json").exists()


@pytest.mark.parametrize(
    ("refusal", "code", "message"),
    [
        (InconclusiveError("Nothing there runs tflite.", hint="Take executorch."), 7, "Nothing there runs tflite."),
        (DeviceError("It went away.", hint="Look at the cable."), 6, "It went away."),
    ],
    ids=["can't", "failed"],
)
def test_a_device_that_does_not_run_it(
    monkeypatch: pytest.MonkeyPatch,
    artifact: Path,
    run_command: Callable[..., Outcome],
    refusal: Exception,
    code: int,
    message: str,
) -> None:
    pretend(monkeypatch, Pretended(refusal=refusal))
    found, out, err = run_command("parity", artifact, "--device", CPU)
    assert found == code
    assert message in out + err


@pytest.mark.parametrize("other", [("--locate",), ("--second-opinion", "reference")], ids=lambda words: words[0])
def test_what_is_of_this_machine_alone(
    artifact: Path, run_command: Callable[..., Outcome], other: tuple[str, ...]
) -> None:
    code, _, err = run_command("parity", artifact, "--device", CPU, *other)
    assert code == 2
    assert "--device somewhere else" in err


def test_a_device_that_there_is_not(artifact: Path, run_command: Callable[..., Outcome]) -> None:
    code, _, err = run_command("parity", artifact, "--device", "toaster:3")
    assert code == 2
    assert "'toaster:3'" in err
    assert "dvfl-mobile devices" in err
