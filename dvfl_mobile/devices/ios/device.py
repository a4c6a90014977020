"""iPhones and iPads as devices: found by devicectl, used through the harness's app."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from dvfl_mobile.artifacts.manifest import Manifest
from dvfl_mobile.devices.ios import devicectl
from dvfl_mobile.devices.ios.about import MOST_BYTES, read_about
from dvfl_mobile.devices.ios.app import HarnessApp
from dvfl_mobile.devices.ios.listing import ListedDevice
from dvfl_mobile.devices.ios.options import AppOptions
from dvfl_mobile.devices.ios.runner import IosRunner
from dvfl_mobile.devices.ios.tools import check_xcode, has_xcode
from dvfl_mobile.devices.values import DeviceFacts, DeviceState, FoundDevice
from dvfl_mobile.errors import DeviceError, InconclusiveError, UsageError
from dvfl_mobile.spelling import command

BUNDLE_VARIABLE = "DVFL_MOBILE_IOS_BUNDLE"
BUNDLE = "org.dvfl-mobile.harness"
"""The app's identifier, unless the environment names another: a free developer account has to choose its own."""

_STATE_S = 60.0


class IosDevice:
    """A phone that is ready, with the app on it.

    Raises:
        DeviceError: the app isn't installed there.
    """

    # Core ML only says where it means to run each.
    times_operators = False

    def __init__(self, listed: ListedDevice) -> None:
        self._udid, self._bundle = listed.udid, os.environ.get(BUNDLE_VARIABLE) or BUNDLE
        self.facts = DeviceFacts(
            device=_name(listed), kind="physical", model=listed.model, system=listed.system, abi="arm64"
        )
        self.identity: str = self.facts.device
        if not devicectl.has_app(self._udid, self._bundle):
            raise DeviceError(
                f"The harness's app, {self._bundle}, isn't on {self.facts.device}.",
                hint=f"Build and install ios_harness/App, as docs/ios.md tells; or name yours with {BUNDLE_VARIABLE}.",
            )

    def state(self) -> DeviceState:
        """What can change while it is used, as the app sees it: it is started for this, and ends again."""
        app = HarnessApp(self._udid, self._bundle)
        try:
            number = app.prepare(AppOptions(mode="about"))
            app.start(number, _STATE_S)
            about = read_about(app.get(f"{number}.about", MOST_BYTES), self.facts.device)
        finally:
            app.remove()
        return about.after.as_device_state()

    @contextmanager
    def open(self, folder: Path, manifest: Manifest) -> Iterator[IosRunner]:
        """Bring the artifact in `folder` there; leaving the context removes it again.

        Raises:
            ArtifactError: its files aren't those of the manifest.
            DeviceError: the phone can't be reached, or can't take it.
            InconclusiveError: it is for another target than Core ML.
        """
        if manifest.target != "coreml":
            raise InconclusiveError(
                f"The harness on iPhones runs Core ML alone, and {folder} is for {manifest.target}.",
                hint=f"Convert for it with: {command('convert', targets='coreml')}",
            )
        app = HarnessApp(self._udid, self._bundle)
        try:
            yield IosRunner(app, folder, manifest, self.facts)
        finally:
            app.remove()


def find(argument: str) -> IosDevice:
    """The phone of a UDID, or of CoreDevice's own identifier; without one, the only one that is ready.

    Raises:
        UsageError: several are ready, and none is named.
        DeviceError: this is no Mac with Xcode, or the phone isn't there, isn't ready or lacks the app.
    """
    check_xcode()
    phones = [device for device in devicectl.list_devices() if device.is_phone]
    listed = _named(phones, argument) if argument else _only(phones)
    status, hint = listed.status
    if status != "ready":
        raise DeviceError(f"{_name(listed)} ({listed.model}) isn't ready: {status}.", hint=hint)
    return IosDevice(listed)


def found() -> Sequence[FoundDevice]:
    """Every iPhone and iPad that Xcode knows, ready or not; none where there is no Xcode."""
    if not has_xcode():
        return ()
    try:
        check_xcode()
        phones = [device for device in devicectl.list_devices() if device.is_phone]
    except DeviceError as error:
        # One line rather than an error: devices of other kinds are there all the same.
        return (FoundDevice(device="ios", kind="physical", model="", status="unknown", hint=str(error)),)
    return tuple(_found(phone) for phone in phones)


def _found(phone: ListedDevice) -> FoundDevice:
    status, hint = phone.status
    return FoundDevice(device=_name(phone), kind="physical", model=phone.model, status=status, hint=hint)


def _named(phones: list[ListedDevice], argument: str) -> ListedDevice:
    wanted = argument.lower()
    for phone in phones:
        if wanted in (phone.udid.lower(), phone.identifier.lower()):
            return phone
    raise DeviceError(
        f"Xcode knows no iPhone or iPad {argument!r}.", hint=f"See which there are with: {command('devices')}"
    )


def _only(phones: list[ListedDevice]) -> ListedDevice:
    ready = [phone for phone in phones if phone.status[0] == "ready"]
    if len(ready) == 1:
        return ready[0]
    if ready:
        names = ", ".join(map(_name, ready))
        raise UsageError(f"{len(ready)} iPhones or iPads are ready.", hint=f"Name one of: {names}")
    if phones:
        raise DeviceError(
            f"No iPhone or iPad is ready; Xcode knows {len(phones)}.",
            hint=f"See which there are with: {command('devices')}",
        )
    raise DeviceError(
        "Xcode knows no iPhone or iPad.", hint="Connect it by cable, unlock it, and trust this Mac on it."
    )


def _name(phone: ListedDevice) -> str:
    return f"ios:{phone.udid}"
