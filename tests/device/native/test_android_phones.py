"""The harness's own programs behind a real adb: pushed, run and pulled, on this machine's kind and on 64-bit Arm."""

from __future__ import annotations

import numpy as np
import pytest

from dvfl_mobile.devices.android import device as android
from dvfl_mobile.devices.android.adb import VARIABLE
from dvfl_mobile.devices.base import find_device, found_devices
from dvfl_mobile.devices.values import RunOptions
from dvfl_mobile.metrics import sqnr_db
from dvfl_mobile.runners.pytorch import TorchRunner
from tests.device.adbd import Phone, World
from tests.device.native.conftest import Small
from tests.device_tools import path_with_tools, tool
from tests.quantized import small_student

LEAST_DB = 110
"""Of float32 against PyTorch: sums in another order, and nothing else, leave 117 dB of these clips."""


@pytest.fixture(autouse=True)
def _adb(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(world.adb_path))
    monkeypatch.setenv("PATH", path_with_tools())


@pytest.fixture(params=["phone", "arm64_phone"], ids=["x86", "arm64"])
def either(request: pytest.FixtureRequest) -> Phone:
    """A phone of this machine's kind, and one of 64-bit Arm."""
    if request.param == "arm64_phone":
        tool("aarch64-linux-gnu-g++")
    made: Phone = request.getfixturevalue(request.param)
    return made


@pytest.fixture(scope="module")
def reference(pixels: np.ndarray) -> np.ndarray:
    return TorchRunner(small_student()).run(pixels)


@pytest.mark.parametrize("target", ["executorch", "tflite"])
def test_float_artifacts_agree_with_pytorch(
    either: Phone, target: str, small: Small, pixels: np.ndarray, reference: np.ndarray
) -> None:
    artifact = small(target, "fp32")
    device = find_device(f"android:{either.serial}")
    with device.open(artifact.folder, artifact.manifest) as runner:
        assert runner.facts["device"] == f"android:{either.serial}"
        found = runner.run(pixels)
        measured = runner.measure(pixels[0], RunOptions(warmup=1, runs=3))
    assert sqnr_db(reference.astype(np.float64), found.astype(np.float64)) >= LEAST_DB
    assert len(measured.duration_ns) == 3
    assert list(either.folder.iterdir()) == []


def test_what_they_say_of_themselves(phone: Phone, arm64_phone: Phone) -> None:
    here, arm = (find_device(f"android:{one.serial}") for one in (phone, arm64_phone))
    assert (here.facts.kind, here.facts.abi) == ("physical", "x86_64")
    # It says itself that it is emulated, and so its times are never shown as latency.
    assert (arm.facts.kind, arm.facts.abi, arm.facts.model) == ("emulated", "arm64-v8a", "Debian Chroot for Arm")
    assert {"asimd", "asimddp"} <= set(arm.facts.features)
    assert here.facts.memory_bytes
    assert [core.number for core in here.facts.cores] == list(range(len(here.facts.cores)))
    state = here.state()
    assert state.load is not None
    assert len(state.core_khz) == len(here.facts.cores)
    assert (state.battery_percent, state.thermal_status) == (None, None)


def test_it_is_listed_and_the_only_one_needs_no_name(phone: Phone) -> None:
    assert [one.device for one in found_devices() if one.device.startswith("android:")] == [f"android:{phone.serial}"]
    assert android.find("").facts.device == f"android:{phone.serial}"
