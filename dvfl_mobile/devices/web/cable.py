"""An Android phone on a cable, which has the page as one of its own machine's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from dvfl_mobile.devices.android.device import reached
from dvfl_mobile.devices.web.address import Address


@contextmanager
def led_here(where: Address, port: int) -> Iterator[str]:
    """Have a port of the address's phone lead to that port of this machine; gives its name, empty where there is none.

    Raises:
        DeviceError: the phone isn't there, isn't ready, or its port can't be led here.
        MissingDependencyError: adb isn't installed.
        UsageError: several are ready, and none is named.
    """
    if where.phone is None:
        yield ""
        return
    adb = reached(where.phone)
    with adb.port_from_there(port):
        yield adb.name
