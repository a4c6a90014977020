"""A folder of built programs is used only if it is whole and speaks this protocol."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from dvfl_mobile.devices.harness import protocol
from dvfl_mobile.devices.harness.build import bundle_for
from dvfl_mobile.devices.harness.bundle import RUNNER_VARIABLE, Bundle, given_bundle
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
    monkeypatch.setenv(RUNNER_VARIABLE, str(write_bundle(tmp_path, preset="android-arm64")))
    assert bundle_for("android-arm64", "tflite").folder == tmp_path


def test_without_one_a_phone_has_no_programs_and_the_error_says_where_to_read_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(RUNNER_VARIABLE, raising=False)
    with pytest.raises(DeviceError, match="No built runner for Android") as caught:
        bundle_for("android-arm64", "tflite")
    assert "docs/native-runner.md" in caught.value.hint


def test_a_target_without_native_programs_is_inconclusive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(RUNNER_VARIABLE, raising=False)
    with pytest.raises(InconclusiveError, match="No native program runs artifacts for coreml"):
        bundle_for("host", "coreml")
