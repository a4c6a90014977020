"""Facts and state of this machine; on Linux read from /sys and /proc."""

from __future__ import annotations

import os
from pathlib import Path

from dvfl_mobile.devices.environment import look_around
from dvfl_mobile.devices.values import Core, DeviceFacts, DeviceState

_SYS = Path("/sys")


def host_facts(name: str, root: Path = _SYS) -> DeviceFacts:
    """Facts of this machine; `cores` are those that this process may use.

    Args:
        name: what the device is asked for by.
        root: where the kernel shows its devices.
    """
    machine = look_around().machine
    return DeviceFacts(
        device=name,
        kind="physical",
        model=machine.cpu,
        system=machine.system,
        abi=machine.architecture,
        features=machine.features,
        cores=tuple(
            Core(number=number, most_khz=_number(_frequency(root, number, "cpuinfo_max_freq"))) for number in _cores()
        ),
        memory_bytes=machine.memory_bytes,
    )


def host_state(root: Path = _SYS) -> DeviceState:
    """Frequencies, governors, temperatures, power and load of this machine, now."""
    battery = _battery(root)
    return DeviceState(
        core_khz=tuple(_number(_frequency(root, number, "scaling_cur_freq")) for number in _cores()),
        governors=tuple(
            sorted({text for number in _cores() if (text := _text(_frequency(root, number, "scaling_governor")))})
        ),
        battery_percent=_number(battery / "capacity") if battery else None,
        is_charging=_text(battery / "status") in ("Charging", "Full", "Not charging") if battery else None,
        temperatures_c=_temperatures(root),
        load=os.getloadavg()[0],
        is_low_power=_low_power(root),
    )


def _cores() -> list[int]:
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def _frequency(root: Path, core: int, name: str) -> Path:
    return root / "devices" / "system" / "cpu" / f"cpu{core}" / "cpufreq" / name


def _battery(root: Path) -> Path | None:
    """The first battery of the machine itself; a mouse's has another scope."""
    for supply in sorted(root.glob("class/power_supply/*")):
        if _text(supply / "type") == "Battery" and _text(supply / "scope") != "Device":
            return supply
    return None


def _temperatures(root: Path) -> dict[str, float]:
    """Degrees Celsius by zone; zones of one type are distinguished by their folder's name."""
    found: dict[str, float] = {}
    for zone in sorted(root.glob("class/thermal/thermal_zone*")):
        milli, kind = _number(zone / "temp"), _text(zone / "type") or zone.name
        if milli is not None:
            found[kind if kind not in found else f"{kind} ({zone.name})"] = milli / 1000
    return found


def _low_power(root: Path) -> bool | None:
    profile = _text(root / "firmware" / "acpi" / "platform_profile")
    return profile in ("low-power", "quiet") if profile else None


def _text(path: Path) -> str:
    """What a file of the kernel says; empty where there is none, or it can't be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _number(path: Path) -> int | None:
    text = _text(path)
    return int(text) if text.lstrip("-").isdigit() else None
