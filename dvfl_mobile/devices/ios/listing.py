"""Parse the answer of `devicectl list devices`, in any known version of its JSON.

Up to version 4 a device holds `hardwareProperties`, `deviceProperties` and `connectionProperties`. Version 5, Xcode
27's, has them still, calls them deprecated, and holds the same in `properties`, under other names. The new ones count
where both are there. Since Xcode 27 the list has simulators too.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

_PLACES = MappingProxyType(
    {
        "udid": ("properties.hardware.udid", "hardwareProperties.udid"),
        "name": ("properties.state.name", "deviceProperties.name"),
        "marketing": ("properties.hardware.marketingName", "hardwareProperties.marketingName"),
        "product": ("properties.hardware.productType", "hardwareProperties.productType"),
        "platform": ("properties.hardware.platform", "hardwareProperties.platform"),
        "reality": ("properties.hardware.reality", "hardwareProperties.reality"),
        "system": ("properties.software.osVersionNumber.stringValue", "deviceProperties.osVersionNumber"),
        "pairing": ("properties.connection.pairingState", "connectionProperties.pairingState"),
        "connection": ("properties.connection.state", "connectionProperties.tunnelState"),
        "developer": ("properties.state.developerModeStatus", "deviceProperties.developerModeStatus"),
    }
)
"""Where each thing stands: in version 5, and before it."""

_STATUSES = (
    ("unpaired", "Connect it by cable, unlock it, and trust this Mac on it."),
    ("developer mode off", "Turn it on, on the phone: Settings, Privacy & Security, Developer Mode."),
    ("unavailable", "Connect it by cable, or bring it into the network of this Mac, and unlock it."),
)


@dataclass(frozen=True)
class ListedDevice:
    """A device as Xcode knows it; text is empty where it is unknown.

    Attributes:
        identifier: CoreDevice's own; devicectl takes it and the UDID alike.
        model: what is printed on it, such as `iPhone 16 Pro`; else its product type, such as `iPhone17,1`.
        system: such as `iOS 18.2`.
        connection: `connected`, `disconnected` or `unavailable`; one that can be had on demand is `disconnected`.
    """

    identifier: str
    udid: str
    name: str
    model: str
    platform: str
    system: str
    is_simulated: bool
    pairing: str
    connection: str
    developer_mode: str

    @property
    def is_phone(self) -> bool:
        """Whether it is an iPhone or iPad, and no simulator, whose times would be the Mac's."""
        return self.platform in ("iOS", "iPadOS") and not self.is_simulated

    @property
    def status(self) -> tuple[str, str]:
        """`ready`, or what keeps it from being used; and what to do about it."""
        unpaired, no_developer, unavailable = _STATUSES
        if self.pairing not in ("", "paired"):
            return unpaired
        if self.developer_mode == "disabled":
            return no_developer
        return unavailable if self.connection == "unavailable" else ("ready", "")


def listed_devices(result: Any) -> tuple[ListedDevice, ...] | None:
    """The devices in devicectl's `result`; None where that holds no list of devices that could be understood."""
    entries = result.get("devices") if isinstance(result, dict) else None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        return None
    devices = tuple(_device(entry) for entry in entries)
    # An entry without any name to ask for it by: the format is another than the known ones.
    return None if any(not device.udid for device in devices) else devices


def _device(entry: dict[str, Any]) -> ListedDevice:
    known = {name: _first(entry, places) for name, places in _PLACES.items()}
    identifier = _word(entry.get("identifier"))
    platform = known["platform"]
    return ListedDevice(
        identifier=identifier,
        # Left out for some older devices; devicectl takes the other as well.
        udid=known["udid"] or identifier,
        name=known["name"],
        model=known["marketing"] or known["product"] or known["name"],
        platform=platform,
        system=f"{platform} {known['system']}".strip(),
        is_simulated=known["reality"] not in ("", "physical"),
        pairing=known["pairing"],
        connection=known["connection"],
        developer_mode=known["developer"],
    )


def _first(entry: dict[str, Any], places: tuple[str, ...]) -> str:
    return next((word for place in places if (word := _word(_at(entry, place)))), "")


def _at(entry: Any, place: str) -> Any:
    for key in place.split("."):
        entry = entry.get(key) if isinstance(entry, dict) else None
    return entry


def _word(value: Any) -> str:
    """A text, or the one key of an object: version 5 writes `{"enabled": {"mode": 1}}` where it was `"enabled"`."""
    if isinstance(value, dict) and len(value) == 1:
        value = next(iter(value))
    return value if isinstance(value, str) else ""
