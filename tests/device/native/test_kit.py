"""A kit end to end: made, unpacked, run by its own script with a real adb on a real adbd, and judged from its zip."""

from __future__ import annotations

import os
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest

from dvfl_mobile.artifacts.make import Artifact
from dvfl_mobile.data.gather import gather_clips
from dvfl_mobile.devices.base import find_device
from dvfl_mobile.errors import DeviceError
from dvfl_mobile.metrics import sqnr_db
from dvfl_mobile.pipeline.kit import TOP, make_kit
from dvfl_mobile.profiling.plan import Plan
from dvfl_mobile.progress import silent
from dvfl_mobile.runners.pytorch import TorchRunner
from tests.device.adbd import Phone, World
from tests.device.native.conftest import Small
from tests.device_tools import path_with_tools, tool
from tests.quantized import small_student

CLIPS = 2
PLAN = Plan(runs=2, warmup=1, threads=1)
LEAST_DB = 110
"""Of float32 against PyTorch: sums in another order, and nothing else, leave 117 dB of these clips."""


@pytest.fixture
def artifacts(small: Small) -> list[Artifact]:
    """One for each runtime."""
    return [small(target, "fp32") for target in ("tflite", "executorch")]


@pytest.fixture
def unpacked(artifacts: list[Artifact], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a kit, as somebody else unpacked it."""
    tool("aarch64-linux-gnu-g++")
    monkeypatch.setenv("PATH", path_with_tools())
    made = make_kit(artifacts, tmp_path / "kit.zip", None, CLIPS, PLAN)
    # For each artifact: its clips at once, two rounds, and the timed clip once more.
    assert made.starts == 2 * 4
    with zipfile.ZipFile(tmp_path / "kit.zip") as archive:
        archive.extractall(tmp_path / "there")
    return tmp_path / "there" / TOP


def _run(unpacked: Path, adb: Path, phone: Phone) -> subprocess.CompletedProcess[str]:
    environment, command = os.environ | {"ADB": str(adb)}, ["sh", str(unpacked / "run.sh"), phone.serial]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=500, check=False)


def test_it_runs_on_a_phone_and_is_judged_as_if_it_had_run_here(
    unpacked: Path, artifacts: list[Artifact], world: World, android_phone: Phone
) -> None:
    done = _run(unpacked, world.adb_path, android_phone)
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(android_phone.folder.iterdir()) == []
    results = unpacked / "kit-results.zip"
    assert not (unpacked / "kit-results").exists()
    manifest = artifacts[0].manifest
    clips = gather_clips(None, manifest.clip, manifest.classes, silent, CLIPS).pixels
    expected = TorchRunner(small_student()).run(clips)
    device = find_device(f"kit:{results}")
    assert (device.facts.kind, device.facts.model) == ("emulated", "Debian Chroot for Arm")
    assert device.facts.system.startswith("Android 14, measured elsewhere at 20")
    for artifact in artifacts:
        with device.open(artifact.folder, artifact.manifest) as runner:
            found = runner.run(clips)
            rounds = [runner.measure(clips[0], PLAN.options()) for _ in range(PLAN.rounds)]
            with pytest.raises(DeviceError, match="holds no such run"):
                runner.run(clips[:, :, ::-1].copy())
            with pytest.raises(DeviceError, match="holds no such run"):
                runner.measure(clips[0], PLAN.options())
        assert sqnr_db(expected.astype(np.float64), found.astype(np.float64)) >= LEAST_DB
        assert all(len(each.duration_ns) == 1 and min(each.duration_ns) > 0 for each in rounds)
    assert device.state().load is not None


def test_a_file_of_it_that_was_changed_is_refused_on_the_phone(
    unpacked: Path, world: World, android_phone: Phone
) -> None:
    done = _run(unpacked, Path("/nowhere/adb"), android_phone)
    assert (done.returncode, "README.txt" in done.stderr) == (4, True)
    phone = unpacked / "phone"
    listed = {line.split()[1] for line in (phone / "SHA256SUMS").read_text("ascii").splitlines()}
    assert {path.relative_to(phone).as_posix() for path in phone.rglob("*") if path.is_file()} == listed | {
        "SHA256SUMS"
    }
    [largest, *_] = sorted((phone / "files").iterdir(), key=lambda path: -path.stat().st_size)
    with largest.open("r+b") as file:
        file.seek(1000)
        file.write(b"changed")
    done = _run(unpacked, world.adb_path, android_phone)
    assert done.returncode == 6
    assert "a file of this kit was changed" in done.stderr
    assert not (unpacked / "kit-results.zip").exists()
    assert list(android_phone.folder.iterdir()) == []
