"""`profile` on the command line: exit codes, documents, the history, and what is refused before anything runs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from dvfl_mobile.artifacts.make import Artifact
from dvfl_mobile.devices.base import find_device
from dvfl_mobile.devices.values import FoundDevice
from dvfl_mobile.errors import DeviceError
from dvfl_mobile.profiling.document import ProfileReport
from tests.fake_device import MS, FakeDevice, expected, make_artifact


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    return make_artifact(tmp_path / "out")


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> FakeDevice:
    found = FakeDevice("host")
    monkeypatch.setattr("dvfl_mobile.devices.host.find", lambda _: found)
    return found


def test_a_profile_is_shown_and_left_beside_the_artifact(run_command, artifact, device, tmp_path) -> None:  # type: ignore[no-untyped-def]
    code, out, err = run_command("profile", artifact.folder, "--runs", 24, "--threads", 2, "--cores", "0,1")
    assert code == 0, err
    assert out.startswith("PASS  ")
    assert device.asked[0].threads == 2
    assert device.asked[0].cores == (0, 1)
    left = ProfileReport.model_validate_json((artifact.folder / "profile.json").read_text())
    assert left.devices[0].a.summary.runs == 24
    lines = (tmp_path / "out" / "profile-history.jsonl").read_text().splitlines()
    assert [json.loads(line)["runs"] for line in lines] == [24]


@pytest.mark.usefixtures("device")
def test_json_is_one_document_alone_on_stdout(run_command, artifact) -> None:  # type: ignore[no-untyped-def]
    code, out, _ = run_command("profile", artifact.folder, "--runs", 12, "--json")
    assert code == 0
    report = ProfileReport.model_validate_json(out)
    assert (report.schema_version, len(report.devices[0].a.rounds)) == (1, 12)


def test_a_wrong_output_ends_with_5_and_keeps_the_report(run_command, artifact, device) -> None:  # type: ignore[no-untyped-def]
    device.logits = expected(artifact.folder) * 2
    code, out, _ = run_command("profile", artifact.folder, "--runs", 12)
    assert code == 5
    assert out.startswith("FAIL")
    assert (artifact.folder / "profile.json").is_file()


@pytest.mark.parametrize(("slower", "bound", "code"), [(1.3, "1.05", 5), (1.0, "1.5", 0), (1.3, "1.3", 7)])
def test_a_bound_on_the_ratio(run_command, artifact, device, tmp_path, slower, bound, code) -> None:  # type: ignore[no-untyped-def]
    other = make_artifact(tmp_path / "other" / "out", recipe="fp16")
    stream = np.random.default_rng(1)

    def times(folder: Path, _round: int, runs: int) -> list[int]:
        factor = slower if folder == other.folder else 1.0
        return [int(10 * MS * factor * np.exp(stream.normal(0, 0.02))) for _ in range(runs)]

    device.times = times
    outcome = run_command("profile", artifact.folder, "--against", other.folder, "--max-ratio", bound)
    assert outcome[0] == code, outcome[1]


@pytest.mark.usefixtures("device")
def test_a_page_is_written(run_command, artifact, tmp_path) -> None:  # type: ignore[no-untyped-def]
    code, _, err = run_command("profile", artifact.folder, "--runs", 12, "--html", tmp_path / "page" / "x.html")
    assert code == 0
    assert (tmp_path / "page" / "x.html").read_text().startswith("<!doctype html>")
    assert "x.html" in err


@pytest.mark.usefixtures("device")
def test_a_page_that_cant_be_written_takes_nothing_from_the_result(run_command, artifact, tmp_path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "file").touch()
    code, out, _ = run_command("profile", artifact.folder, "--runs", 12, "--html", tmp_path / "file" / "x.html")
    assert code == 3
    assert out.startswith("PASS")


@pytest.mark.usefixtures("device")
def test_versions_that_became_slower_show_in_the_history(run_command, artifact, tmp_path) -> None:  # type: ignore[no-untyped-def]
    assert run_command("profile", artifact.folder)[0] == 0
    path = tmp_path / "out" / "profile-history.jsonl"
    entry = json.loads(path.read_text())
    entry |= {"when": "2099-01-01T00:00:00Z", "sha256": "f" * 64}
    entry["round_ns"] = [value * 1.2 for value in entry["round_ns"]]
    path.write_text(path.read_text() + json.dumps(entry) + "\n{torn")
    for what in ([artifact.folder], [path], ["--history-file", path]):
        code, out, _ = run_command("profile", "--history", *what)
        assert code == 0
        assert "REGRESSION" in out
        assert "1 line of the history can't be read" in out
    code, out, _ = run_command("profile", artifact.folder, "--history", "--json")
    assert json.loads(out)["series"][0]["versions"][1]["change"]["result"] == "slower"


@pytest.mark.usefixtures("device")
def test_a_history_elsewhere_is_added_to(run_command, artifact, tmp_path) -> None:  # type: ignore[no-untyped-def]
    elsewhere = tmp_path / "elsewhere.jsonl"
    assert run_command("profile", artifact.folder, "--runs", 12, "--history-file", elsewhere)[0] == 0
    assert len(elsewhere.read_text().splitlines()) == 1
    assert not (tmp_path / "out" / "profile-history.jsonl").exists()


@pytest.mark.usefixtures("device")
def test_a_history_that_cant_be_written_is_a_warning(run_command, artifact, tmp_path) -> None:  # type: ignore[no-untyped-def]
    code, out, err = run_command("profile", artifact.folder, "--runs", 12, "--history-file", tmp_path)
    assert code == 0
    assert out.startswith("PASS")
    assert "The history wasn't written" in err


@pytest.mark.usefixtures("device")
def test_all_devices_are_profiled_and_the_table_says_which_failed(  # type: ignore[no-untyped-def]
    run_command, artifact, monkeypatch
) -> None:
    failing = FakeDevice("android:B", fails_at=1, error=DeviceError("android:B is gone.", hint="Plug it in."))
    monkeypatch.setattr("dvfl_mobile.devices.android.device.find", lambda _: failing)
    ready = [
        FoundDevice(device="host", kind="physical", model="", status="ready"),
        FoundDevice(device="android:B", kind="physical", model="", status="ready"),
        FoundDevice(device="android:C", kind="physical", model="", status="offline"),
    ]
    monkeypatch.setattr("dvfl_mobile.profiling.fleet.found_devices", lambda: ready)
    code, out, err = run_command("profile", artifact.folder, "--device", "all", "--runs", 12)
    assert code == 6
    assert "android:B is gone. Plug it in." in out
    assert "android:C" not in out
    assert ProfileReport.model_validate_json((artifact.folder / "profile.json").read_text()).failures
    assert "profile on host …" in err
    assert "profile on android:B … failed" in err


def test_a_single_device_that_fails_ends_with_its_own_code(run_command, artifact, device) -> None:  # type: ignore[no-untyped-def]
    device.fails_at, device.error = 2, DeviceError("It is gone.", hint="Plug it in.")
    code, out, err = run_command("profile", artifact.folder, "--runs", 12)
    assert (code, out) == (6, "")
    assert "It is gone." in err
    assert not (artifact.folder / "profile.json").exists()


@pytest.mark.parametrize("times_operators", [False, True])
def test_a_device_without_times_of_operators_says_so_before_it_is_measured(
    run_command, artifact, device, times_operators
) -> None:  # type: ignore[no-untyped-def]
    device.times_operators = times_operators
    device.fails_at, device.error = 0, DeviceError("It is gone.", hint="Plug it in.")
    code, _, err = run_command("profile", artifact.folder, "--operators")
    assert (code, device.rounds) == (6, 0)
    assert ("Nothing on host times operators" in err) is not times_operators


def test_the_host_times_operators_by_its_native_programs_alone() -> None:
    assert (find_device("host").times_operators, find_device("host:native").times_operators) == (False, True)


def test_an_emulated_device_is_refused(run_command, artifact, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    emulated = FakeDevice("arm64:max", kind="emulated")
    monkeypatch.setattr("dvfl_mobile.devices.emulated.find", lambda _: emulated)
    code, out, err = run_command("profile", artifact.folder, "--device", "arm64:max")
    assert (code, out, emulated.rounds) == (2, "", 0)
    assert "parity ARTIFACT --device arm64:max" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "No artifact is named"),
        (["out", "--max-ratio", "1.1"], "--max-ratio bounds a comparison"),
        (["out", "--sustained", "soon"], "is no time"),
        (["out", "--cores", "fast"], "is no list of cores"),
        (["--history", "--device", "host"], "--history measures nothing"),
        (["out", "--runs", "0"], "greater than or equal to 1"),
    ],
)
def test_what_cant_be_meant_is_refused(run_command, arguments, said) -> None:  # type: ignore[no-untyped-def]
    code, out, err = run_command("profile", *arguments)
    assert (code, out) == (2, "")
    assert said in err


def test_a_history_that_isnt_there(run_command, tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.chdir(tmp_path)
    code, _, err = run_command("profile", "--history")
    assert code == 3
    assert "There is no history" in err
