"""Programs that a package brings are taken if they are what would be built here; else both ways to them are named."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from dvfl_mobile.devices.harness import build as building
from dvfl_mobile.devices.harness.build import bundle_for
from dvfl_mobile.devices.harness.bundle import RUNNER_VARIABLE
from dvfl_mobile.devices.harness.ready_made import ready_made
from dvfl_mobile.devices.harness.sources import sources_sha256
from dvfl_mobile.errors import DeviceError, MissingDependencyError, MissingToolError
from dvfl_mobile.files import CACHE_VARIABLE
from dvfl_mobile.version import __version__
from tests.installed import pretend_installed
from tests.unit.devices.test_bundle import write_bundle

WHEEL = f"pip install dvfl-mobile-runner=={__version__}"


@pytest.fixture(autouse=True)
def _nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No programs are named, and none were built before."""
    monkeypatch.delenv(RUNNER_VARIABLE, raising=False)
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that an installed package of programs is written into."""
    folder = tmp_path / "site" / "dvfl_mobile_runner"
    (folder / "linux-arm64").mkdir(parents=True)
    (folder / "__init__.py").touch()
    pretend_installed(folder, monkeypatch)
    return folder


def _write(package: Path, **changes: Any) -> Path:
    facts = {"sources_sha256": sources_sha256(), "runtimes": {"tflite": "2.3.0+cpu"}, **changes}
    return write_bundle(package / "linux-arm64", **facts)


@pytest.fixture
def _no_tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))


@pytest.mark.usefixtures("_no_tools")
def test_they_are_found_before_anything_is_built(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dvfl_mobile.devices.harness.ready_made._installed_version", lambda _: "2.3.0")
    folder = _write(package)
    assert bundle_for("linux-arm64", "tflite").folder == folder
    monkeypatch.setattr(sys, "platform", "darwin")
    assert bundle_for("linux-arm64", "tflite").folder == folder


def test_without_the_runtime_they_are_taken_as_they_are(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dvfl_mobile.devices.harness.ready_made._installed_version", lambda _: None)
    folder = _write(package)
    assert ready_made("linux-arm64", "tflite").folder == folder


def test_those_of_other_sources_are_left_alone(package: Path) -> None:
    for changes in ({"sources_sha256": "0" * 64}, {"sources_sha256": None}):
        _write(package, **changes)
        with pytest.raises(MissingToolError, match="built from other sources") as caught:
            ready_made("linux-arm64", "tflite")
        assert WHEEL in caught.value.hint


def test_those_with_another_release_of_the_runtime_are_left_alone(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dvfl_mobile.devices.harness.ready_made._installed_version", lambda _: "2.4.0")
    _write(package)
    with pytest.raises(MissingToolError, match=r"brings ai-edge-litert 2\.3\.0.*, and 2\.4\.0 is installed") as caught:
        ready_made("linux-arm64", "tflite")
    assert caught.value.hint == "pip install ai-edge-litert==2.3.0"


def test_those_that_changed_are_an_error_of_their_own(package: Path) -> None:
    (_write(package) / "dvfl-mobile-run-litert").write_bytes(b"changed")
    with pytest.raises(DeviceError, match="isn't the file that was built"):
        bundle_for("linux-arm64", "tflite")


@pytest.mark.usefixtures("_no_tools")
def test_with_neither_both_ways_are_named() -> None:
    with pytest.raises(MissingDependencyError, match=r"isn't installed.* Nor can they be built here") as caught:
        bundle_for("linux-arm64", "tflite")
    assert caught.value.exit_code == 4
    assert WHEEL in caught.value.hint
    assert "pip install 'dvfl-mobile[" in caught.value.hint


def test_elsewhere_than_on_linux_there_is_one_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(building, "built", lambda *_: pytest.fail("it was built"))
    with pytest.raises(MissingToolError) as caught:
        bundle_for("linux-arm64", "tflite")
    assert caught.value.hint.startswith(WHEEL)
    assert "on Linux alone" in caught.value.hint
