"""Facts of a device behind adb, gathered by one shell script on it; any may be missing."""

from __future__ import annotations

import re

from dvfl_mobile.devices.android.sections import first_number, lines_of, sections, value_of
from dvfl_mobile.devices.values import Core, DeviceFacts, DeviceKind
from dvfl_mobile.wording import printable

FACTS_SCRIPT = """
echo '== properties'
for name in ro.product.manufacturer ro.product.model ro.soc.manufacturer ro.soc.model ro.board.platform \\
    ro.build.version.release ro.build.version.sdk ro.product.cpu.abi ro.kernel.qemu ro.boot.qemu \\
    ro.serialno ro.boot.serialno; do
    echo "$name=$(getprop $name 2>/dev/null)"
done
echo '== boot'
cat /proc/sys/kernel/random/boot_id 2>/dev/null
echo '== machine'
uname -m
echo '== system'
cat /etc/os-release 2>/dev/null
echo '== board'
cat /proc/device-tree/model 2>/dev/null
echo
echo '== cpuinfo'
cat /proc/cpuinfo 2>/dev/null
echo '== cores'
for core in /sys/devices/system/cpu/cpu[0-9]*; do
    echo "${core##*/cpu} $(cat $core/cpufreq/cpuinfo_max_freq 2>/dev/null)"
done
echo '== memory'
cat /proc/meminfo 2>/dev/null
"""

_ABIS = {"aarch64": "arm64-v8a", "armv8l": "armeabi-v7a", "armv7l": "armeabi-v7a", "i686": "x86"}
_MOST_FEATURES, _MOST_CORES = 512, 1024
_MOST_CHARACTERS = 200
_NO_NUMBER = "unknown"


def parse_facts(name: str, text: str) -> DeviceFacts:
    """The facts in what `FACTS_SCRIPT` prints.

    Args:
        name: of the device, as it is asked for.
    """
    parts = sections(text)
    properties = parts.get("properties", "")
    machine = _one_line(parts.get("machine", ""))
    return DeviceFacts(
        device=name,
        kind=_kind(properties),
        model=_model(parts) or machine or "unknown",
        soc=_soc(properties),
        system=_system(parts),
        abi=_property(properties, "ro.product.cpu.abi") or _ABIS.get(machine, machine) or "unknown",
        features=_features(parts.get("cpuinfo", "")),
        cores=_cores(parts.get("cores", "")),
        memory_bytes=_memory_bytes(parts.get("memory", "")),
    )


def own_number(text: str) -> str:
    """The serial number that a device gives itself, in what `FACTS_SCRIPT` prints; empty where it has none."""
    properties = sections(text).get("properties", "")
    found = _property(properties, "ro.serialno") or _property(properties, "ro.boot.serialno")
    return "" if found == _NO_NUMBER else found


def identity(text: str) -> str | None:
    """What is the same by whatever way a device is reached, in what `FACTS_SCRIPT` prints; None where it doesn't tell.

    Cheap phones, and emulators, share one serial number: with it goes the number that a kernel gives each of its boots.
    """
    number = own_number(text)
    return f"{number} {_one_line(sections(text).get('boot', ''))}" if number else None


def is_android(facts: DeviceFacts) -> bool:
    """Whether Android runs on it, and not another Linux with adb's daemon."""
    return facts.system.startswith("Android")


def _kind(properties: str) -> DeviceKind:
    # Google's emulator says so itself; others that don't can't be distinguished from a phone.
    qemu = (_property(properties, name) for name in ("ro.kernel.qemu", "ro.boot.qemu"))
    return "emulated" if any(value not in ("", "0") for value in qemu) else "physical"


def _model(parts: dict[str, str]) -> str:
    properties = parts.get("properties", "")
    maker, model = (_property(properties, f"ro.product.{name}") for name in ("manufacturer", "model"))
    if model:
        return model if not maker or model.lower().startswith(maker.lower()) else f"{maker} {model}"
    return _one_line(parts.get("board", "")) or value_of(parts.get("cpuinfo", ""), "model name", ":")


def _soc(properties: str) -> str | None:
    maker, model = (_property(properties, f"ro.soc.{name}") for name in ("manufacturer", "model"))
    return " ".join(filter(None, (maker, model))) or _property(properties, "ro.board.platform") or None


def _system(parts: dict[str, str]) -> str:
    properties = parts.get("properties", "")
    release, level = (_property(properties, f"ro.build.version.{name}") for name in ("release", "sdk"))
    if release:
        return f"Android {release} (API {level})" if level else f"Android {release}"
    return value_of(parts.get("system", ""), "PRETTY_NAME", "=").strip('"') or "unknown"


def _property(properties: str, name: str) -> str:
    return value_of(properties, name, "=")


def _features(cpuinfo: str) -> tuple[str, ...]:
    """The features that all cores have, in the kernel's order: a program may run on any of them."""
    found = [line.partition(":")[2].split() for line in lines_of(cpuinfo) if re.match(r"(Features|flags)\s*:", line)]
    if not found:
        return ()
    common = set(found[0]).intersection(*found[1:])
    return tuple(printable(feature) for feature in dict.fromkeys(found[0]) if feature in common)[:_MOST_FEATURES]


def _cores(text: str) -> tuple[Core, ...]:
    cores = {}
    for line in lines_of(text):
        number, _, most_khz = line.partition(" ")
        if number.isdecimal() and len(number) <= 4:
            cores[int(number)] = Core(number=int(number), most_khz=first_number(most_khz))
    return tuple(cores[number] for number in sorted(cores))[:_MOST_CORES]


def _memory_bytes(text: str) -> int | None:
    kib = first_number(value_of(text, "MemTotal", ":"))
    return None if kib is None else kib * 1024


def _one_line(text: str) -> str:
    # A board's name ends with a null byte.
    return next((printable(line[:_MOST_CHARACTERS]) for line in lines_of(text.replace("\0", ""))), "")
