"""`dvfl-mobile devices`: list the devices that artifacts can run on, and why one isn't ready."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dvfl_mobile.cli.console import print_json, print_rich
from dvfl_mobile.cli.options import Json

if TYPE_CHECKING:
    from dvfl_mobile.devices.values import FoundDevice


def devices(json: Json = False) -> None:
    """Show every device that can be seen from here, ready or not.

    This machine, phones by adb, iPhones and iPads by Xcode on a Mac, and emulated Arm cores, which give numbers and no
    latency. A kind whose tool isn't installed shows none.
    """
    from dvfl_mobile.cli.progress import steps
    from dvfl_mobile.devices.base import found_devices

    with steps(quiet=True) as step, step("look for devices"):
        found = found_devices()
    show_devices(found, json=json)


def show_devices(found: Sequence[FoundDevice], *, json: bool) -> None:
    """A line for each device."""
    from dvfl_mobile.report.profile.terminal import devices

    if json:
        print_json({"schema_version": 1, "devices": [each.model_dump(mode="json") for each in found]})
    else:
        print_rich(devices(found))
