"""`dvfl-mobile devices`: what artifacts can run on from here, and what keeps a device from being ready."""

from __future__ import annotations

from dvfl_mobile.cli.options import Json


def devices(json: Json = False) -> None:
    """Show every device that can be seen from here, ready or not.

    This machine, phones by adb, iPhones and iPads by Xcode on a Mac, and emulated Arm cores, which give numbers and no
    latency. A kind whose tool isn't installed shows none.
    """
    from dvfl_mobile.cli.progress import steps
    from dvfl_mobile.cli.show_profile import show_devices
    from dvfl_mobile.devices.base import found_devices

    with steps(quiet=True) as step, step("look for devices"):
        found = found_devices()
    show_devices(found, json=json)
