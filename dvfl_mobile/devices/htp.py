"""Qualcomm's emulator of Hexagon, the NPU of its chips. What it computes is a Hexagon's; its time says nothing."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from dvfl_mobile.artifacts.manifest import Manifest
from dvfl_mobile.devices.base import Device, DeviceRunner
from dvfl_mobile.devices.host import opened
from dvfl_mobile.devices.values import DeviceFacts, DeviceState, FoundDevice
from dvfl_mobile.errors import InconclusiveError, MissingDependencyError, UnfitDependencyError, UsageError
from dvfl_mobile.licences import check_accepted
from dvfl_mobile.spelling import option
from dvfl_mobile.targets import target_named

_TARGET, _NAME, _MODEL = "qualcomm", "htp", "Hexagon, by Qualcomm's emulator"


class Htp:
    """Hexagon's Tensor Processor, emulated: of whichever chip an artifact was compiled for.

    Raises:
        MissingDependencyError: the emulator isn't installed, or its licence isn't accepted.
    """

    times_operators = False

    def __init__(self) -> None:
        check_accepted(target_named(_TARGET).licence)
        self.facts: DeviceFacts = DeviceFacts(
            device=_NAME,
            kind="emulated",
            model=_MODEL,
            system=f"{platform.system()} {platform.release()}",
            abi=platform.machine(),
        )
        self.identity: str = _NAME

    def state(self) -> DeviceState:
        """Nothing: no run of it is timed."""
        return DeviceState()

    @contextmanager
    def open(self, folder: Path, manifest: Manifest) -> Iterator[DeviceRunner]:
        """The artifact in `folder`, where it lies, in a child process; see `HostRunner` for what it raises.

        Raises:
            InconclusiveError: it isn't compiled for Hexagon.
        """
        if target_named(manifest.target).runner != target_named(_TARGET).runner:
            raise InconclusiveError(
                f"{_NAME} runs what was compiled for Qualcomm's NPU, and {folder} is for {manifest.target}.",
                hint=f"Convert with {option('targets', _TARGET)}, or leave {option('device')} out.",
            )
        with opened(folder, manifest) as runner:
            yield runner


def find(argument: str) -> Device:
    """`htp`. Raises what `Htp` does.

    Raises:
        UsageError: there is no other.
    """
    if argument:
        raise UsageError(
            f"There is no device '{_NAME}:{argument}'.",
            hint=f"It is {_NAME}, for whichever chip the artifact was compiled for.",
        )
    return Htp()


def found() -> Sequence[FoundDevice]:
    """The emulator; none where it isn't installed."""
    try:
        check_accepted(target_named(_TARGET).licence)
    except UnfitDependencyError as error:
        return [
            FoundDevice(
                device=_NAME, kind="emulated", model=_MODEL, status="refused", hint=f"{error.problem} {error.hint}"
            )
        ]
    except MissingDependencyError:
        return ()
    return [FoundDevice(device=_NAME, kind="emulated", model=_MODEL, status="ready")]
