"""Talking to devicectl: what its answers say, and what becomes of answers that can't be meant. By a fake `xcrun`."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from dvfl_mobile.devices.ios import devicectl
from dvfl_mobile.devices.ios import tools as ios_tools
from dvfl_mobile.devices.ios.listing import listed_devices
from dvfl_mobile.errors import DeviceError
from tests.formats.xcrun import FORMATS, Xcrun, installed_xcrun

UDID, BUNDLE = "00008140-0000AAAA0000001C", "org.dvfl-mobile.harness"


@pytest.fixture
def xcrun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Xcrun:
    return installed_xcrun(tmp_path, monkeypatch)


def sample(name: str) -> dict:
    return json.loads((FORMATS / name).read_text(encoding="utf-8"))


def refused() -> DeviceError:
    with pytest.raises(DeviceError) as caught:
        devicectl.launch(UDID, BUNDLE, ["dvfl-0.1"], 60)
    return caught.value


@pytest.mark.usefixtures("xcrun")
def test_devices_are_read_from_the_older_format() -> None:
    phone, tablet, watch = devicectl.list_devices()
    assert (phone.udid, phone.model, phone.system, phone.name) == (UDID, "iPhone 16 Pro", "iOS 18.2", "A phone")
    assert phone.is_phone
    assert phone.status == ("ready", "")
    assert tablet.is_phone
    assert tablet.status[0] == "developer mode off"
    assert not watch.is_phone


def test_devices_are_read_from_version_5_without_simulators(xcrun: Xcrun) -> None:
    xcrun.play(list="devicectl_list_v5.json")
    phone, tablet, simulator = devicectl.list_devices()
    assert (phone.udid, phone.model, phone.system) == (UDID, "iPhone 16 Pro", "iOS 27.0")
    assert phone.status == ("ready", "")
    assert tablet.status[0] == "unpaired"
    assert simulator.platform == "iOS"
    assert not simulator.is_phone


def test_what_version_5_calls_deprecated_does_not_count_beside_the_new(xcrun: Xcrun) -> None:
    xcrun.play(list="devicectl_list_v5_both.json")
    [phone] = devicectl.list_devices()
    assert (phone.name, phone.model, phone.system) == ("A phone", "iPhone 16 Pro", "iOS 27.0")
    assert phone.developer_mode == "enabled"


@pytest.mark.parametrize("name", ["devicectl_list_v3.json", "devicectl_list_v5.json"])
def test_a_device_of_few_words_is_still_one(name: str) -> None:
    bare = {"identifier": "ONLY-THIS", "hardwareProperties": {}, "properties": {"hardware": None, "state": []}}
    [device] = listed_devices({"devices": [bare]}) or ()
    assert (device.udid, device.model, device.is_phone) == ("ONLY-THIS", "", False)
    assert listed_devices(sample(name)["result"])


def test_an_unavailable_device_says_so() -> None:
    entry = sample("devicectl_list_v3.json")["result"]["devices"][0]
    entry["connectionProperties"]["tunnelState"] = "unavailable"
    [device] = listed_devices({"devices": [entry]}) or ()
    assert device.status[0] == "unavailable"


def test_a_refused_start_is_reported_in_apples_words_down_to_the_reason(xcrun: Xcrun) -> None:
    xcrun.fault("device process launch", sample("devicectl_locked.json"))
    error = refused()
    assert "failed to launch" in error.problem
    assert "could not be, unlocked" in error.problem
    assert error.hint.startswith("Unlock the phone")


def test_another_outcome_than_success_is_no_success(xcrun: Xcrun) -> None:
    xcrun.fault("device process launch", {"info": {"jsonVersion": 4, "outcome": "timeout"}, "result": {}})
    assert "'timeout'" in refused().problem


@pytest.mark.parametrize(
    ("answer", "part"),
    [
        ({}, "lacks what it should hold"),
        ({"info": []}, "lacks what it should hold"),
        ({"info": {"jsonVersion": 9}}, "JSON version 9"),
        ({"info": {"jsonVersion": 3, "outcome": ["success"]}}, "lacks what it should hold"),
        ({"info": {"outcome": "failed"}, "error": {"userInfo": "no"}}, "'failed'"),
        ({"info": {"outcome": "failed"}, "error": {"userInfo": {"NSUnderlyingError": {}}}}, "'failed'"),
        ("text:", "no whole JSON document"),
        ('text:{"info": {"outcome": "succ', "no whole JSON document"),
        ("text:[]", "lacks what it should hold"),
        ("text:" + "[" * 100_000, "no whole JSON document"),
        ("silent", "it left no answer, and ended with status 1. devicectl: something broke ERROR: no tunnel"),
    ],
)
def test_an_answer_that_cant_be_meant_is_named(xcrun: Xcrun, answer: object, part: str) -> None:
    xcrun.fault("device process launch", answer)
    assert part in refused().problem


@pytest.mark.parametrize(
    "result",
    [None, [], {}, {"devices": {}}, {"devices": [1]}, {"devices": [{}]}, {"devices": [{"identifier": 5}]}],
)
def test_a_list_of_another_format_names_its_version(xcrun: Xcrun, result: object) -> None:
    xcrun.fault("list devices", {"info": {"jsonVersion": 6, "outcome": "success"}, "result": result})
    with pytest.raises(DeviceError, match="JSON version 6, and this dvfl-mobile knows 1 to 5"):
        devicectl.list_devices()


def test_a_newer_version_that_still_holds_all_is_read(xcrun: Xcrun) -> None:
    document = sample("devicectl_list_v5.json")
    document["info"]["jsonVersion"] = 6
    xcrun.fault("list devices", document)
    assert len(devicectl.list_devices()) == 3


def test_what_hangs_is_ended_with_all_that_it_started(xcrun: Xcrun) -> None:
    xcrun.fault("device process launch", "hang")
    start = time.monotonic()
    with pytest.raises(ios_tools.LateError, match="devicectl device process launch didn't end within 2 s"):
        devicectl.launch(UDID, BUNDLE, ["dvfl-0.1"], 2)
    # It would sleep for ten minutes; a busy machine may take long to start and to end a process.
    assert time.monotonic() - start < 60
    xcrun.assert_nothing_runs()


def test_files_go_there_and_back_unchanged(xcrun: Xcrun, tmp_path: Path) -> None:
    source = tmp_path / "a file 'with' $(all)"
    source.write_bytes(bytes(range(256)))
    devicectl.copy_to(UDID, BUNDLE, source, "Documents/dvfl-0.input")
    devicectl.copy_from(UDID, BUNDLE, "Documents/dvfl-0.input", tmp_path / "back", 256)
    assert (tmp_path / "back").read_bytes() == source.read_bytes()
    assert xcrun.calls[0][:4] == ["devicectl", "device", "copy", "to"]
    assert str(source) in xcrun.calls[0]


@pytest.mark.usefixtures("xcrun")
def test_a_file_that_isnt_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match=r"copy Documents/dvfl-0\.gone from .*No such file") as caught:
        devicectl.copy_from(UDID, BUNDLE, "Documents/dvfl-0.gone", tmp_path / "back", 256)
    assert caught.value.hint


def test_success_without_a_file_is_no_success(xcrun: Xcrun, tmp_path: Path) -> None:
    xcrun.fault("device copy from", 'text:{"info": {"outcome": "success", "jsonVersion": 3}, "result": {}}')
    with pytest.raises(DeviceError, match="lacks what it should hold"):
        devicectl.copy_from(UDID, BUNDLE, "Documents/dvfl-0.gone", tmp_path / "back", 256)


def test_without_xcrun_the_next_step_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DeviceError, match="can't be started") as caught:
        devicectl.list_devices()
    assert "Install Xcode" in caught.value.hint
