"""Lines of a remote shell as they arrive, up to the marker that ends its script."""

from __future__ import annotations

from collections.abc import Callable

MOST_LINE_BYTES = 2**20


class Lines:
    """Cuts bytes into lines, up to the last: `MARKER STATUS`, after a line feed of its own, is none of the script's.

    Args:
        on_line: is given each line, without its end. What isn't UTF-8 in it is replaced.
    """

    def __init__(self, marker: str, on_line: Callable[[str], None]) -> None:
        self._marker, self._on_line = marker.encode("ascii") + b" ", on_line
        self._rest = bytearray()
        self._held_empty = False
        self._status: int | None = None

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        first, *others = data.split(b"\n")
        self._rest += first
        for line in others:
            self._take(bytes(self._rest))
            self._rest[:] = line
        # A line without an end would be kept for ever; what is over is given as it stands, and is no line of anyone's.
        if len(self._rest) > MOST_LINE_BYTES:
            self._take(bytes(self._rest))
            self._rest.clear()

    def status(self) -> int | None:
        """The script's exit status, 128 and more for a signal; None: the end of it never came."""
        return self._status

    def has_ended(self) -> bool:
        """Whether the last line has come."""
        return self._status is not None

    def _take(self, line: bytes) -> None:
        # Devices before Android 7 give their shell a terminal, which ends lines in its own way.
        line = line.removesuffix(b"\r")
        if line.startswith(self._marker) and line[len(self._marker) :].isdigit():
            # The empty line that is held is the marker's own, and ends what the script left without an end.
            self._held_empty = False
            self._status = int(line[len(self._marker) :])
            return
        if self._held_empty:
            self._on_line("")
        self._held_empty = not line
        if line:
            self._on_line(line.decode("utf-8", errors="replace"))
