"""What a page says of its browser, and the facts of a device that come of it."""

from __future__ import annotations

import re

from pydantic import Field

from dvfl_mobile.devices.values import Core, DeviceFacts, DeviceKind
from dvfl_mobile.documents import Document, Line

_SOFTWARE = ("swiftshader", "llvmpipe", "lavapipe", "warp", "basic render")
_BROWSERS = (
    ("Edg/", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Version/", "Safari"),
)
_SYSTEMS = (
    (r"Android [\d.]+", "{}"),
    (r"(?:iPhone )?OS ([\d_]+) like Mac OS X", "iOS {}"),
    (r"Mac OS X ([\d_.]+)", "macOS"),
    (r"Windows", "Windows"),
    (r"CrOS", "ChromeOS"),
    (r"Linux", "Linux"),
)


class Adapter(Document):
    """A GPU that a page can compute on, in its own words.

    Attributes:
        fallback: the browser calls it a CPU in a GPU's place.
        half: whether shaders may compute in half precision; without it values are only kept in it between them.
    """

    vendor: Line = Field(max_length=512)
    architecture: Line = Field(max_length=512)
    description: Line = Field(max_length=512)
    fallback: bool
    half: bool

    @property
    def is_software(self) -> bool:
        """Whether a CPU plays it, so that its times say nothing."""
        words = f"{self.vendor} {self.architecture} {self.description}".lower()
        return self.fallback or any(word in words for word in _SOFTWARE)

    @property
    def name(self) -> str:
        """`swiftshader (google)`; some browsers keep it to themselves."""
        first = self.description or self.architecture
        return f"{first} ({self.vendor})" if first and self.vendor else first or self.vendor or "an unnamed GPU"


class Hello(Document):
    """The first that a page says.

    Attributes:
        page: the same each time that one page is loaded; another's is another.
        isolated: whether it may have threads.
        adapter: None: WebGPU isn't there.
    """

    page: str = Field(pattern="^[0-9a-f]{32}$")
    agent: Line = Field(max_length=4096)
    platform: Line = Field(max_length=512)
    cores: int = Field(ge=1, le=4096)
    memory_mib: int | None = Field(default=None, ge=1, le=2**24)
    isolated: bool
    adapter: Adapter | None

    @property
    def about(self) -> tuple[object, ...]:
        """What can't differ between two loads of one page."""
        return self.agent, self.cores, self.isolated, self.adapter


def facts_of(hello: Hello, device: str, precision: str | None) -> DeviceFacts:
    """The facts of a browser as a device.

    Args:
        device: its name.
        precision: what WebGPU is asked to compute in, `fp16` or `fp32`; None: WebAssembly computes.
    """
    adapter = hello.adapter if precision is not None else None
    kind: DeviceKind = "emulated" if adapter is not None and adapter.is_software else "physical"
    browser = browser_of(hello.agent)
    return DeviceFacts(
        device=device,
        kind=kind,
        model=f"{adapter.name} in {browser}" if adapter is not None else browser,
        system=_system_of(hello),
        abi="wasm32",
        cores=tuple(Core(number=number) for number in range(hello.cores)),
        memory_bytes=None if hello.memory_mib is None else hello.memory_mib * 2**20,
        computes_in="float16" if precision == "fp16" else None,
    )


def browser_of(agent: str) -> str:
    """`Chrome 156`, of what a browser calls itself."""
    for mark, name in _BROWSERS:
        found = re.search(re.escape(mark) + r"(\d+(?:\.\d+)?)", agent)
        if found:
            return f"{name} {found[1].removesuffix('.0')}"
    return "a browser"


def _system_of(hello: Hello) -> str:
    for pattern, name in _SYSTEMS:
        found = re.search(pattern, hello.agent)
        if found:
            return name.format(found[found.lastindex or 0].replace("_", "."))
    return hello.platform or "unknown"
