"""The page of one session: served, shown to whoever opens it, and ended with all that was started for it."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from dvfl_mobile.devices.harness.protocol import Heard
from dvfl_mobile.devices.shipped import shipped_folder
from dvfl_mobile.devices.web.address import Address
from dvfl_mobile.devices.web.browser import Browser, the_browser
from dvfl_mobile.devices.web.cable import led_here
from dvfl_mobile.devices.web.certificate import Certificate
from dvfl_mobile.devices.web.hello import Hello
from dvfl_mobile.devices.web.invitation import invitation
from dvfl_mobile.devices.web.library import library_folder
from dvfl_mobile.devices.web.server import Server
from dvfl_mobile.devices.web.session import Session, Work

OWN_BROWSER_S, ANY_BROWSER_S = 60.0, 600.0


class Page:
    """A page in a browser: one of this machine's, without a window, or any that opens its address.

    Closed with the object that holds it, or with this process.

    Args:
        device: its name, for errors.
        address: where to serve it, for a browser that somebody opens; None: a browser here is started.
        webgpu: whether it is to have WebGPU.

    Attributes:
        hello: what it says of itself.

    Raises:
        DeviceError: no browser came, or the address's phone can't be reached.
        MissingDependencyError: there is no browser, or LiteRT.js can't be had; or adb.
    """

    def __init__(self, device: str, address: Address | None, *, webgpu: bool) -> None:
        program = the_browser() if address is None else None
        files = page_files()
        self._session = Session(device)
        certificate = Certificate(address.host) if address and not address.is_loopback else None
        where = address or Address("127.0.0.1")
        server = Server(self._session, files, where.host, where.port, certificate.context if certificate else None)
        self._browser: Browser | None = None
        closing: list[Callable[[], None]] = [server.close, lambda: self._session.close("All is done. Close this page.")]
        self._close = weakref.finalize(self, _end, closing)
        try:
            if program is None:
                cable = ExitStack()
                closing.append(cable.close)
                phone = cable.enter_context(led_here(where, server.port))
                sys.stderr.write(invitation(server.address, server.port, certificate, phone))
                sys.stderr.flush()
            else:
                self._browser = Browser(program, server.address, webgpu=webgpu, software=not _has_gpu())
                closing.append(self._browser.close)
            self.hello: Hello = self._session.hello(OWN_BROWSER_S if program else ANY_BROWSER_S, self._problem)
        except BaseException:
            self._close()
            raise

    @property
    def is_of_this_machine(self) -> bool:
        """Whether the browser was started here."""
        return self._browser is not None

    def perform(self, work: Work, idle_s: float) -> tuple[Heard, bytes]:
        """See `Session.perform`."""
        return self._session.perform(work, idle_s, self._problem)

    def close(self) -> None:
        """End the session, the server and the browser."""
        self._close()

    def _problem(self) -> str:
        return self._browser.problem() if self._browser is not None else ""


def page_files() -> dict[str, Path]:
    """What is served, by its name: the page's own files, and LiteRT.js's.

    Raises:
        DeviceError: the page's aren't where they belong.
        MissingDependencyError: LiteRT.js can't be had.
    """
    folders = (page_folder(), library_folder())
    return {path.name: path for folder in folders for path in folder.iterdir() if path.is_file()}


def page_folder() -> Path:
    """Where the page's files are: in the installed package, or beside it in a checkout.

    Raises:
        DeviceError: they are in neither.
    """
    return shipped_folder("web_harness/page", "index.html", "The page for browsers isn't where it belongs")


def _has_gpu() -> bool:
    """Whether this machine has a GPU that a browser could compute on."""
    return sys.platform != "linux" or any(Path("/dev/dri").glob("renderD*"))


def _end(closing: list[Callable[[], None]]) -> None:
    while closing:
        closing.pop()()
