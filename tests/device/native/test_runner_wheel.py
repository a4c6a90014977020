"""The wheel of ready-made programs: built, installed, and then all that a machine without a compiler needs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dvfl_mobile.devices.base import find_device
from dvfl_mobile.devices.emulated import QEMU_VARIABLE
from dvfl_mobile.devices.harness import build as building
from dvfl_mobile.devices.harness.bundle import Bundle
from dvfl_mobile.devices.harness.sources import sources_sha256
from dvfl_mobile.metrics import sqnr_db
from dvfl_mobile.runners.pytorch import TorchRunner
from tests.device.native.conftest import Small
from tests.device_tools import path_with_tools, tool
from tests.installed import pretend_installed
from tests.quantized import small_student

WHEEL_VARIABLE = "DVFL_MOBILE_RUNNER_WHEEL"
"""A wheel to test in place of one that is built for it."""

CHECKOUT = Path(__file__).resolve().parents[3]
LEAST_DB = 110
"""Of float32 against PyTorch: sums in another order, and nothing else, leave 117 dB of these clips."""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the wheel was installed into."""
    site = tmp_path_factory.mktemp("site")
    wheel = os.environ.get(WHEEL_VARIABLE) or _built(tmp_path_factory.mktemp("wheel"))
    _run(sys.executable, "-m", "pip", "install", "--no-index", "--no-deps", "--target", str(site), wheel)
    return site


def test_it_says_what_it_was_built_from_and_brings_the_licences(installed: Path) -> None:
    folder = installed / "dvfl_mobile_runner" / "linux-arm64"
    facts = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
    commit = _run("git", "-C", str(CHECKOUT), "rev-parse", "HEAD")
    assert facts["commit"].removesuffix("-dirty") == commit
    assert facts["sources_sha256"] == sources_sha256()
    assert {file["name"] for file in facts["files"]} | {"bundle.json"} == {path.name for path in folder.iterdir()}
    [licences] = installed.glob("dvfl_mobile_runner-*.dist-info/licenses/licences")
    assert {"glibc", "gcc", "LGPL-2.1", "GPL-3", "executorch", "ai-edge-litert", "dvfl-mobile"} <= {
        path.name for path in licences.iterdir()
    }
    metadata = next(installed.glob("dvfl_mobile_runner-*.dist-info/METADATA")).read_text(encoding="utf-8")
    assert commit in metadata
    assert "Debian GLIBC 2" in metadata
    assert "@" not in metadata


@pytest.mark.parametrize("target", ["executorch", "tflite"])
def test_installed_it_is_used_and_nothing_is_compiled(
    target: str, installed: Path, small: Small, pixels: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(QEMU_VARIABLE, tool("qemu-aarch64"))
    pretend_installed(installed / "dvfl_mobile_runner", monkeypatch)
    monkeypatch.setattr(building, "built", lambda *_: pytest.fail("it was built"))
    device, artifact = find_device("arm64:cortex-a76"), small(target, "fp32")
    bundle = device.have_programs(target)  # type: ignore[attr-defined]
    assert isinstance(bundle, Bundle)
    assert bundle.folder.is_relative_to(installed)
    with device.open(artifact.folder, artifact.manifest) as runner:
        found = runner.run(pixels[:1])
    expected = TorchRunner(small_student()).run(pixels[:1])
    assert sqnr_db(expected.astype(np.float64), found.astype(np.float64)) >= LEAST_DB


def _built(folder: Path) -> str:
    script = CHECKOUT / "scripts" / "runner-wheel"
    if not script.exists() or shutil.which("git") is None or not (CHECKOUT / ".git").exists():
        pytest.skip("the wheel is built in a checkout, with git")
    tool("aarch64-linux-gnu-g++")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", path_with_tools())
        _run(sys.executable, str(script), str(folder))
    [wheel] = folder.glob("dvfl_mobile_runner-*-py3-none-any.whl")
    return str(wheel)


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()
