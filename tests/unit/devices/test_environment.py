"""`doctor`: what it says of packages, targets and this machine."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from dvfl_mobile.cli.main import main
from dvfl_mobile.devices import environment
from dvfl_mobile.devices.environment import Environment, look_around
from dvfl_mobile.errors import MissingDependencyError
from dvfl_mobile.licences import Licence, LicenceState

pytestmark = pytest.mark.installed

ALL_THERE = {
    "dvfl-mobile": "0.1.0",
    "numpy": "2.4.6",
    "packaging": "26.3",
    "pydantic": "2.11.10",
    "rich": "15.0.0",
    "typer": "0.29.2",
    "torch": "2.13.0+cpu",
    "executorch": "1.5.1",
    "coremltools": "9.0",
    "coreai-torch": "0.4.3",
    "coreai-core": "1.0.0b3",
    "litert-torch": "0.10.0",
    "ai-edge-litert": "2.3.0",
    "onnxruntime": "1.32.0",
    "onnxruntime-qnn": "2.7.0",
    "safetensors": "0.8.0",
    "av": "18.1.0",
    "matplotlib": "3.10.0",
    "torchao": "0.18.0",
    "tensorflow": "2.21.0",
    "cmake": "4.4.5",
    "ninja": "1.13.2",
    "segno": "1.6.6",
    "pyyaml": "6.0.3",
    "tensorboard": "2.21.0",
}


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The packages that seem to be installed; a test takes some away."""
    packages = dict(ALL_THERE)

    def version(name: str) -> str:
        if name not in packages:
            raise PackageNotFoundError(name)
        return packages[name]

    monkeypatch.setattr(environment, "version", version)

    def state_of(licence: Licence) -> LicenceState:
        text = "licence.pdf" if licence.package in packages else None
        return LicenceState(name=licence.name, title=licence.title, text=text, is_accepted=text is not None)

    monkeypatch.setattr(environment, "state_of", state_of)
    monkeypatch.setattr(environment.platform, "system", lambda: "Linux")
    return packages


def _doctor(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(["doctor", *arguments])
    assert isinstance(end.value.code, int)
    return end.value.code


@pytest.mark.usefixtures("installed")
def test_with_all_there_nothing_is_to_be_installed() -> None:
    found = look_around()
    assert [extra.name for extra in found.extras if extra.problems] == []
    assert found.install is None
    assert all(target.converts for target in found.targets)
    assert found.missing_for(["executorch", "coreml", "tflite", "executorch-coreml", "coreai", "qualcomm"]) == []


def test_with_the_base_alone_everything_else_is_named(installed: dict[str, str]) -> None:
    for name in (
        "torch",
        "executorch",
        "coremltools",
        "coreai-torch",
        "coreai-core",
        "litert-torch",
        "ai-edge-litert",
        "onnxruntime",
        "onnxruntime-qnn",
        "safetensors",
        "av",
        "matplotlib",
        "torchao",
        "tensorflow",
        "cmake",
        "ninja",
        "segno",
        "pyyaml",
        "tensorboard",
    ):
        del installed[name]
    found = look_around()
    extras = "executorch,coreml,tflite,quantize,video,plots,training,harness,web"
    assert found.install == f"pip install 'dvfl-mobile[{extras}]'"
    assert {(target.converts, target.runs) for target in found.targets} == {(False, False)}
    assert "litert-torch isn't installed" in found.missing_for(["tflite"])
    assert found.missing_for(["video"]) == ["av isn't installed"]


def test_only_what_is_missing_is_to_be_installed(installed: dict[str, str]) -> None:
    # All but the first aren't in `all`.
    for name in ("coremltools", "tensorflow", "coreai-torch", "coreai-core", "onnxruntime-qnn"):
        del installed[name]
    found = look_around()
    assert found.install == "pip install 'dvfl-mobile[coreml]'"
    assert found.missing_for(["executorch", "tflite"]) == []


def test_torch_and_executorch_that_do_not_match_are_reported(installed: dict[str, str]) -> None:
    installed["torch"] = "2.14.0"
    found = look_around()
    assert found.missing_for(["executorch"]) == ["torch is 2.14.0, and executorch needs ==2.13.0"]
    assert found.missing_for(["coreml", "tflite"]) == []


@pytest.mark.usefixtures("installed")
def test_core_ml_is_run_by_a_reference_executor_on_linux() -> None:
    core_ml = next(target for target in look_around().targets if target.name == "coreml")
    assert (core_ml.converts, core_ml.runs) == (True, True)
    assert "reference executor" in core_ml.run_by


def test_core_ml_runs_on_macos(installed: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment.platform, "system", lambda: "Darwin")
    assert all(target.runs for target in look_around().targets)
    del installed["coremltools"]
    assert [target.name for target in look_around().targets if not target.runs] == ["coreml", "executorch-coreml"]


def test_core_ai_runs_on_linux_where_its_runtime_is(installed: dict[str, str]) -> None:
    core_ai = next(target for target in look_around().targets if target.name == "coreai")
    assert (core_ai.converts, core_ai.runs) == (True, True)
    del installed["coreai-core"]
    core_ai = next(target for target in look_around().targets if target.name == "coreai")
    assert (core_ai.runs, core_ai.why_not_run) == (False, "coreai-core isn't installed")
    installed["coreai-torch"] = "0.5.0"
    assert look_around().missing_for(["coreai"]) == ["coreai-torch is 0.5.0, and coreai needs ==0.4.3"]


def test_an_npu_waits_for_its_licence(installed: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    def unaccepted(licence: Licence) -> LicenceState:
        return LicenceState(name=licence.name, title=licence.title, text="licence.pdf", is_accepted=False)

    monkeypatch.setattr(environment, "state_of", unaccepted)
    found = look_around()
    [state] = [target for target in found.targets if target.name == "qualcomm"]
    assert (state.converts, state.runs) == (False, False)
    assert state.why_not_run == "Qualcomm's AI Stack License isn't accepted"
    assert found.missing_for(["qualcomm-SM8750"]) == [state.why_not_run]
    assert found.missing_for(["tflite"]) == []
    installed["onnxruntime-qnn"] = "2.8.0"
    assert look_around().missing_for(["qualcomm"])[0] == "onnxruntime-qnn is 2.8.0, and qualcomm needs ==2.7.0"


@pytest.mark.usefixtures("installed")
def test_the_chips_that_an_npu_may_be_of_are_listed(capfd: pytest.CaptureFixture[str]) -> None:
    assert _doctor() == 0
    assert "for SM8450, SM8475, SM8550, SM8650, SM8750, SM8845, SM8850, SA8255, SA8295" in capfd.readouterr().out


def test_a_copy_that_is_not_installed_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def requires(name: str) -> list[str]:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(environment, "requires", requires)
    with pytest.raises(MissingDependencyError, match="dvfl-mobile isn't installed"):
        look_around()


def test_doctor_reports_what_is_missing_and_ends_well(
    installed: dict[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    del installed["av"]
    assert _doctor() == 0
    out, err = capfd.readouterr()
    assert err == ""
    assert "av isn't installed (read video files)" in out
    assert "pip install 'dvfl-mobile[video,training]'" in out
    assert "  coreml             converts, runs by a reference executor" in out


def test_doctor_fails_with_4_for_a_target_that_is_asked_for(
    installed: dict[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    del installed["coremltools"]
    assert _doctor("--target", "tflite") == 0
    capfd.readouterr()
    assert _doctor("--target", "tflite", "--target", "coreml", "--json") == 4
    out, err = capfd.readouterr()
    assert Environment.model_validate_json(out).install == "pip install 'dvfl-mobile[coreml]'"
    assert "coremltools isn't installed" in err


def test_doctor_refuses_a_target_that_is_none(capfd: pytest.CaptureFixture[str]) -> None:
    assert _doctor("--target", "onnx") == 2
    assert "executorch, coreml, tflite" in capfd.readouterr().err


def test_doctor_prints_one_document(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ucf8").mkdir()
    monkeypatch.setenv("DVFL_MOBILE_DATA", str(tmp_path))
    assert _doctor("--json") == 0
    document = json.loads(capfd.readouterr().out)
    assert document["schema_version"] == 1
    assert document["data_folders"] == ["ucf8"]
    assert document["machine"]["cores"] >= 1
    assert document["machine"]["memory_bytes"] > 1e9


def test_doctor_imports_nothing_that_it_looks_at() -> None:
    script = """
        import sys
        from dvfl_mobile.devices.environment import look_around
        look_around()
        heavy = "torch av executorch coremltools litert_torch ai_edge_litert safetensors numpy".split()
        print([name for name in heavy if name in sys.modules])
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    assert subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout == "[]\n"
