"""The harness's app on a phone: copy files in, start it, copy files out."""

from __future__ import annotations

import secrets
import tempfile
from contextlib import suppress
from pathlib import Path

from dvfl_mobile.devices.ios import devicectl
from dvfl_mobile.devices.ios.options import AppOptions
from dvfl_mobile.errors import DeviceError

_FAMILY, _DOCUMENTS = "dvfl-", "Documents"
_REMOVE_S = 60.0


class HarnessApp:
    """One driver's dealings with the app; its files there all start with a name of its own.

    devicectl can't remove a file, so that every start has names that weren't there before: what an earlier start left
    is never taken for what this one wrote.
    """

    def __init__(self, udid: str, bundle: str) -> None:
        self._udid, self._bundle = udid, bundle
        self._driver = f"{_FAMILY}{secrets.token_hex(8)}"
        self._starts = 0
        self._holds_files = False

    def name(self, part: str) -> str:
        """The name there of a file of this driver."""
        return f"{self._driver}.{part}"

    def put(self, source: Path, part: str) -> None:
        """Copy a file there; the app itself checks its size and SHA-256 against the options."""
        self._holds_files = True
        devicectl.copy_to(self._udid, self._bundle, source, f"{_DOCUMENTS}/{self.name(part)}")

    def put_bytes(self, data: bytes, part: str) -> None:
        """As `put`, from memory."""
        with tempfile.TemporaryDirectory(prefix="dvfl-mobile-") as folder:
            path = Path(folder, self.name(part))
            path.write_bytes(data)
            self.put(path, part)

    def get(self, part: str, most_bytes: int) -> bytes:
        """The bytes of a file there.

        Raises:
            DeviceError: it isn't there, or is larger.
        """
        with tempfile.TemporaryDirectory(prefix="dvfl-mobile-") as folder:
            path = Path(folder, "file")
            devicectl.copy_from(self._udid, self._bundle, f"{_DOCUMENTS}/{self.name(part)}", path, most_bytes)
            size = path.stat().st_size
            if size > most_bytes:
                raise DeviceError(f"{self.name(part)} on {self._udid} has {size} bytes, and {most_bytes} are the most.")
            return path.read_bytes()

    def prepare(self, options: AppOptions) -> int:
        """Send the options of the next start; its number."""
        self._starts += 1
        self.put_bytes(options.encoded(), f"{self._starts}.options")
        return self._starts

    def start(self, number: int, seconds: float) -> None:
        """Have the app do what the options of this start say, and wait for its end.

        Raises:
            LateError: it didn't end in time.
            DeviceError: it can't be started.
        """
        devicectl.launch(self._udid, self._bundle, [self.name(str(number))], seconds)

    def remove(self) -> None:
        """Have the app remove this driver's files. Where it can't now, it does when it is asked a day later."""
        if self._holds_files:
            with suppress(DeviceError):
                self.start(self.prepare(AppOptions(mode="remove")), _REMOVE_S)
