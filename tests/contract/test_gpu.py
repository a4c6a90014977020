"""Artifacts on the GPU, or on a driver that plays one: what they compute there, what is refused, and faults in them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dvfl_mobile.artifacts import manifest
from dvfl_mobile.artifacts.make import Artifact, open_artifact
from dvfl_mobile.cli.main import main
from dvfl_mobile.devices import gpu, vulkan
from dvfl_mobile.devices.base import find_device, found_devices
from dvfl_mobile.documents import Verdict
from dvfl_mobile.errors import CheckFailedError, InconclusiveError, MissingDriverError, UsageError
from dvfl_mobile.locating.document import Cause
from dvfl_mobile.parity.report import ParityReport
from dvfl_mobile.parity.thresholds import asked_thresholds
from dvfl_mobile.pipeline.check import check, check_taken, locate
from dvfl_mobile.profiling.session import check_is_physical
from dvfl_mobile.recipes import RECIPES
from dvfl_mobile.runners.tflite import gpu as running
from tests import gpus
from tests.conversions import Make
from tests.planting import Fault, planted
from tests.quantized import small_student

CLIPS, BAR_DB, WHY = 2, 35.0, "a network of random weights in half precision"

# A driver is found by variables that a process has from its beginning.
pytestmark = pytest.mark.cold_children


@pytest.fixture(scope="session", autouse=True)
def driver() -> Iterator[vulkan.Gpu]:
    with gpus.driver() as found:
        yield found


def checked(artifact: Artifact) -> ParityReport:
    """Its report, by a bar that the small student reaches, whose weights are random and its logits small."""
    bar = asked_thresholds(artifact.manifest.recipe, min(BAR_DB, RECIPES[artifact.manifest.recipe].min_sqnr_db), WHY)
    return check(artifact, most=CLIPS, device="gpu", thresholds=bar)


def test_it_is_among_the_devices(driver: vulkan.Gpu) -> None:
    [found] = [each for each in found_devices() if each.device == "gpu"]
    assert (found.is_ready, driver.name in found.model) == (True, True)
    assert found.kind == ("emulated" if driver.kind == "cpu" else "physical")
    assert find_device("gpu").facts.computes_in == find_device("gpu:fp16").facts.computes_in == "float16"
    assert find_device("gpu:fp32").facts.computes_in == "float32"
    with pytest.raises(UsageError, match="no device 'gpu:int8'"):
        find_device("gpu:int8")


def test_a_software_gpu_is_never_timed(driver: vulkan.Gpu) -> None:
    if driver.kind != "cpu":
        pytest.skip("this machine has a real GPU")
    with pytest.raises(UsageError, match="how long it takes says nothing"):
        check_is_physical(find_device("gpu"))


def test_half_precision_keeps_the_logits(made: Make) -> None:
    artifact = made("tflite", "fp32").artifact
    report = checked(artifact)
    assert report.verdict is Verdict.PASS, report.reasons
    assert report.pooled is not None
    # More than half precision could reach were float32's own.
    assert BAR_DB <= (report.pooled.sqnr_db or 0) < 80
    about = report.runner
    assert (about["precision"], about["whole"], about["pieces"]) == ("float16", True, 1)
    assert any("driver that computes on the CPU" in note for note in report.notes) == (about["kind"] == "emulated")
    assert (artifact.folder / "parity-gpu.json").exists()


def test_int8_keeps_the_logits(made: Make) -> None:
    made_here = made("tflite", "static_wi8_ai8")
    report = checked(made_here.artifact)
    assert report.verdict is Verdict.PASS, report.reasons
    assert report.runner["whole"] is True


@pytest.mark.parametrize("kind", ["scaled weight", "swapped axes", "overflow"])
def test_a_planted_fault_fails(made: Make, tmp_path: Path, kind: str) -> None:
    plant = overflowing if kind == "overflow" else faulty
    report = checked(plant(made("tflite", "fp32").artifact, kind, tmp_path))
    assert report.verdict is Verdict.FAIL
    assert report.reasons


def test_locating_names_the_operator_on_the_gpu(made: Make, tmp_path: Path) -> None:
    artifact = faulty(made("tflite", "fp32").artifact, "scaled weight", tmp_path)
    found = locate(artifact, checked(artifact), most=CLIPS, device="gpu")
    assert found.place is not None
    assert (found.place.error.module, found.place.cause) == ("stage2.block1.modulation.h", Cause.FACTOR)
    assert found.runtime_db == float("inf"), "what else a copy gives must leave the logits alone"
    assert "GPU kernels" in found.means
    assert len(found.rows) > 30


def test_a_planted_scale_fails(made: Make, tmp_path: Path) -> None:
    artifact = made("tflite", "static_wi8_ai8").artifact
    settings = artifact.manifest.quantization
    assert settings is not None
    fault = Fault("tflite", "clipped scale", "stage0.block0.mlp.fc1")
    scale = settings.scales[f"{fault.module}:out"].scale
    assert checked(planted(fault, artifact, None, -1, "", scale, tmp_path)).verdict is Verdict.FAIL


def faulty(artifact: Artifact, kind: str, out: Path) -> Artifact:
    """A copy with one weight that is wrong."""
    module = "stage2.block1.modulation.h" if kind == "scaled weight" else "stage0.block0.modulation.context"
    return planted(Fault("tflite", kind, module), artifact, weights()[f"{module}.weight"], -1, "", 0.0, out)


def overflowing(artifact: Artifact, _kind: str, out: Path) -> Artifact:
    """A copy whose first convolution gives 2^14 times as much: what the norm behind it makes of that is the same in
    float32, and infinite in float16.
    """
    folder = out.joinpath("overflow", *artifact.folder.parts[-3:])
    shutil.copytree(artifact.folder, folder)
    reference = manifest.reference_path(artifact.manifest, artifact.folder)
    shutil.copy(reference, folder.parents[1] / reference.name)
    path = folder / artifact.manifest.file
    data = path.read_bytes()
    for values in (weights()["stem.proj.weight"].transpose(0, 2, 3, 1), weights()["stem.proj.bias"]):
        held = np.ascontiguousarray(values, "<f4")
        assert data.count(held.tobytes()) == 1
        data = data.replace(held.tobytes(), (held * np.float32(2**14)).tobytes())
    path.write_bytes(data)
    changed = artifact.manifest.model_copy(update={"files": manifest.entries(folder, artifact.manifest.file)})
    manifest.write(changed, folder)
    return open_artifact(folder)


def weights() -> dict[str, np.ndarray]:
    from dvfl_mobile.quantization.graph.forms import deploy_form

    form = deploy_form(small_student(), (), "means")
    return {name: value.detach().numpy() for name, value in form.named_parameters()}


def test_an_overflow_is_none_in_float32(made: Make, tmp_path: Path) -> None:
    report = check(overflowing(made("tflite", "fp32").artifact, "", tmp_path), most=CLIPS)
    assert report.pooled is not None
    assert (report.pooled.sqnr_db or 0) > 80, "but for the norm's epsilon, it is the same function"


def test_what_was_taken_can_be_bounded(made: Make) -> None:
    report = checked(made("tflite", "fp32").artifact)
    check_taken(report, 1.0, 1)
    split = report.model_copy(update={"runner": report.runner | {"whole": False, "pieces": 2}})
    check_taken(split, None, 2)
    with pytest.raises(CheckFailedError, match="falls into 2 pieces on gpu, above 1"):
        check_taken(split, None, 1)
    with pytest.raises(InconclusiveError, match="doesn't tell which share"):
        check_taken(split, 0.5, None)


def test_another_target_is_inconclusive(made: Make) -> None:
    artifact = made("tflite", "fp32").artifact
    other = artifact.manifest.model_copy(update={"target": "executorch"})
    with pytest.raises(InconclusiveError, match="on a GPU"), find_device("gpu").open(artifact.folder, other):
        pass


def test_a_driver_that_computes_in_float32_is_never_taken_for_half(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = running.Measured("SwiftShader Device (Subzero)", "float32")
    monkeypatch.setattr(running, "measured", lambda _: seen)
    with pytest.raises(InconclusiveError, match=r"SwiftShader .* computes in float32"):
        running.GpuRunner(Path("model.tflite"), Any, "float16")  # type: ignore[arg-type]


def test_without_a_driver_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vulkan, "found_gpus", list)
    with pytest.raises(MissingDriverError, match="no Vulkan driver") as caught:
        find_device("gpu")
    assert (caught.value.exit_code, "mesa-vulkan-drivers" in caught.value.hint) == (4, True)


def test_a_folder_without_a_driver_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(vulkan.VULKAN_VARIABLE, str(tmp_path))
    with pytest.raises(MissingDriverError, match="no Vulkan driver is unpacked there"):
        find_device("gpu")
    assert gpu.found() == ()


def test_precision_goes_with_a_gpu(made: Make, capfd: pytest.CaptureFixture[str]) -> None:
    folder = made("tflite", "fp32").artifact.folder
    with pytest.raises(SystemExit) as end:
        main(["parity", str(folder), "--device", "host", "--precision", "fp32"])
    assert end.value.code == UsageError.exit_code
    assert "--device gpu" in capfd.readouterr().err
