"""The Place protocol: a private folder where native programs run, with file transfer and process control."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol


class Place(Protocol):
    """A private folder on a machine; the program's working directory. Names in it are fixed, and hold no slash.

    Every method has a deadline, and raises DeviceError when it passes or when the machine doesn't do what it was asked.
    """

    def put(self, source: Path, name: str, *, executable: bool = False) -> None:
        """Copy a file there under `name`: whole, its size and sha256 checked on the machine, or not at all."""

    def run(
        self,
        program: str,
        arguments: tuple[str, ...],
        seconds: float,
        on_line: Callable[[str], None],
        starter: tuple[str, ...] = (),
    ) -> int:
        """Run a program of the folder there, to its end; each line of its stdout goes to `on_line` as it comes.

        Args:
            starter: another program of the folder, and its arguments, that starts this one, as `Bundle.starter`.

        Returns:
            Its exit status, negative for a signal. The caller doesn't trust it: only an `end` line says all went well.
        """

    def get(self, name: str, most_bytes: int) -> bytes:
        """The bytes of a file there.

        Raises:
            DeviceError: it isn't there, or is larger.
        """

    def remove(self, name: str) -> None:
        """Remove a file there; nothing happens if it is gone."""


def status_of(said: int) -> int:
    """An exit status, negative for a signal, of what a phone's shell says: more than 128 for a signal."""
    return said if said <= 128 else 128 - said
