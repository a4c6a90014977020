"""Vulkan drivers of this machine: where they are, and the GPUs, or CPUs in their place, that they give.

Asked in a process of its own, `python -P -m dvfl_mobile.devices.vulkan`: a driver may crash whoever loads it, and finds
its libraries only by variables that stood when its process began.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

from dvfl_mobile.devices.values import DeviceKind
from dvfl_mobile.errors import MissingDriverError

VULKAN_VARIABLE = "DVFL_MOBILE_VULKAN"
SLOWNESS = 20.0
"""More time than on a CPU: the first run of a pico on a software GPU, which compiles its shaders, took 100 times as
long as one by XNNPACK."""

_LIBRARY = "libvulkan.so.1"
_LOOK_S = 60.0
_MOST = 16
_KINDS = {0: "other", 1: "integrated", 2: "discrete", 3: "virtual", 4: "cpu"}

_APPLICATION_INFO, _INSTANCE_INFO = 0, 1
_PROPERTIES_2, _DRIVER_PROPERTIES = 1000059001, 1000196000
_FEATURES_2, _FLOAT16_FEATURES = 1000059000, 1000082000
_VERSION_1_1 = 1 << 22 | 1 << 12


@dataclass(frozen=True)
class Gpu:
    """What a Vulkan driver computes on.

    Attributes:
        name: such as `llvmpipe (LLVM 15.0.6, 256 bits)`.
        kind: `discrete`, `integrated`, `virtual`, `cpu` or `other`.
        driver: the driver and its version in its own words; empty where it doesn't tell.
        has_half: whether shaders may compute in half precision.
    """

    name: str
    kind: str
    driver: str
    has_half: bool


def environment() -> dict[str, str]:
    """The variables by which a process finds the drivers that `DVFL_MOBILE_VULKAN` names; without it the system's.

    Raises:
        MissingDriverError: it names a folder without any.
    """
    named = os.environ.get(VULKAN_VARIABLE)
    if not named:
        return {}
    folder = Path(named).absolute()
    drivers = sorted(folder.glob("usr/share/vulkan/icd.d/*.json"))
    libraries = sorted({str(path.parent) for path in folder.glob("usr/lib/**/libvulkan.so.1")})
    if not drivers or not libraries:
        raise MissingDriverError(
            f"{VULKAN_VARIABLE} names {named}, and no Vulkan driver is unpacked there.",
            hint="Make one with: scripts/device-tools FOLDER vulkan; then name FOLDER/vulkan.",
        )
    return {
        "VK_DRIVER_FILES": os.pathsep.join(map(str, drivers)),
        "LD_LIBRARY_PATH": os.pathsep.join([*libraries, *filter(None, [os.environ.get("LD_LIBRARY_PATH")])]),
    }


def found_gpus() -> list[Gpu]:
    """What the drivers of this machine compute on, real GPUs first; empty where there is none, or they fail.

    Raises:
        MissingDriverError: see `environment`.
    """
    variables = os.environ | environment()
    try:
        ended = subprocess.run(
            [sys.executable, "-P", "-m", __name__],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=variables,
            timeout=_LOOK_S,
            check=False,
        )
        said = [Gpu(**entry) for entry in json.loads(ended.stdout)] if ended.returncode == 0 else []
    except (OSError, subprocess.TimeoutExpired, ValueError, TypeError):
        return []
    return sorted(said, key=lambda gpu: ("discrete", "integrated", "virtual", "other", "cpu").index(gpu.kind))


def first_gpu() -> Gpu:
    """What is used: LiteRT takes a real GPU before a CPU in its place.

    Raises:
        MissingDriverError: there is no Vulkan driver.
    """
    gpus = found_gpus()
    if not gpus:
        raise MissingDriverError(
            "There is no Vulkan driver here, by which LiteRT computes on a GPU.",
            hint="On Debian 13, Ubuntu 24.04 and newer: apt install mesa-vulkan-drivers, which has one that computes "
            f"on the CPU too. Or unpack one with scripts/device-tools FOLDER vulkan, and name it: "
            f"{VULKAN_VARIABLE}=FOLDER/vulkan",
        )
    return gpus[0]


def kind_of(gpu: Gpu) -> DeviceKind:
    """What a device on it counts as: what a CPU takes for its work says nothing."""
    return "emulated" if gpu.kind == "cpu" else "physical"


def model_of(gpu: Gpu) -> str:
    """Its name, with its driver's."""
    return f"{gpu.name}, {gpu.driver}" if gpu.driver else gpu.name


class _Struct(ctypes.Structure):
    """The head that every structure has which extends another."""

    _fields_: ClassVar[Sequence[tuple[str, Any]]] = (("type", ctypes.c_int32), ("next", ctypes.c_void_p))


class _ApplicationInfo(_Struct):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("version", ctypes.c_uint32),
        ("engine", ctypes.c_char_p),
        ("engine_version", ctypes.c_uint32),
        ("api", ctypes.c_uint32),
    )


class _InstanceInfo(_Struct):
    _fields_ = (
        ("flags", ctypes.c_uint32),
        ("application", ctypes.c_void_p),
        ("layer_count", ctypes.c_uint32),
        ("layers", ctypes.c_void_p),
        ("extension_count", ctypes.c_uint32),
        ("extensions", ctypes.c_void_p),
    )


class _Properties(_Struct):
    # As far as the name; the rest, some 540 bytes of limits, is only made room for.
    _fields_ = (
        ("numbers", ctypes.c_uint32 * 4),
        ("kind", ctypes.c_uint32),
        ("name", ctypes.c_char * 256),
        ("rest", ctypes.c_uint8 * 2048),
    )


class _Driver(_Struct):
    _fields_ = (
        ("id", ctypes.c_int32),
        ("name", ctypes.c_char * 256),
        ("info", ctypes.c_char * 256),
        ("conformance", ctypes.c_uint8 * 4),
    )


class _Features(_Struct):
    _fields_ = (("rest", ctypes.c_uint8 * 1024),)


class _Float16(_Struct):
    _fields_ = (("half", ctypes.c_uint32), ("int8", ctypes.c_uint32))


def _gpus() -> list[Gpu]:
    """What Vulkan lists in this process. Raises OSError where there is no Vulkan."""
    vulkan = ctypes.CDLL(_LIBRARY)
    application = _ApplicationInfo(type=_APPLICATION_INFO, api=_VERSION_1_1)
    info = _InstanceInfo(type=_INSTANCE_INFO, application=ctypes.addressof(application))
    instance = ctypes.c_void_p()
    if vulkan.vkCreateInstance(ctypes.byref(info), None, ctypes.byref(instance)) != 0:
        return []
    count, devices = ctypes.c_uint32(_MOST), (ctypes.c_void_p * _MOST)()
    if vulkan.vkEnumeratePhysicalDevices(instance, ctypes.byref(count), devices) < 0:
        return []
    return [_gpu(vulkan, ctypes.c_void_p(device)) for device in devices[: count.value]]


def _gpu(vulkan: ctypes.CDLL, device: ctypes.c_void_p) -> Gpu:
    driver = _Driver(type=_DRIVER_PROPERTIES)
    properties = _Properties(type=_PROPERTIES_2, next=ctypes.addressof(driver))
    vulkan.vkGetPhysicalDeviceProperties2(device, ctypes.byref(properties))
    float16 = _Float16(type=_FLOAT16_FEATURES)
    features = _Features(type=_FEATURES_2, next=ctypes.addressof(float16))
    vulkan.vkGetPhysicalDeviceFeatures2(device, ctypes.byref(features))
    name, driver_name, about = map(_text, (properties.name, driver.name, driver.info))
    return Gpu(
        name=name,
        kind=_KINDS.get(properties.kind, "other"),
        # Some drivers call their only device after themselves.
        driver=about if name.startswith(driver_name) else f"{driver_name} {about}".strip(),
        has_half=bool(float16.half),
    )


def _text(data: bytes) -> str:
    return data.decode("utf-8", errors="replace").strip()


def _show(gpus: list[Gpu]) -> None:
    rows: list[Mapping[str, object]] = [asdict(gpu) for gpu in gpus]
    sys.stdout.write(json.dumps(rows))


if __name__ == "__main__":
    _show(_gpus())
    sys.stdout.flush()
    os._exit(0)  # drivers don't always survive being taken down
