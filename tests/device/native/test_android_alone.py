"""Programs for 64-bit Arm bring their own C library and loader: they need nothing of the system that they run on."""

from __future__ import annotations

import hashlib
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dvfl_mobile.devices.android.adb import VARIABLE
from dvfl_mobile.devices.android.place import AdbPlace
from dvfl_mobile.devices.base import find_device
from dvfl_mobile.devices.harness.build import bundle_for
from dvfl_mobile.devices.harness.bundle import LICENCES
from dvfl_mobile.devices.harness.options import ProgramOptions, PushedFile
from dvfl_mobile.metrics import sqnr_db
from dvfl_mobile.runners.base import as_input
from dvfl_mobile.runners.pytorch import TorchRunner
from tests.device.adbd import Phone, World
from tests.device.native.conftest import Small
from tests.device_tools import path_with_tools, tool
from tests.elf import Elf
from tests.quantized import small_student

LEAST_DB = 110
"""Of float32 against PyTorch: sums in another order, and nothing else, leave 117 dB of these clips."""

TARGETS = ["executorch", "tflite"]
ARM64 = 183
PAGE_BYTES = 16 * 1024
EMULATOR = "qemu-aarch64"


@pytest.fixture(autouse=True)
def _tools(monkeypatch: pytest.MonkeyPatch) -> None:
    tool("aarch64-linux-gnu-g++")
    monkeypatch.setenv("PATH", path_with_tools())


@pytest.mark.parametrize("target", TARGETS)
def test_every_file_fits_phones_with_large_pages_and_finds_all_that_it_asks_for(target: str) -> None:
    bundle = bundle_for("linux-arm64", target)
    names = {file.name for file in bundle.files(target)}
    for name in names:
        elf = Elf(bundle.folder / name)
        assert elf.machine == ARM64
        assert elf.fits_pages_of(PAGE_BYTES), name
        assert set(elf.needed) <= names, name
        assert all(place.startswith("$ORIGIN") for run_path in elf.run_paths for place in run_path.split(":")), name
    assert bundle.starter[0] in names


def test_licences_lie_beside_what_others_wrote_and_go_to_no_device() -> None:
    bundle = bundle_for("linux-arm64", "tflite")
    licences = [file.name for file in bundle.files(LICENCES)]
    assert licences == ["LICENCE.glibc", "LICENCE.gcc"]
    assert "GNU Lesser General Public" in (bundle.folder / "LICENCE.glibc").read_text(encoding="utf-8")
    assert "GCC Runtime Library Exception" in (bundle.folder / "LICENCE.gcc").read_text(encoding="utf-8")
    assert not {file.name for file in bundle.files("tflite")} & set(licences)


@pytest.mark.parametrize("target", TARGETS)
def test_on_android_the_process_maps_no_file_from_outside_its_folder(
    target: str, android_phone: Phone, world: World, small: Small, pixels: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(world.adb_path))
    maps: list[str] = []
    run = AdbPlace.run

    def watched(place: AdbPlace, *arguments: Any) -> int:
        program, words, seconds, on_line, starter = arguments

        def hear(line: str) -> None:
            if '"event":"load"' in line:
                maps.append(_maps(world, android_phone))
            on_line(line)

        return run(place, program, words, seconds, hear, starter)

    monkeypatch.setattr(AdbPlace, "run", watched)
    artifact = small(target, "fp32")
    device = find_device(f"android:{android_phone.serial}")
    assert (device.facts.system, device.facts.abi) == ("Android 14", "arm64-v8a")
    with device.open(artifact.folder, artifact.manifest) as runner:
        [folder] = android_phone.folder.iterdir()
        found = runner.run(pixels[:1])
        [said] = maps
    expected = TorchRunner(small_student()).run(pixels[:1])
    assert sqnr_db(expected.astype(np.float64), found.astype(np.float64)) >= LEAST_DB
    mapped = {Path(path) for path in re.findall(r"^\S+ \S+ \S+ \S+ \S+ +(/.*)$", said, re.MULTILINE)}
    outside = {path for path in mapped if path.parent.name != folder.name and path.name != EMULATOR}
    assert not outside
    bundle = bundle_for("linux-arm64", target)
    assert {path.name for path in mapped} >= {bundle.program(target), bundle.starter[0], "libc.so.6", "libm.so.6"}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.usefixtures("arm64_system")
def test_it_runs_in_a_root_that_holds_nothing_else(
    target: str, world: World, small: Small, pixels: np.ndarray, tmp_path: Path
) -> None:
    """No other library, no shell, no `/dev`; `/proc` and `/sys` are the kernel's."""
    artifact, bundle, root = small(target, "fp32"), bundle_for("linux-arm64", target), tmp_path / "root"
    root.mkdir()
    for name in ("proc", "sys"):
        (root / name).mkdir()
        world.run("mount", "--rbind", f"/{name}", str(root / name))
    for file in bundle.files(target):
        shutil.copy(bundle.folder / file.name, root)
    shutil.copy(artifact.folder / artifact.manifest.file, root / "model.bin")
    (root / "input.bin").write_bytes(as_input(pixels[0], artifact.manifest).tobytes())
    model, clips = _pushed(root / "model.bin"), _pushed(root / "input.bin")
    options = ProgramOptions("run", model, clips, 1, "output.bin", "run.log", threads=1)
    (root / "run.options").write_text(options.text(), encoding="ascii")
    loader, *words = bundle.starter
    start = [f"/{loader}", *words, f"./{bundle.program(target)}", "run.options"]
    said = world.run("env", "QEMU_CPU=cortex-a76", "chroot", str(root), *start)
    assert '"event":"end"' in said.splitlines()[-1]
    found = np.frombuffer((root / "output.bin").read_bytes(), "<f4")
    [expected] = TorchRunner(small_student()).run(pixels[:1])
    assert sqnr_db(expected.astype(np.float64), found.astype(np.float64)) >= LEAST_DB


def _pushed(path: Path) -> PushedFile:
    data = path.read_bytes()
    return PushedFile(path.name, len(data), hashlib.sha256(data).hexdigest())


def _maps(world: World, phone: Phone) -> str:
    """What the kernel says that the phone's program has mapped; the emulator that runs it among it."""
    [pid] = [path.read_text(encoding="ascii").strip() for path in phone.folder.glob("*/program.pid")]
    return (world.root / "proc" / pid / "maps").read_text(encoding="utf-8")
