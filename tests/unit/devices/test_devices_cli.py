"""`devices`, and this machine's own state: read from a tree that looks like the kernel's."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from dvfl_mobile.cli import main
from dvfl_mobile.devices import base
from dvfl_mobile.devices.host_state import host_facts, host_state
from dvfl_mobile.devices.values import FoundDevice
from dvfl_mobile.errors import UsageError
from tests.conftest import Outcome

FOUND = (
    FoundDevice(device="host", kind="physical", model="A CPU", status="ready"),
    FoundDevice(
        device="android:\x1b[31mX", kind="physical", model="", status="unauthorized", hint="Allow it on its screen."
    ),
    FoundDevice(device="arm64:max", kind="emulated", model="QEMU 10", status="ready"),
)


@pytest.fixture
def run(run_command, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    monkeypatch.setattr(base, "found_devices", lambda: list(FOUND))
    return run_command


def test_devices_are_listed_with_what_keeps_them_from_being_ready(run) -> None:  # type: ignore[no-untyped-def]
    outcome: Outcome = run("devices")
    code, out, _ = outcome
    assert code == 0
    lines = out.splitlines()
    assert lines[1].split() == ["host", "physical", "A", "CPU", "ready"]
    assert "arm64:max" in out
    assert "emulated" in out
    assert "Allow it on its screen." in out
    assert "\x1b" not in out, "no terminal command of a serial number"


def test_devices_as_json(run) -> None:  # type: ignore[no-untyped-def]
    code, out, _ = run("devices", "--json")
    assert code == 0
    document = json.loads(out)
    assert document["schema_version"] == 1
    assert [each["status"] for each in document["devices"]] == ["ready", "unauthorized", "ready"]


def test_this_machine_is_among_them(run_command) -> None:  # type: ignore[no-untyped-def]
    code, out, _ = run_command("devices", "--json")
    assert code == 0
    [host] = [each for each in json.loads(out)["devices"] if each["device"] == "host"]
    assert (host["kind"], host["status"]) == ("physical", "ready")


@pytest.mark.parametrize("name", ["nokia:1", "", "host:there"])
def test_an_unknown_device_is_refused_with_those_there_are(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        base.find_device(name)
    assert "host" in caught.value.hint


def _write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")


def test_the_state_of_this_machine_is_read_from_the_kernel(tmp_path: Path) -> None:
    core = min(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
    frequency = f"devices/system/cpu/cpu{core}/cpufreq"
    _write(
        tmp_path,
        {
            f"{frequency}/scaling_cur_freq": "1900000",
            f"{frequency}/cpuinfo_max_freq": "4200000",
            f"{frequency}/scaling_governor": "schedutil",
            "class/power_supply/mouse/type": "Battery",
            "class/power_supply/mouse/scope": "Device",
            "class/power_supply/mouse/capacity": "3",
            "class/power_supply/xBAT0/type": "Battery",
            "class/power_supply/xBAT0/capacity": "87",
            "class/power_supply/xBAT0/status": "Discharging",
            "class/thermal/thermal_zone0/type": "cpu",
            "class/thermal/thermal_zone0/temp": "54250",
            "class/thermal/thermal_zone1/type": "cpu",
            "class/thermal/thermal_zone1/temp": "61000",
            "class/thermal/thermal_zone2/temp": "nonsense",
            "firmware/acpi/platform_profile": "low-power",
        },
    )
    state = host_state(tmp_path)
    assert state.core_khz[0] == 1_900_000
    assert state.governors == ("schedutil",)
    assert (state.battery_percent, state.is_charging) == (87, False)
    assert state.temperatures_c == {"cpu": 54.25, "cpu (thermal_zone1)": 61.0}
    assert state.is_low_power is True
    assert state.load is not None
    assert host_facts("host", tmp_path).cores[0].most_khz == 4_200_000


def test_what_the_kernel_doesnt_tell_is_not_known(tmp_path: Path) -> None:
    state = host_state(tmp_path)
    assert set(state.core_khz) == {None}
    assert state.governors == ()
    assert (state.battery_percent, state.is_charging, state.is_low_power) == (None, None, None)
    assert state.temperatures_c == {}


def test_the_commands_are_in_the_table() -> None:
    assert {"devices", "profile"} <= main.COMMANDS.keys()
