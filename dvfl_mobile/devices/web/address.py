"""Where a page is served: an address of this machine, and a port."""

from __future__ import annotations

import ipaddress
import re
import socket
from contextlib import suppress
from dataclasses import dataclass

from dvfl_mobile.errors import UsageError
from dvfl_mobile.spelling import option

_PHONE = "android:"


@dataclass(frozen=True)
class Address:
    """An IP address of this machine.

    Attributes:
        port: 0: one that is free.
        phone: serial number of an Android phone whose port is to lead there; None: none.
    """

    host: str
    port: int = 0
    phone: str | None = None

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches it."""
        return ipaddress.ip_address(self.host).is_loopback


def address_of(text: str) -> Address:
    """`192.168.1.5`, `192.168.1.5:8443`, `[fd00::1]:8443`, a name of this machine's, or `android:SERIAL`.

    Raises:
        UsageError: it is none of these, or every address at once.
    """
    if text.startswith(_PHONE):
        return Address("127.0.0.1", phone=text.removeprefix(_PHONE))
    found = re.fullmatch(r"(?:\[([^\]]+)\]|([^:]+)|([^\]]*:[^\]]*:[^\]]*?))(?::(\d{1,5}))?", text)
    host = next((part for part in found.groups()[:3] if part), "") if found else ""
    port = int(found[4] or 0) if found else 0
    with suppress(OSError, ValueError, UnicodeError):
        known = ipaddress.ip_address(socket.getaddrinfo(host, None)[0][4][0])
        if host and not known.is_unspecified and port < 2**16:
            return Address(str(known), port)
    raise UsageError(
        f"{option('address', text)} is no address of this machine.",
        hint="Give one such as 192.168.1.5, that the phone reaches, or 127.0.0.1; with a port, such as 127.0.0.1:8080.",
    )
