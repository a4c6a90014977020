"""The engines of a deploy: which there are, what each is given, and what is said of those that aren't there."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from dvfl_mobile.artifacts.manifest import Manifest
from dvfl_mobile.devices.base import Device
from dvfl_mobile.errors import ArtifactError, DeviceError, MissingDependencyError, UsageError
from dvfl_mobile.model.default import seeded_student
from dvfl_mobile.model.student import save_student
from dvfl_mobile.pipeline.engines import ALL, WITHOUT_A_PHONE, Engines, engines_named, run_on
from dvfl_mobile.pipeline.summary import DeploySummary
from dvfl_mobile.progress import silent
from dvfl_mobile.runners.base import Runner
from tests.checkpoints import TINY
from tests.conversions import skip_without
from tests.fake_device import FakeDevice, FakeRunner
from tests.faults import quick

BROKEN, ABSENT = "arm64:cortex-a53", "arm64:max"


class Computing(FakeDevice):
    """A device that computes what the reference form does, of any clips."""

    @contextmanager
    def open(self, folder: Path, manifest: Manifest) -> Iterator[FakeRunner]:
        with super().open(folder, manifest) as runner:
            runner.facts["device"] = self.name.partition(":")[0]  # as the GPU's says in either precision
            if self.logits is None:
                runner.run = quick.open_runner(folder, manifest).run
            yield runner


class Broken(FakeDevice):
    """A device that takes no artifact."""

    def open(self, folder: Path, manifest: Manifest):  # noqa: ARG002 (whichever it is)
        raise DeviceError("The driver was lost.", hint="Start it again.")


def find(name: str) -> Device:
    """The device of a name, on a machine on which some things are installed and some aren't."""
    if name == ABSENT:
        raise DeviceError("No qemu is here.", hint="Install one.")
    if name == "htp":
        raise MissingDependencyError("onnxruntime-qnn", extra="qualcomm")
    return Broken(name, "emulated") if name == BROKEN else Computing(name, "emulated")


@pytest.fixture(autouse=True)
def _devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dvfl_mobile.pipeline.engines.find_device", find)


@pytest.fixture
def deployed(
    tmp_path: Path, run_command: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str, str]]:
    """A function that deploys the small student to two targets, with options."""
    skip_without("tflite")
    skip_without("coreml")
    monkeypatch.setattr("dvfl_mobile.artifacts.make.lower", quick.lower)
    monkeypatch.setattr("dvfl_mobile.pipeline.compare.open_runner", quick.open_runner)
    checkpoint = tmp_path / "small.safetensors"
    save_student(seeded_student(TINY), checkpoint)
    targets = ("--target", "tflite", "--target", "coreml")

    def deploy(*options: object) -> tuple[int, str, str]:
        return run_command("deploy", checkpoint, *targets, "--out", tmp_path / "out", *options)

    return deploy


def test_all_leaves_out_what_is_not_there_and_says_why() -> None:
    engines = engines_named([ALL])
    assert engines.names == tuple(name for name in WITHOUT_A_PHONE if name not in (ABSENT, "htp"))
    assert {entry.engine: entry.why for entry in engines.not_run}[ABSENT] == "No qemu is here. Install one."
    assert "pip install 'dvfl-mobile[qualcomm]'" in engines.not_run[-1].why
    assert "host" not in [device.facts.device for device in engines.devices]


@pytest.mark.parametrize(("name", "error"), [(ABSENT, DeviceError), ("htp", MissingDependencyError)])
def test_what_is_named_has_to_be_there(name: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        engines_named([name])


def test_a_name_that_is_none(run_command: Callable[..., tuple[int, str, str]]) -> None:
    with mock.patch("dvfl_mobile.pipeline.engines.find_device", side_effect=UsageError("There is no device 'npu'.")):
        code, _, err = run_command("deploy", "--engines", "npu")
    assert code == 2
    assert "npu" in err


def test_each_engine_gets_what_it_runs_and_few_clips(deployed: Callable[..., tuple[int, str, str]]) -> None:
    code, out, _ = deployed("--engines", "gpu:fp32", "--engines", "arm64:cortex-a76", "--engine-clips", 3, "--json")
    summary = DeploySummary.model_validate_json(out)
    assert code == 0
    ran = [(row.engine, row.name, row.clips) for row in summary.rows]
    assert ran == [
        ("host", "tflite/fp32", 8),
        ("gpu:fp32", "tflite/fp32", 3),
        ("arm64:cortex-a76", "tflite/fp32", 3),
        ("host", "coreml/fp32", 8),
    ]
    assert [row.seconds is None for row in summary.rows] == [False, True, True, False]
    assert [row.worst_sqnr_db for row in summary.rows] == [row.sqnr_db for row in summary.rows]  # all infinite


def test_one_that_breaks_takes_nothing_from_the_others(deployed: Callable[..., tuple[int, str, str]]) -> None:
    options = ("--engines", BROKEN, "--engines", "gpu", "--json")
    code, out, _ = deployed(*options)
    rows = {row.place: row for row in DeploySummary.model_validate_json(out).rows}
    assert code == 0
    assert rows[f"tflite/fp32 on {BROKEN}"].reasons == ("The driver was lost. Start it again.",)
    assert rows["tflite/fp32 on gpu"].verdict.value == "pass"
    assert deployed(*options, "--strict")[0] == 7


def test_one_that_this_machine_cannot_run_takes_nothing_from_the_engines(
    deployed: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_late(folder: Path, manifest: Manifest) -> Runner:
        if manifest.target == "coreml":
            raise ArtifactError("It took longer than 160 seconds.", hint="Give it more.")
        return quick.open_runner(folder, manifest)

    monkeypatch.setattr("dvfl_mobile.pipeline.compare.open_runner", too_late)
    code, out, _ = deployed("--engines", "gpu", "--json")
    rows = {row.place: row.verdict.value for row in DeploySummary.model_validate_json(out).rows}
    assert code == 0
    assert rows == {"tflite/fp32": "pass", "tflite/fp32 on gpu": "pass", "coreml/fp32": "inconclusive"}
    assert deployed()[0] == 3


def test_a_wrong_number_on_one_engine_fails_the_deploy(
    deployed: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = np.linspace(-9, 9, TINY.num_classes, dtype=np.float32)
    monkeypatch.setattr("dvfl_mobile.pipeline.engines.find_device", lambda name: FakeDevice(name, logits=wrong))
    code, out, _ = deployed("--engines", "gpu")
    assert code == 5
    assert out.startswith("FAIL")
    assert "failed: tflite/fp32 on gpu" in " ".join(out.split())


def test_several_recipes_make_one_table(deployed: Callable[..., tuple[int, str, str]]) -> None:
    code, out, _ = deployed("--recipe", "fp32", "--recipe", "fp16", "--recipe", "float32", "--engines", "gpu")
    assert code == 0
    lines = out.splitlines()
    first = next(place for place, line in enumerate(lines) if line.split()[:2] == ["engine", "artifact"])
    table = lines[first : first + 7]
    assert all(len(line) <= 80 for line in table)
    assert [line.split()[:2] for line in table[1:]] == [
        ["host", "tflite/fp32"],
        ["host", "coreml/fp32"],
        ["host", "tflite/fp16"],
        ["host", "coreml/fp16"],
        ["gpu", "tflite/fp32"],
        ["gpu", "tflite/fp16"],
    ]


def test_an_engine_that_nothing_was_made_for_is_named() -> None:
    [idle] = Engines(("host", "htp")).idle({"host"})
    assert (idle.engine, idle.why) == ("htp", "No artifact for qualcomm was made.")


def test_a_program_for_core_ml_in_executorch_goes_to_no_arm_core() -> None:
    artifact = mock.Mock(manifest=mock.Mock(target="executorch-coreml", recipe="fp32"))
    clip_set = mock.Mock(**{"spread.return_value": (None, [0])})
    assert run_on(engines_named(["arm64:cortex-a76", "gpu"]), artifact, clip_set, np.zeros((1, 2)), silent) == []


def test_all_means_three_recipes_where_none_is_named(deployed: Callable[..., tuple[int, str, str]]) -> None:
    code, out, _ = deployed("--engines", ALL, "--json")
    assert code == 0
    assert {row["recipe"] for row in json.loads(out)["rows"]} == {"fp32", "fp16"}
