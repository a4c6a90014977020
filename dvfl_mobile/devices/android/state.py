"""State of a device behind adb during a measurement: clocks, battery, temperature and load; None where unknown."""

from __future__ import annotations

import re

from dvfl_mobile.devices.android.sections import first_number, lines_of, sections, value_of
from dvfl_mobile.devices.values import DeviceState

STATE_SCRIPT = """
echo '== cores'
for core in /sys/devices/system/cpu/cpu[0-9]*; do
    echo "${core##*/cpu} $(cat $core/cpufreq/scaling_cur_freq 2>/dev/null || echo -)" \\
        "$(cat $core/cpufreq/scaling_governor 2>/dev/null)"
done
echo '== battery'
dumpsys battery 2>/dev/null
echo '== heat'
dumpsys thermalservice 2>/dev/null
echo '== zones'
for zone in /sys/class/thermal/thermal_zone*; do
    echo "$(cat $zone/temp 2>/dev/null || echo -) $(cat $zone/type 2>/dev/null)"
done
echo '== load'
cat /proc/loadavg 2>/dev/null
echo '== power'
settings get global low_power 2>/dev/null
"""

_STATUSES = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")
_CHARGING, _UNKNOWN = 2, 1
_MOST_TEMPERATURES = 64
_COLDEST_C, _HOTTEST_C = -60.0, 200.0
_HAL = re.compile(r"Temperature\{mValue=(-?\d{1,4}(?:\.\d{1,6})?), mType=-?\d+, mName=([^,}]{1,60}),")


def parse_state(text: str) -> DeviceState:
    """The state in what `STATE_SCRIPT` prints."""
    parts = sections(text)
    cores = _cores(parts.get("cores", ""))
    battery = parts.get("battery", "")
    return DeviceState(
        core_khz=tuple(khz for khz, _ in cores),
        governors=tuple(sorted({governor for _, governor in cores if governor})),
        battery_percent=_percent(battery),
        is_charging=_is_charging(battery),
        thermal_status=_thermal_status(parts.get("heat", "")),
        temperatures_c=_temperatures(parts),
        load=_load(parts.get("load", "")),
        is_low_power={"1": True, "0": False}.get(parts.get("power", "").strip()),
    )


def _cores(text: str) -> list[tuple[int | None, str]]:
    """Frequency in kHz and governor of each core, in the order of their numbers."""
    found = {}
    for line in lines_of(text):
        number, _, rest = line.partition(" ")
        khz, _, governor = rest.partition(" ")
        if number.isdecimal() and len(number) <= 4:
            found[int(number)] = first_number(khz), governor if re.fullmatch(r"[\w-]{1,40}", governor) else ""
    return [found[number] for number in sorted(found)]


def _percent(battery: str) -> int | None:
    level, scale = (first_number(value_of(battery, name, ":")) for name in ("level", "scale"))
    if level is None or scale == 0 or level > (scale or 100):
        return None
    return round(100 * level / (scale or 100))


def _is_charging(battery: str) -> bool | None:
    # Android's BatteryManager: 1 is unknown, 2 charging; discharging, not charging and full follow.
    status = first_number(value_of(battery, "status", ":"))
    return None if status is None or status == _UNKNOWN else status == _CHARGING


def _thermal_status(heat: str) -> str | None:
    status = first_number(value_of(heat, "Thermal Status", ":"))
    return _STATUSES[status] if status is not None and status < len(_STATUSES) else None


def _temperatures(parts: dict[str, str]) -> dict[str, float]:
    """Degrees Celsius by name: of the battery, of Android's thermal service, and of the kernel's zones."""
    found = {}
    tenths = first_number(value_of(parts.get("battery", ""), "temperature", ":"))
    if tenths is not None:
        found["battery"] = tenths / 10
    # Current ones come after cached ones, and take their place.
    for value, name in _HAL.findall(parts.get("heat", "")):
        found[name] = float(value)
    for line in lines_of(parts.get("zones", "")):
        millidegrees, _, name = line.partition(" ")
        if re.fullmatch(r"-?\d{1,7}", millidegrees) and re.fullmatch(r"[\w.-]{1,60}", name):
            found.setdefault(name, int(millidegrees) / 1000)
    sane = {name: value for name, value in found.items() if name.isprintable() and _COLDEST_C < value < _HOTTEST_C}
    return dict(list(sane.items())[:_MOST_TEMPERATURES])


def _load(text: str) -> float | None:
    found = re.match(r"\s*(\d{1,6}\.\d{1,4}) ", text)
    return float(found[1]) if found else None
