"""Value types of devices: facts, state, run options and measurements."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from pydantic import Field

from dvfl_mobile.documents import Document
from dvfl_mobile.targets import Precision

DeviceKind = Literal["physical", "emulated"]

GPU_PRECISIONS: Mapping[str, Precision] = MappingProxyType({"fp16": "float16", "fp32": "float32"})
"""What a GPU can be asked to compute floats in, by its name on the command line; the first by default."""


class Core(Document):
    """A core of a CPU; `most_khz` is its highest frequency, where the system tells."""

    number: int = Field(ge=0)
    most_khz: int | None = None


class DeviceFacts(Document):
    """What doesn't change while a device is used.

    Attributes:
        device: the name to ask for it by: `host`, `host:native`, `android:SERIAL`, `ios:UDID`, `arm64:CPU`, `gpu`.
        kind: times of an emulated device mean nothing, and are never shown as latency.
        model: what is printed on it, such as `Pixel 8`; for the host the name of its CPU.
        soc: its chip, where the system tells.
        system: such as `Android 14 (API 34)`.
        abi: such as `arm64-v8a`, `x86_64`.
        features: of the CPU, by the kernel's names: `asimddp`, `i8mm`, `avx512_vnni`.
        computes_in: what it computes floats in, whatever the artifact's recipe says; None: as that says.
    """

    device: str
    kind: DeviceKind
    model: str
    soc: str | None = None
    system: str
    abi: str
    features: tuple[str, ...] = ()
    cores: tuple[Core, ...] = ()
    memory_bytes: int | None = None
    computes_in: Precision | None = None


class DeviceState(Document):
    """What changes while a device is used, read before and after; None and empty where the system doesn't tell.

    Attributes:
        core_khz: the frequency that each core runs at, in the order of `DeviceFacts.cores`.
        governors: what chooses them: `schedutil`, `performance`.
        thermal_status: Android's and Apple's word: `none`, `light`, `moderate`, `severe`; `nominal`, `fair`, ….
        load: the mean number of processes that wanted to run in the last minute.
    """

    core_khz: tuple[int | None, ...] = ()
    governors: tuple[str, ...] = ()
    battery_percent: int | None = None
    is_charging: bool | None = None
    thermal_status: str | None = None
    temperatures_c: dict[str, float] = Field(default_factory=dict)
    load: float | None = None
    is_low_power: bool | None = None


class OperatorTime(Document):
    """What one operator takes, the median over the runs that were looked at.

    Attributes:
        name: the runtime's own, such as `Fully Connected (NC, F32) GEMM`.
        module: the module path that conversion carried along; empty where it isn't known.
        delegated: whether the delegate ran it; None where the runtime doesn't tell.
    """

    index: int = Field(ge=0)
    name: str
    module: str = ""
    delegated: bool | None = None
    duration_ns: int = Field(ge=0)


@dataclass(frozen=True)
class RunOptions:
    """How to run one clip again and again.

    Attributes:
        warmup: runs before those that count; the first of them is the first inference.
        threads: None: the runtime's own choice for the device.
        cores: numbers of the cores to run on; empty: the system chooses.
        operators: also time each operator, in runs apart from those that count.
        compute_units: Core ML's: `all`, `cpuOnly`, `cpuAndGPU`, `cpuAndNeuralEngine`; other runtimes have none.
    """

    warmup: int = 3
    runs: int = 30
    threads: int | None = None
    cores: tuple[int, ...] = ()
    operators: bool = False
    compute_units: str | None = None


class Measurement(Document):
    """What came of one process that loaded an artifact and ran one clip again and again; all times raw.

    Attributes:
        load_ns: from the file's name to a model that could run.
        warmup_ns: the first is the first inference.
        started_ns: when each run began, by the device's monotonic clock.
        duration_ns: of each run, in the order in which they ran.
        peak_memory_bytes: the most that the process had resident.
        threads: how many the runtime was given.
        output_sha256: of the logits of the last run, float32 little-endian.
    """

    load_ns: int = Field(ge=0)
    warmup_ns: tuple[int, ...]
    started_ns: tuple[int, ...]
    duration_ns: tuple[int, ...]
    peak_memory_bytes: int | None
    threads: int | None
    output_sha256: str
    operators: tuple[OperatorTime, ...] = ()


class FoundDevice(Document):
    """A line of `dvfl-mobile devices`.

    Attributes:
        status: `ready`, or the tool's own word for what keeps it from being used: `unauthorized`, `offline`.
        hint: what to do about it; empty when ready.
    """

    device: str
    kind: DeviceKind
    model: str
    status: str
    hint: str = ""

    @property
    def is_ready(self) -> bool:
        return self.status == "ready"
