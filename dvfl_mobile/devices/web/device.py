"""A browser as a device: `web` computes by WebAssembly, `web:webgpu` on WebGPU.

Its time is a browser's, not a native program's: what an app of its own would take on the same device is less.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from dvfl_mobile.artifacts.manifest import Manifest
from dvfl_mobile.devices.host_state import host_state
from dvfl_mobile.devices.values import GPU_PRECISIONS, DeviceFacts, DeviceState, FoundDevice
from dvfl_mobile.devices.vulkan import SLOWNESS
from dvfl_mobile.devices.web.address import Address, address_of
from dvfl_mobile.devices.web.browser import find_browser, version_of
from dvfl_mobile.devices.web.hello import facts_of
from dvfl_mobile.devices.web.place import Page
from dvfl_mobile.devices.web.runner import WebRunner
from dvfl_mobile.errors import DeviceError, MissingDriverError, UsageError
from dvfl_mobile.spelling import option

_KIND, _WEBGPU = "web", "webgpu"
_ENGINES: dict[str, str | None] = {"": None, _WEBGPU: "fp16", **{f"{_WEBGPU}-{name}": name for name in GPU_PRECISIONS}}


class Web:
    """A browser that has opened the page.

    Args:
        engine: `webgpu`, `webgpu-fp32`; empty: WebAssembly.
        address: where to serve the page, for any browser that opens it; None: a browser of this machine is started.

    Raises:
        DeviceError: no browser came, or it has no WebGPU where that is asked for.
        MissingDependencyError: there is no browser, or LiteRT.js can't be had.
    """

    times_operators = False

    def __init__(self, engine: str, address: Address | None) -> None:
        self._precision = _ENGINES[engine]
        name = f"{_KIND}:{engine}" if engine else _KIND
        self._page = Page(name, address, webgpu=self._precision is not None)
        hello = self._page.hello
        if self._precision is not None and hello.adapter is None:
            self._page.close()
            raise DeviceError(
                f"The browser that opened the page of {name} has no WebGPU.",
                hint="Newer releases of all browsers have it, on some systems only. Without it: "
                f"{option('device', _KIND)}.",
            )
        self.facts: DeviceFacts = facts_of(hello, name, self._precision)
        self.identity: str = name

    def state(self) -> DeviceState:
        """This machine's, where the browser is of it; another's can't be seen from a page."""
        return host_state() if self._page.is_of_this_machine else DeviceState()

    @contextmanager
    def open(self, folder: Path, manifest: Manifest) -> Iterator[WebRunner]:
        """The artifact in `folder`, in the page; see `WebRunner` for what it raises."""
        slowness = SLOWNESS if self.facts.kind == "emulated" else 1.0
        yield WebRunner(self._page, folder, manifest, self.facts, self._precision, slowness)

    def close(self) -> None:
        """End the page, and the browser that was started for it; this process's end does it too."""
        self._page.close()


def find(argument: str) -> Web:
    """The browser of `webgpu`, `@ADDRESS`, `webgpu@ADDRESS`, or nothing at all. Raises what `Web` does.

    Raises:
        UsageError: there is no such.
    """
    engine, at, where = argument.partition("@")
    if engine not in _ENGINES:
        raise UsageError(
            f"There is no device '{_KIND}:{argument}'.",
            hint=f"It is {', '.join(f'{_KIND}:{name}' if name else _KIND for name in _ENGINES)}.",
        )
    return Web(engine, address_of(where) if at else None)


def at_address(name: str | None, address: str) -> str:
    """The name of a browser device whose page is served at an address: `web:@127.0.0.1`, `web:webgpu@192.168.1.5`.

    Raises:
        UsageError: the device is no browser.
    """
    kind, _, engine = (name or "").partition(":")
    if kind != _KIND:
        raise UsageError(
            f"An address is of a browser's page, and {name} is none.", hint=f"Add {option('device', _KIND)}."
        )
    return f"{_KIND}:{engine}@{address}"


def found() -> Sequence[FoundDevice]:
    """A browser of this machine; any other can open the page too."""
    try:
        browser = find_browser()
    except MissingDriverError as error:
        return [FoundDevice(device=_KIND, kind="physical", model="", status="missing", hint=error.problem)]
    if browser is None:
        return ()
    return [FoundDevice(device=_KIND, kind="physical", model=version_of(browser), status="ready")]
