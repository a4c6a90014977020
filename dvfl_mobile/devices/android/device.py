"""Android phones and tablets, and other Linux machines with adb's daemon, as devices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from dvfl_mobile.artifacts.manifest import Manifest
from dvfl_mobile.devices.android.adb import Adb, Listed, adb_program, hint_for, listed_devices
from dvfl_mobile.devices.android.complaints import shown, state_trouble
from dvfl_mobile.devices.android.facts import FACTS_SCRIPT, identity, is_android, own_number, parse_facts
from dvfl_mobile.devices.android.place import AdbPlace
from dvfl_mobile.devices.android.state import STATE_SCRIPT, parse_state
from dvfl_mobile.devices.base import DeviceRunner
from dvfl_mobile.devices.harness.build import bundle_for
from dvfl_mobile.devices.harness.bundle import RUNNER_VARIABLE, Bundle, SystemAbi, given_bundle
from dvfl_mobile.devices.harness.runner import NativeRunner
from dvfl_mobile.devices.values import GPU_PRECISIONS, DeviceFacts, DeviceKind, DeviceState, FoundDevice
from dvfl_mobile.errors import DeviceError, InconclusiveError, MissingDependencyError, UsageError
from dvfl_mobile.progress import Step, silent
from dvfl_mobile.spelling import command, option

_GLANCE_S = 5.0
_CONNECT = (
    "Turn on USB debugging (Settings, Developer options), plug the phone in, and allow this computer in its dialog. "
    "Then look at: adb devices -l"
)

_SYSTEMS: MappingProxyType[tuple[bool, str], SystemAbi] = MappingProxyType(
    {
        (True, "arm64-v8a"): "linux-arm64",
        (False, "arm64-v8a"): "linux-arm64",
        (False, "x86_64"): "host",
    }
)
"""What programs are for, by whether it is Android, and its ABI. Those for 64-bit Arm bring their own C library."""

_BIONIC = "android-arm64"
"""The preset of programs that use Android's own C library, which nobody gets without naming them."""


class AndroidDevice:
    """A device that adb reaches.

    Attributes:
        identity: the same by whatever way adb reaches it: one phone may be listed by its cable, by mDNS and by address.
        is_named_by_itself: whether adb calls it by the serial number that it gives itself, as it does over a cable.

    Raises:
        DeviceError: it doesn't say what it is.
    """

    times_operators: bool = True

    def __init__(self, adb: Adb) -> None:
        self._adb = adb
        said = _gathered(adb, FACTS_SCRIPT, "asking it what it is")
        self.facts: DeviceFacts = parse_facts(adb.name, said)
        self.identity: str = identity(said) or adb.name
        self.is_named_by_itself: bool = own_number(said) == adb.serial
        self._gpu: str | None = None

    def on_gpu(self, precision: str) -> AndroidDevice:
        """The same device, with artifacts run on its GPU. Raises DeviceError where it doesn't say what it is."""
        device = AndroidDevice(self._adb)
        about = {"device": f"{self.facts.device}+gpu", "computes_in": GPU_PRECISIONS[precision]}
        device.facts = self.facts.model_copy(update=about)
        device.times_operators, device._gpu = False, precision
        return device

    def state(self) -> DeviceState:
        """What can change while it is used, as it is now."""
        return parse_state(_gathered(self._adb, STATE_SCRIPT, "asking it how it is"))

    def have_programs(self, target: str, step: Step = silent) -> Bundle:
        """The programs for such a device. Raises what `programs_for` does."""
        return programs_for(self.facts, target, step)

    @contextmanager
    def open(self, folder: Path, manifest: Manifest) -> Iterator[DeviceRunner]:
        """Bring the artifact in `folder` there, with the program that runs it; leaving the context removes both.

        Raises:
            ArtifactError: its files aren't those of the manifest.
            DeviceError: the device can't be reached, or can't take or run it.
            InconclusiveError: no program for this kind of device runs this target.
            MissingDependencyError: what builds the program isn't installed.
        """
        bundle = self.have_programs(manifest.target)
        with AdbPlace.opened(self._adb) as place:
            yield NativeRunner(place, bundle, folder, manifest, self.facts, gpu=self._gpu)


def programs_for(facts: DeviceFacts, target: str, step: Step = silent) -> Bundle:
    """The programs for a device of these facts: those that the environment names, or what `bundle_for` gives.

    Raises:
        DeviceError, MissingDependencyError: see `bundle_for`.
        InconclusiveError: no program for this kind of device runs this target.
    """
    system, given = _SYSTEMS.get((is_android(facts), facts.abi)), given_bundle()
    if given is not None and (system is None or (is_android(facts) and given.preset == _BIONIC)):
        return given
    if system is None:
        raise InconclusiveError(
            f"{facts.device} is {facts.system} on {facts.abi}, and programs are built for 64-bit Arm alone.",
            hint=f"Build the runner for it yourself, and name its folder with {RUNNER_VARIABLE}.",
        )
    return bundle_for(system, target, step)


def find(argument: str) -> AndroidDevice:
    """The device that `reached` finds. Raises what that does, and DeviceError where it doesn't say what it is."""
    return AndroidDevice(reached(argument))


def reached(argument: str) -> Adb:
    """The way to the device of a serial number; to the only one that is ready, by however many ways, if that is empty.

    Raises:
        DeviceError: it isn't there, or isn't ready; the message says in what state it is, and what to do.
        MissingDependencyError: adb isn't installed.
        UsageError: several are ready, and none is named.
    """
    listed = listed_devices()
    if not listed:
        wanted = f"no android:{shown(argument)}" if argument else "no device"
        raise DeviceError(f"There is {wanted}: adb sees none at all.", hint=_CONNECT)
    program = adb_program()
    chosen = _named(listed, argument) if argument else _only(program, listed)
    adb = Adb(program, chosen.serial)
    if not chosen.is_ready:
        raise adb.error(state_trouble(chosen.state))
    return adb


def found() -> Sequence[FoundDevice]:
    """Every device that adb sees, once, ready or not; none where adb isn't installed.

    Those that adb calls ready are asked what they are: adb says the same of one that hangs, and of an emulator.
    """
    try:
        program, listed = adb_program(), listed_devices()
    except MissingDependencyError:
        return ()
    return [each if isinstance(each, FoundDevice) else _ready(each.facts) for _, each in _seen(program, listed)]


def _named(listed: list[Listed], serial: str) -> Listed:
    for one in listed:
        if one.serial == serial:
            return one
    raise DeviceError(
        f"There is no android:{shown(serial)}; adb sees {_names(listed)}.",
        hint=f"See which there are with: {command('devices')}",
    )


def _only(program: str, listed: list[Listed]) -> Listed:
    ready = [one for one in listed if one.is_ready]
    if len(ready) > 1:
        ready = [one for one, _ in _seen(program, ready)]
    if len(ready) > 1:
        raise UsageError(f"Which device? adb sees {_names(ready)}.", hint=f"Name one of them with {option('device')}.")
    if not ready and len(listed) > 1:
        states = ", ".join(f"android:{one.serial} ({one.state})" for one in listed)
        raise DeviceError(
            f"No device is ready: adb sees {states}.", hint=f"See which there are with: {command('devices')}"
        )
    return (ready or listed)[0]


def _names(listed: list[Listed]) -> str:
    return ", ".join(f"android:{one.serial}" for one in listed)


def _seen(program: str, listed: list[Listed]) -> Iterator[tuple[Listed, AndroidDevice | FoundDevice]]:
    """Each device once, by the best way to it, in adb's order; those that can't be used as `devices` shows them."""
    seen = [(one, _asked(program, one) if one.is_ready else _not_ready(one)) for one in listed]
    best: dict[str, AndroidDevice] = {}
    for _, each in seen:
        if isinstance(each, AndroidDevice) and (each.is_named_by_itself or each.identity not in best):
            best[each.identity] = each
    for one, each in seen:
        if not isinstance(each, AndroidDevice) or each is best[each.identity]:
            yield one, each


def _ready(facts: DeviceFacts) -> FoundDevice:
    return FoundDevice(device=facts.device, kind=facts.kind, model=facts.model, status="ready")


def _asked(program: str, one: Listed) -> AndroidDevice | FoundDevice:
    try:
        return AndroidDevice(Adb(program, one.serial, _GLANCE_S))
    except DeviceError as error:
        return _unusable(one, "silent", error.hint)


def _not_ready(one: Listed) -> FoundDevice:
    return _unusable(one, one.state, hint_for(one.serial, state_trouble(one.state)))


def _unusable(one: Listed, status: str, hint: str) -> FoundDevice:
    # Serial numbers that adb gives itself, to emulators on this machine.
    kind: DeviceKind = "emulated" if one.serial.startswith("emulator-") else "physical"
    model = one.model or "unknown"
    return FoundDevice(device=f"android:{one.serial}", kind=kind, model=model, status=status, hint=hint)


def _gathered(adb: Adb, script: str, doing: str) -> str:
    # Sections that a device has nothing to say in end with a failure that means nothing.
    return adb.shell(script, doing)[1]
