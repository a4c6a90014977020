"""A place where nothing runs any more: it answers with what was recorded on the phone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from dvfl_mobile.devices.harness.options import LOG, OPTIONS, OUTPUT
from dvfl_mobile.devices.harness.place import status_of
from dvfl_mobile.devices.kit.results import Results, Start
from dvfl_mobile.errors import DeviceError

_HINT = "Ask for what the kit was made with: the same artifact, clips and options."


class RecordedPlace:
    """Plays starts of programs from a kit's results, each once, in their order, to whoever asks for the very same.

    What is put there is known by its options, which hold the hashes of model and input.

    Attributes:
        last: the start that was played last; None before the first.
    """

    def __init__(self, results: Results) -> None:
        self._results, self._left = results, list(results.starts)
        self._options = b""
        self.last: Start | None = None

    def put(self, source: Path, name: str, *, executable: bool = False) -> None:  # noqa: ARG002
        """Take the options of the next start; all else is on the phone already, by its hash."""
        if name == OPTIONS:
            self._options = source.read_bytes()

    def run(
        self,
        program: str,
        arguments: tuple[str, ...],  # noqa: ARG002
        seconds: float,  # noqa: ARG002
        on_line: Callable[[str], None],
        starter: tuple[str, ...] = (),  # noqa: ARG002
    ) -> int:
        """Play what the phone recorded of this start.

        Raises:
            DeviceError: it recorded none, or no other.
        """
        for start in self._left:
            if (start.program, start.options) == (program, self._options):
                self._left.remove(start)
                self.last = start
                for line in start.lines:
                    on_line(line)
                return status_of(start.status)
        raise DeviceError(f"{self._results.name} holds no such run.", hint=_HINT)

    def get(self, name: str, most_bytes: int) -> bytes:
        """What the last start wrote.

        Raises:
            DeviceError: it didn't write that, or more.
        """
        written = {OUTPUT: self.last.output, LOG: self.last.log} if self.last else {}
        data = written.get(name)
        if data is None or len(data) > most_bytes:
            raise DeviceError(f"{self._results.name} holds no {name} of that run.", hint=_HINT)
        return data

    def remove(self, name: str) -> None:
        """Nothing: it is the phone's."""
