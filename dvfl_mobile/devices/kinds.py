"""The kinds of devices. To add one: an entry here, and the module that finds such devices, as `devices.base` has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Kind:
    """A kind of device.

    Attributes:
        module: what finds them: `find` and `found`.
        argument: what stands after the colon in their names; in brackets where it may be left out, and empty where it
            seldom stands there.
        meaning: what it is.
        is_emulated: its numbers mean something, and its times nothing.
        targets: those whose artifacts it runs; empty: all that this machine's runtimes run.
        only_by_name: it isn't among all the devices that are ready.
    """

    module: str
    argument: str
    meaning: str
    is_emulated: bool = False
    targets: tuple[str, ...] = ()
    only_by_name: bool = False


_NATIVE = ("executorch", "tflite")

KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "host": Kind("dvfl_mobile.devices.host", "[native]", "this machine; native: by the harness's own programs"),
        "android": Kind("dvfl_mobile.devices.android.device", "SERIAL", "a phone that adb knows", targets=_NATIVE),
        "ios": Kind(
            "dvfl_mobile.devices.ios.device",
            "UDID",
            "an iPhone or iPad that this Mac's Xcode knows",
            targets=("coreml",),
        ),
        "arm64": Kind(
            "dvfl_mobile.devices.emulated",
            "CPU",
            "an Arm core under qemu: its numbers, never its latency",
            is_emulated=True,
            targets=_NATIVE,
        ),
        "htp": Kind(
            "dvfl_mobile.devices.htp",
            "",
            "Qualcomm's Hexagon, by Qualcomm's emulator: its numbers, never its latency",
            is_emulated=True,
            targets=("qualcomm",),
        ),
        "kit": Kind("dvfl_mobile.devices.kit.device", "FILE", "somebody else's phone, by what a kit brought back"),
        "gpu": Kind(
            "dvfl_mobile.devices.gpu",
            "",
            "this machine's GPU, in half precision; gpu:fp32: in float32",
            targets=("tflite",),
        ),
        "web": Kind(
            "dvfl_mobile.devices.web.device",
            "",
            "a browser, by WebAssembly; web:webgpu: on its GPU. A browser's time, not a native program's",
            targets=("tflite",),
            only_by_name=True,
        ),
    }
)


def kind_of(device: str) -> Kind | None:
    """The kind of the device of a name such as `arm64:cortex-a76` or `android:SERIAL+gpu`; None where there is none."""
    return KINDS.get(device.partition("+")[0].partition(":")[0])


def spellings(*, emulated: bool) -> list[str]:
    """`android:SERIAL` of each kind, for help; `emulated`: with those that are, and said so."""
    return [
        spelling(name).replace("[", "").replace("]", "") + (" (emulated)" if kind.is_emulated else "")
        for name, kind in KINDS.items()
        if emulated or not kind.is_emulated
    ]


def spelling(name: str) -> str:
    """`android:SERIAL` of a kind, with brackets where its argument may be left out."""
    argument = KINDS[name].argument
    return f"{name}:{argument}" if argument else name
