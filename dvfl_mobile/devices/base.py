"""The Device protocol, and the table of device kinds."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol, runtime_checkable

from dvfl_mobile.artifacts.manifest import Manifest
from dvfl_mobile.devices import kinds
from dvfl_mobile.devices.harness.bundle import Bundle
from dvfl_mobile.devices.values import GPU_PRECISIONS, DeviceFacts, DeviceState, FoundDevice, Measurement, RunOptions
from dvfl_mobile.errors import UsageError
from dvfl_mobile.progress import Step, silent
from dvfl_mobile.runners.base import Runner
from dvfl_mobile.runners.values import Pixels
from dvfl_mobile.spelling import command


class DeviceRunner(Runner, Protocol):
    """One artifact on one device."""

    def measure(self, clip: Pixels, options: RunOptions) -> Measurement:
        """Load the artifact anew and run one clip, `(T,3,H,W)`, again and again, in a process of its own.

        Raises:
            DeviceError: the device, or the program on it, did not do what it was asked, or did not end in time.
        """


class Device(Protocol):
    """A place to run artifacts.

    Attributes:
        facts: of the device; `facts.device` is its name.
        identity: the same by whatever name it is asked for.
        times_operators: whether a runtime on it records how long each operator takes.
    """

    facts: DeviceFacts
    identity: str
    times_operators: bool

    def state(self) -> DeviceState:
        """What can change while it is used, as it is now."""

    def open(self, folder: Path, manifest: Manifest) -> AbstractContextManager[DeviceRunner]:
        """Bring the artifact in `folder` there; leaving the context removes it again.

        Raises:
            ArtifactError: its files aren't those of the manifest.
            DeviceError: the device can't be reached, or can't take or run it.
            InconclusiveError: nothing on this kind of device runs this target.
        """


@runtime_checkable
class WithGpu(Protocol):
    """A device whose native program can also run artifacts on its GPU."""

    def on_gpu(self, precision: str) -> Device:
        """The same device, with artifacts run on its GPU, in one of `GPU_PRECISIONS`.

        Raises:
            MissingDriverError: nothing reaches its GPU.
        """


@runtime_checkable
class WithPrograms(Protocol):
    """A device whose artifacts are run by the harness's own programs."""

    def have_programs(self, target: str, step: Step = silent) -> Bundle:
        """The programs for it, found or built; the latter takes a while the first time, and `step` shows it.

        Raises:
            DeviceError: they can't be used, or can't be built.
            InconclusiveError: no program for this kind of device runs this target.
            MissingDependencyError: they aren't there, and neither is what builds them.
        """


class _Module(Protocol):
    def find(self, argument: str) -> Device: ...

    def found(self) -> Sequence[FoundDevice]: ...


def find_device(name: str) -> Device:
    """The device of a name such as `host`, `android:SERIAL` or `arm64:cortex-a76`; `android` alone is the only one.

    Raises:
        UsageError: there is no such kind, or several devices and none named.
        DeviceError: it isn't there, or isn't ready.
        MissingDependencyError: what reaches it isn't installed.
    """
    name, _, accelerator = name.partition("+")
    kind, _, argument = name.partition(":")
    if kind not in kinds.KINDS:
        known = ", ".join(map(kinds.spelling, kinds.KINDS))
        raise UsageError(f"There is no device {name!r}.", hint=f"Name one of {known}; see: {command('devices')}")
    device = _module(kind).find(argument)
    return _on_gpu(device, accelerator) if accelerator else device


def have_programs(device: Device, target: str, step: Step) -> None:
    """Have what `device.open` needs of programs ready, before it; nothing, where the device needs none.

    Raises what `WithPrograms.have_programs` does.
    """
    if isinstance(device, WithPrograms):
        device.have_programs(target, step)


def on_gpu(name: str, precision: str | None = None) -> str:
    """The name of a device's GPU, such as `android:SERIAL+gpu`, or `android:SERIAL+gpu-fp32` in another precision."""
    return f"{name}+gpu" if precision is None else f"{name}+gpu-{precision}"


def found_devices() -> list[FoundDevice]:
    """Every device that can be seen from here, ready or not; a kind whose tool isn't installed gives none."""
    return [device for kind in kinds.KINDS for device in _module(kind).found()]


def _on_gpu(device: Device, accelerator: str) -> Device:
    """The device with artifacts run on its GPU."""
    first, *_ = GPU_PRECISIONS
    names = {on_gpu(""): first} | {on_gpu("", precision): precision for precision in GPU_PRECISIONS}
    precision = names.get(f"+{accelerator}")
    if precision is None or not isinstance(device, WithGpu):
        raise UsageError(
            f"No artifact runs on {accelerator!r} of {device.facts.device}.",
            hint=f"Of host:native and android:SERIAL there is: {', '.join(names)}.",
        )
    return device.on_gpu(precision)


def _module(kind: str) -> _Module:
    module: _Module = importlib.import_module(kinds.KINDS[kind].module)
    return module
