"""An artifact on a phone, by a fake `xcrun` that plays the app: what comes of good answers, and of bad ones."""

from __future__ import annotations

import json
import platform
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest

from dvfl_mobile.artifacts.manifest import Manifest
from dvfl_mobile.devices.ios import device as ios
from dvfl_mobile.devices.values import RunOptions
from dvfl_mobile.errors import ArtifactError, DeviceError, DvflMobileError, InconclusiveError, UsageError
from dvfl_mobile.runners.base import as_input
from tests.formats.xcrun import FORMATS, Xcrun, installed_xcrun

UDID = "00008140-0000AAAA0000001C"


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A Core ML artifact of the small student that holds nothing but its name, and one for TFLite."""
    from dvfl_mobile.model.default import seeded_student
    from dvfl_mobile.pipeline.convert import convert
    from dvfl_mobile.pipeline.plan import make_plan
    from tests.checkpoints import SMALL
    from tests.conversions import skip_without
    from tests.faults import quick

    skip_without("coreml")
    skip_without("tflite")
    out = tmp_path_factory.mktemp("ios") / "out"
    with mock.patch("dvfl_mobile.artifacts.make.lower", quick.lower):
        made = convert(seeded_student(SMALL), make_plan(["coreml", "tflite"], "fp32", out))
    coreml, tflite = made
    return SimpleNamespace(coreml=coreml, tflite=tflite)


@pytest.fixture
def xcrun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Xcrun:
    return installed_xcrun(tmp_path, monkeypatch)


def some_clips(manifest: Manifest, count: int) -> np.ndarray:
    return np.random.RandomState(3).randint(0, 256, (count, *manifest.clip.shape[1:])).astype(np.uint8)


def expected(clips: np.ndarray, manifest: Manifest) -> np.ndarray:
    """What the fake's model gives."""
    classes = len(manifest.classes)
    rows = [as_input(clip, manifest).ravel().astype(np.float64) for clip in clips]
    return np.array([[row[place::classes].sum() for place in range(classes)] for row in rows], np.float32)


def measured(package: SimpleNamespace, options: RunOptions) -> DvflMobileError:
    """The error of a measurement."""
    clip = some_clips(package.coreml.manifest, 1)[0]
    with (
        pytest.raises(DvflMobileError) as caught,
        ios.find(UDID).open(package.coreml.folder, package.coreml.manifest) as runner,
    ):
        runner.measure(clip, options)
    return caught.value


def test_clips_are_run_on_the_phone_and_their_logits_come_back(xcrun: Xcrun, package: SimpleNamespace) -> None:
    manifest = package.coreml.manifest
    clips = some_clips(manifest, 3)
    with ios.find(UDID).open(package.coreml.folder, manifest) as runner:
        logits = runner.run(clips)
        assert runner.facts["runtime"] == "Core ML"
        assert runner.facts["version"] == "iOS 18.2.0"
        assert runner.facts["device"] == f"ios:{UDID}"
        assert [path.name for path in xcrun.documents.iterdir() if path.suffix == ".output"]
    np.testing.assert_array_equal(logits, expected(clips, manifest))
    assert list(xcrun.documents.iterdir()) == []


@pytest.mark.usefixtures("xcrun")
def test_a_measurement_holds_what_the_app_says(package: SimpleNamespace) -> None:
    manifest = package.coreml.manifest
    options = RunOptions(warmup=2, runs=4, operators=True, compute_units="cpuAndNeuralEngine")
    with ios.find(UDID).open(package.coreml.folder, manifest) as runner:
        found = runner.measure(some_clips(manifest, 1)[0], options)
        again = runner.time(some_clips(manifest, 1)[0], 0, 2)
    assert found.warmup_ns == (100, 101)
    assert found.duration_ns == (102, 103, 104, 105)
    assert found.started_ns == (2000, 3000, 4000, 5000)
    assert found.load_ns == 1000
    assert found.peak_memory_bytes == 123456789
    assert found.threads is None
    assert again == [100, 101]
    assert runner.facts["placement"] == "neuralEngine 1, cpu 1"
    assert runner.facts["compile_ns"] == 5_000_000
    assert [operation.preferred for operation in runner.plan] == [None, "neuralEngine", "cpu"]


@pytest.mark.usefixtures("xcrun")
def test_the_app_is_given_no_less_and_no_more_than_it_knows(package: SimpleNamespace) -> None:
    sent = []
    prepare = ios.HarnessApp.prepare
    with (
        mock.patch.object(
            ios.HarnessApp, "prepare", lambda app, data: sent.append(json.loads(data.encoded())) or prepare(app, data)
        ),
        ios.find(UDID).open(package.coreml.folder, package.coreml.manifest) as runner,
    ):
        runner.time(some_clips(package.coreml.manifest, 1)[0], 1, 2)
    shared = json.loads((FORMATS / "ios_options.json").read_text(encoding="utf-8"))
    assert keys_of(sent[0]) == keys_of(shared)
    assert sent[1] == {"dvfl_mobile_options": 1, "mode": "remove"}


def keys_of(document: object) -> object:
    """The keys of a document, down to its leaves; of a list, those of its first entry."""
    if isinstance(document, dict):
        return {key: keys_of(value) for key, value in document.items()}
    return keys_of(document[0]) if isinstance(document, list) else None


def test_every_start_has_names_of_its_own(xcrun: Xcrun, package: SimpleNamespace) -> None:
    clip = some_clips(package.coreml.manifest, 1)[0]
    for _ in range(2):
        with ios.find(UDID).open(package.coreml.folder, package.coreml.manifest) as runner:
            runner.time(clip, 0, 1)
            runner.time(clip, 0, 1)
    starts = [call[-1] for call in xcrun.calls if "launch" in call]
    assert len(starts) == 6
    assert len(set(starts)) == 6


FAULTS = {
    "no end": "before its end",
    "lost line": "in place of|counts",
    "changed output": "aren't the bytes that its app wrote",
    "gives up": r"it said no\. \(model\)",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_the_app_does_wrong_is_never_a_result(xcrun: Xcrun, package: SimpleNamespace, fault: str) -> None:
    xcrun.play(fault=fault)
    with pytest.raises(DeviceError, match=FAULTS[fault]):
        raise measured(package, RunOptions(warmup=2, runs=3))
    assert list(xcrun.documents.iterdir()) == []


def test_of_another_protocol_nothing_is_believed(xcrun: Xcrun, package: SimpleNamespace) -> None:
    xcrun.play(protocol=2)
    assert "speaks protocol 2" in str(measured(package, RunOptions(runs=1)))


@pytest.mark.parametrize("about", ["", "{}", '{"system": 5}', "[" * 10_000])
def test_what_the_app_says_of_the_phone_must_be_meant(xcrun: Xcrun, package: SimpleNamespace, about: str) -> None:
    xcrun.play(about=about)
    assert "can't be understood" in str(measured(package, RunOptions(runs=1)))


def test_a_locked_phone_is_named_rather_than_the_file_that_is_missing(xcrun: Xcrun, package: SimpleNamespace) -> None:
    xcrun.fault("device process launch", json.loads((FORMATS / "devicectl_locked.json").read_text("utf-8")))
    error = measured(package, RunOptions(runs=1))
    assert isinstance(error, DeviceError)
    assert "could not be, unlocked" in error.problem


def test_what_hangs_ends_by_the_deadline(
    xcrun: Xcrun, package: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVFL_MOBILE_DEADLINE_S", "1")
    monkeypatch.setattr("dvfl_mobile.devices.ios.app._REMOVE_S", 1)
    xcrun.fault("device process launch", "hang")
    assert "didn't end within 2 s" in str(measured(package, RunOptions(warmup=0, runs=1)))
    xcrun.assert_nothing_runs()


def test_one_clip_is_sent_once_and_another_again(xcrun: Xcrun, package: SimpleNamespace) -> None:
    first, other = some_clips(package.coreml.manifest, 2)
    with ios.find(UDID).open(package.coreml.folder, package.coreml.manifest) as runner:
        for clip in (first, first, other):
            runner.time(clip, 0, 1)
    sent = [call for call in xcrun.calls if "to" in call and any(part.endswith(".input") for part in call)]
    assert len(sent) == 2


def test_a_full_phone_is_named_in_apples_words(xcrun: Xcrun, package: SimpleNamespace) -> None:
    said = {"NSLocalizedDescription": {"string": "The file couldn’t be saved because there isn’t enough space."}}
    xcrun.fault("device copy to", {"info": {"outcome": "failed", "jsonVersion": 3}, "error": {"userInfo": said}})
    assert "enough space" in str(measured(package, RunOptions(runs=1)))


def test_a_console_that_broke_does_not_spoil_a_whole_file(xcrun: Xcrun, package: SimpleNamespace) -> None:
    xcrun.play(console_status=1)
    with ios.find(UDID).open(package.coreml.folder, package.coreml.manifest) as runner:
        assert runner.time(some_clips(package.coreml.manifest, 1)[0], 0, 2) == [100, 101]


@pytest.mark.parametrize("options", [RunOptions(threads=2), RunOptions(cores=(0, 1))])
@pytest.mark.usefixtures("xcrun")
def test_core_ml_takes_no_threads(package: SimpleNamespace, options: RunOptions) -> None:
    assert isinstance(measured(package, options), InconclusiveError)


@pytest.mark.usefixtures("xcrun")
def test_there_are_no_other_compute_units(package: SimpleNamespace) -> None:
    error = measured(package, RunOptions(runs=1, compute_units="gpu"))
    assert isinstance(error, UsageError)
    assert "cpuAndGPU" in error.hint


@pytest.mark.usefixtures("xcrun")
def test_another_target_cant_be_decided(package: SimpleNamespace) -> None:
    with (
        pytest.raises(InconclusiveError, match="tflite"),
        ios.find(UDID).open(package.tflite.folder, package.tflite.manifest),
    ):
        raise AssertionError


def test_a_changed_artifact_never_gets_there(xcrun: Xcrun, package: SimpleNamespace, tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "artifact"
    shutil.copytree(package.coreml.folder, folder)
    file = folder / package.coreml.manifest.files[0].path
    file.write_bytes(file.read_bytes() + b"x")
    with pytest.raises(ArtifactError), ios.find(UDID).open(folder, package.coreml.manifest):
        raise AssertionError
    assert list(xcrun.documents.iterdir()) == []


def test_the_state_is_the_apps(xcrun: Xcrun) -> None:
    state = ios.find(UDID).state()
    assert state.thermal_status == "fair"
    assert state.is_low_power is True
    assert state.battery_percent == 80
    assert state.is_charging is None
    assert list(xcrun.documents.iterdir()) == []


@pytest.mark.usefixtures("xcrun")
def test_facts_are_those_of_the_list() -> None:
    facts = ios.find(UDID.lower()).facts
    assert (facts.device, facts.kind, facts.model) == (f"ios:{UDID}", "physical", "iPhone 16 Pro")
    assert (facts.system, facts.abi) == ("iOS 18.2", "arm64")


@pytest.mark.usefixtures("xcrun")
def test_the_only_phone_needs_no_name() -> None:
    assert ios.find("").facts.device == f"ios:{UDID}"
    assert ios.find("11111111-aaaa-5aaa-8aaa-000000000001").facts.device == f"ios:{UDID}"


def test_of_several_one_has_to_be_named(xcrun: Xcrun) -> None:
    document = json.loads((FORMATS / "devicectl_list_v3.json").read_text("utf-8"))
    document["result"]["devices"][1]["deviceProperties"]["developerModeStatus"] = "enabled"
    xcrun.fault("list devices", document)
    with pytest.raises(UsageError) as caught:
        ios.find("")
    assert UDID in caught.value.hint


@pytest.mark.parametrize(
    ("argument", "part"),
    [
        ("00008132-0000BBBB0000001C", "developer mode off"),
        ("33333333-4444-5555-6666-777777777777", "knows no iPhone"),
        ("nobody", "knows no iPhone"),
    ],
)
@pytest.mark.usefixtures("xcrun")
def test_a_phone_that_isnt_ready_or_there_is_named(argument: str, part: str) -> None:
    with pytest.raises(DeviceError, match=part) as caught:
        ios.find(argument)
    assert caught.value.hint


def test_a_simulator_is_no_phone(xcrun: Xcrun) -> None:
    xcrun.play(list="devicectl_list_v5.json")
    with pytest.raises(DeviceError, match="knows no iPhone"):
        ios.find("33333333-4444-5555-6666-777777777777")
    assert [device.device for device in ios.found()] == [f"ios:{UDID}", "ios:00008132-0000BBBB0000001C"]


def test_without_the_app_the_next_step_is_named(xcrun: Xcrun) -> None:
    xcrun.play(installed=False)
    with pytest.raises(DeviceError, match=r"org\.dvfl-mobile\.harness, isn't on") as caught:
        ios.find(UDID)
    assert "DVFL_MOBILE_IOS_BUNDLE" in caught.value.hint


def test_the_app_may_have_another_name(xcrun: Xcrun, package: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVFL_MOBILE_IOS_BUNDLE", "com.example.mine")
    xcrun.play(bundle="com.example.mine")
    with ios.find(UDID).open(package.coreml.folder, package.coreml.manifest) as runner:
        assert runner.time(some_clips(package.coreml.manifest, 1)[0], 0, 1) == [100]


@pytest.mark.usefixtures("xcrun")
def test_all_that_xcode_knows_is_found_with_what_keeps_it_from_use() -> None:
    phone, tablet = ios.found()
    assert phone.is_ready
    assert (tablet.status, tablet.is_ready) == ("developer mode off", False)
    assert tablet.hint


def test_a_broken_devicectl_is_a_line_and_no_end(xcrun: Xcrun) -> None:
    xcrun.fault("list devices", "silent")
    [line] = ios.found()
    assert (line.status, line.is_ready) == ("unknown", False)
    assert "no tunnel" in line.hint


def test_an_xcode_without_devicectl_is_named(xcrun: Xcrun) -> None:
    xcrun.play(missing=["devicectl"])
    with pytest.raises(DeviceError, match="has no devicectl"):
        ios.find(UDID)


@pytest.mark.skipif(platform.system() == "Darwin", reason="this is a Mac")
def test_off_the_mac_there_are_none_and_the_hint_says_where_they_are() -> None:
    assert ios.found() == ()
    with pytest.raises(DeviceError, match="from a Mac with Xcode") as caught:
        ios.find(UDID)
    assert caught.value.exit_code == 6
