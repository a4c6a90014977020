"""A folder of built programs is used only if it is whole and speaks this protocol."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from dvfl_mobile.devices.android import device as android
from dvfl_mobile.devices.harness import build as building
from dvfl_mobile.devices.harness import protocol
from dvfl_mobile.devices.harness.build import bundle_for
from dvfl_mobile.devices.harness.bundle import RUNNER_VARIABLE, Bundle, given_bundle
from dvfl_mobile.devices.values import DeviceFacts
from dvfl_mobile.errors import DeviceError, InconclusiveError

PROGRAM = b"#!/bin/sh\n"


def write_bundle(folder: Path, **changes: Any) -> Path:
    name = "dvfl-mobile-run-litert"
    (folder / name).write_bytes(PROGRAM)
    file = {"name": name, "sha256": hashlib.sha256(PROGRAM).hexdigest(), "targets": ["tflite"]}
    header = {"schema_version": 1, "protocol": protocol.VERSION, "preset": "linux-arm64", "compiler": "GNU 12.2.0"}
    document = {**header, "runtimes": {"tflite": "2.3.0"}, "files": [file], **changes}
    (folder / "bundle.json").write_text(json.dumps(document), encoding="utf-8")
    return folder


def test_a_whole_bundle_tells_which_files_a_target_needs(tmp_path: Path) -> None:
    bundle = Bundle(write_bundle(tmp_path))
    assert bundle.program("tflite") == "dvfl-mobile-run-litert"
    assert [file.name for file in bundle.files("tflite")] == ["dvfl-mobile-run-litert"]
    assert bundle.preset == "linux-arm64"


@pytest.mark.parametrize("target", ["executorch", "coreml"])
def test_a_target_that_it_has_no_program_for_is_inconclusive(tmp_path: Path, target: str) -> None:
    with pytest.raises(InconclusiveError, match=f"runs artifacts for {target}"):
        Bundle(write_bundle(tmp_path)).program(target)


def test_a_folder_without_a_list_is_none(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="no built runner"):
        Bundle(tmp_path)


def test_a_program_that_changed_is_refused(tmp_path: Path) -> None:
    (write_bundle(tmp_path) / "dvfl-mobile-run-litert").write_bytes(b"#!/bin/sh\nrm -rf /\n")
    with pytest.raises(DeviceError, match="isn't the file that was built"):
        Bundle(tmp_path)


@pytest.mark.parametrize("name", ["../program", "/bin/sh", "a b", "", "x;y"])
def test_a_name_that_isn_t_one_of_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    file = {"name": name, "sha256": "0" * 64, "targets": ["tflite"]}
    with pytest.raises(DeviceError, match="can't be understood"):
        Bundle(write_bundle(tmp_path, files=[file]))


def test_another_protocol_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="built for protocol 99") as caught:
        Bundle(write_bundle(tmp_path, protocol=99))
    assert RUNNER_VARIABLE in caught.value.hint


def test_the_environment_names_a_bundle_and_it_is_used_for_its_own_kind_of_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(RUNNER_VARIABLE, raising=False)
    assert given_bundle() is None
    monkeypatch.setenv(RUNNER_VARIABLE, str(write_bundle(tmp_path)))
    assert bundle_for("linux-arm64", "tflite").folder == tmp_path


@pytest.mark.parametrize(
    ("system", "abi", "preset", "is_used"),
    [
        ("Android 14", "arm64-v8a", "android-arm64", True),
        ("Android 14", "arm64-v8a", "linux-arm64", True),
        ("Debian", "arm64-v8a", "linux-arm64", True),
        ("Debian", "arm64-v8a", "android-arm64", False),
        ("Android 14", "x86_64", "mine", True),
    ],
)
def test_a_device_is_given_what_runs_there(
    system: str, abi: str, preset: str, is_used: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Programs that want Android's own C library are used where they are named, and there alone."""
    monkeypatch.setenv(RUNNER_VARIABLE, str(write_bundle(tmp_path, preset=preset)))
    monkeypatch.setattr(building, "ready_made", lambda *_: "ready-made")
    facts = DeviceFacts(device="android:1", kind="physical", model="A", system=system, abi=abi)
    found = android.programs_for(facts, "tflite")
    assert found.folder == tmp_path if is_used else found == "ready-made"


def test_a_phone_of_another_kind_has_to_bring_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(RUNNER_VARIABLE, raising=False)
    facts = DeviceFacts(device="android:1", kind="physical", model="A", system="Android 9", abi="armeabi-v7a")
    with pytest.raises(InconclusiveError, match="64-bit Arm alone") as caught:
        android.programs_for(facts, "tflite")
    assert RUNNER_VARIABLE in caught.value.hint


def test_a_bundle_with_a_loader_starts_its_programs_by_it(tmp_path: Path) -> None:
    assert Bundle(write_bundle(tmp_path)).starter == ()
    loader, *options = Bundle(write_bundle(tmp_path, loader="ld-linux-aarch64.so.1")).starter
    assert loader == "ld-linux-aarch64.so.1"
    assert options == ["--inhibit-cache", "--library-path", "."]


def test_a_target_without_native_programs_is_inconclusive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(RUNNER_VARIABLE, raising=False)
    with pytest.raises(InconclusiveError, match="No native program runs artifacts for coreml"):
        bundle_for("host", "coreml")
