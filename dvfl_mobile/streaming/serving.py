"""The live page, served to browsers that somebody opens."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dvfl_mobile.artifacts.make import Artifact
from dvfl_mobile.devices.web.address import Address
from dvfl_mobile.devices.web.cable import led_here
from dvfl_mobile.devices.web.certificate import Certificate
from dvfl_mobile.devices.web.invitation import invitation
from dvfl_mobile.devices.web.server import Server
from dvfl_mobile.progress import Step, silent
from dvfl_mobile.streaming.policy import Policy
from dvfl_mobile.streaming.site import make_site


@dataclass(frozen=True)
class Served:
    """A page that can be opened.

    Attributes:
        address: secret and all.
        fingerprint: SHA-256 of its certificate; None where it isn't encrypted.
        invitation: lines for a terminal, with the address as text, and as a QR code for a phone.
    """

    address: str
    fingerprint: str | None
    invitation: str


@contextmanager
def served(artifact: Artifact, policy: Policy, where: Address, step: Step = silent) -> Iterator[Served]:
    """Serve the live page for an artifact until the block ends; any number of browsers may open it.

    Raises:
        DeviceError: nothing can be served there.
    And what `make_site` and `led_here` do.
    """
    with tempfile.TemporaryDirectory(prefix="dvfl-mobile-") as folder:
        site = make_site(artifact, Path(folder), policy, offline=False, step=step)
        certificate = None if where.is_loopback else Certificate(where.host)
        files = {name: site.folder / name for name in site.files}
        server = Server(None, files, where.host, where.port, certificate.context if certificate else None)
        try:
            with led_here(where, server.port) as phone:
                yield Served(
                    server.address,
                    certificate.fingerprint if certificate else None,
                    invitation(server.address, server.port, certificate, phone),
                )
        finally:
            server.close()
