"""Emulated Arm cores: the linux-arm64 programs under qemu. They run the phone's kernels; latency isn't reported."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from dvfl_mobile.artifacts.manifest import Manifest
from dvfl_mobile.devices.base import DeviceRunner
from dvfl_mobile.devices.harness.build import bundle_for
from dvfl_mobile.devices.harness.bundle import CHECK, Bundle
from dvfl_mobile.devices.harness.place import Place
from dvfl_mobile.devices.harness.runner import NativeRunner
from dvfl_mobile.devices.host_native import LocalPlace
from dvfl_mobile.devices.values import Core, DeviceFacts, DeviceState, FoundDevice
from dvfl_mobile.errors import DeviceError, UsageError
from dvfl_mobile.progress import Step, silent

QEMU_VARIABLE = "DVFL_MOBILE_QEMU"
LEAST_QEMU = (8, 0)

_SLOWNESS = 20.0
"""More time than a machine of its own gets: emulated runs of the small model took 25 to 640 times as long."""

_CHECK_S = 120.0
_INSTALL = f"On Debian 13, or bookworm-backports: apt install qemu-user; or name one with {QEMU_VARIABLE}."


@dataclass(frozen=True)
class Cpu:
    """A CPU that qemu plays, and what of it picks XNNPACK's kernels."""

    meaning: str
    features: tuple[str, ...]


CPUS = MappingProxyType(
    {
        "cortex-a53": Cpu("Armv8.0, small cores of phones since 2014: no dot product", ("asimd",)),
        "cortex-a76": Cpu("Armv8.2, large cores of 2019: dot product, half precision", ("asimd", "asimddp", "asimdhp")),
        "cortex-a710": Cpu("Armv9.0, large cores of 2022: int8 matrix products, SVE2", ("asimddp", "i8mm", "sve2")),
        "max": Cpu("all that qemu knows: SVE2, SME beside the others", ("asimddp", "i8mm", "sve2", "sme")),
    }
)


class EmulatedArm:
    """An Arm core under qemu. What it computes is an Arm's; how long it takes says nothing.

    Raises:
        DeviceError: qemu isn't there, or is one that computes wrongly.
        UsageError: there is no such CPU.
    """

    times_operators = True

    def __init__(self, cpu: str) -> None:
        if cpu not in CPUS:
            raise UsageError(
                f"There is no emulated CPU {cpu!r}." if cpu else "An emulated CPU has to be named.",
                hint=f"Name one of: {', '.join(f'arm64:{name}' for name in CPUS)}.",
            )
        qemu, version = found_qemu()
        self._launcher = (qemu, "-cpu", cpu)
        self.facts: DeviceFacts = DeviceFacts(
            device=f"arm64:{cpu}",
            kind="emulated",
            model=f"{cpu} under qemu {version}",
            system="Linux (emulated)",
            abi="arm64-v8a",
            features=CPUS[cpu].features,
            cores=tuple(Core(number=number) for number in range(os.cpu_count() or 1)),
        )
        self.identity: str = self.facts.device

    def state(self) -> DeviceState:
        """Nothing: what changes is the host's, and no run of an emulated core is timed for its own sake."""
        return DeviceState()

    def have_programs(self, target: str, step: Step = silent) -> Bundle:
        """The programs for 64-bit Arm. Raises what `bundle_for` does."""
        return bundle_for("linux-arm64", target, step)

    @contextmanager
    def open(self, folder: Path, manifest: Manifest) -> Iterator[DeviceRunner]:
        """Copy the artifact in `folder` beside the program that runs it; leaving the context removes both.

        Raises:
            ArtifactError: its files aren't those of the manifest.
            DeviceError: the program can't be built, or doesn't run, or the emulator gets int8 products wrong.
            InconclusiveError: no native program runs this target.
            MissingDependencyError: the runtime, or what builds the program, isn't installed.
        """
        bundle = self.have_programs(manifest.target)
        with LocalPlace.opened(self.facts.device, self._launcher) as place:
            runner = NativeRunner(place, bundle, folder, manifest, self.facts, slowness=_SLOWNESS)
            check_products(place, bundle, self.facts)
            yield runner


def find(argument: str) -> EmulatedArm:
    """The emulated core of a CPU. Raises what `EmulatedArm` does."""
    return EmulatedArm(argument)


def found() -> Sequence[FoundDevice]:
    """Every CPU that qemu plays here; none where qemu isn't installed."""
    try:
        _, version = found_qemu()
    except _BrokenQemuError as error:
        return [
            FoundDevice(device=f"arm64:{cpu}", kind="emulated", model=cpu, status="refused", hint=error.problem)
            for cpu in CPUS
        ]
    except DeviceError:
        return ()
    return [
        FoundDevice(device=f"arm64:{cpu}", kind="emulated", model=f"{cpu} under qemu {version}", status="ready")
        for cpu in CPUS
    ]


class _BrokenQemuError(DeviceError):
    """A qemu that is known to compute wrongly."""


def check_products(place: Place, bundle: Bundle, facts: DeviceFacts) -> None:
    """Have the emulated core compute int8 products by each of its instructions for them, which plain C computes too.

    The files of one of the bundle's programs are in the place already.

    Raises:
        DeviceError: it gets one wrong, or the check doesn't run.
    """
    said: list[str] = []
    place.put(bundle.folder / CHECK, CHECK, executable=True)
    status = place.run(CHECK, (), _CHECK_S, said.append, bundle.starter)
    place.remove(CHECK)
    wrong = [line.removeprefix("wrong ") for line in said if line.startswith("wrong ")]
    if wrong:
        raise _BrokenQemuError(
            f"{facts.device} computes wrong int8 products ({', '.join(wrong)}): what {facts.model} says of an artifact "
            "would be its own fault, not the artifact's.",
            hint=_INSTALL,
        )
    if status != 0 or said[-1:] != ["end"]:
        raise DeviceError(f"The check of {facts.device}'s int8 products ended with {status}, too early.", hint=_INSTALL)


def found_qemu() -> tuple[str, str]:
    """The path of qemu-aarch64, and its version.

    Raises:
        DeviceError: there is none, it doesn't say its version, or that version computes wrongly.
    """
    named = os.environ.get(QEMU_VARIABLE) or "qemu-aarch64"
    qemu = shutil.which(named)
    if qemu is None:
        raise DeviceError(f"There is no {named}, which plays an Arm core.", hint=_INSTALL)
    try:
        said = subprocess.run([qemu, "--version"], capture_output=True, text=True, timeout=60, check=False).stdout
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DeviceError(f"{qemu} doesn't say its version: {error}.", hint=_INSTALL) from error
    found = re.search(r"qemu-aarch64 version (\d+)\.(\d+)(\S*)", said)
    if found is None:
        raise DeviceError(f"{qemu} doesn't say which version of qemu-aarch64 it is.", hint=_INSTALL)
    version = f"{found[1]}.{found[2]}{found[3]}"
    if (int(found[1]), int(found[2])) < LEAST_QEMU:
        raise _BrokenQemuError(
            f"{qemu} is qemu {version}, which computes wrong int8 products with -cpu max: what it says of an artifact "
            "would be its own fault, not the artifact's.",
            hint=_INSTALL,
        )
    return qemu, version
