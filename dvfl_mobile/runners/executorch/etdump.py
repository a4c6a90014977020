"""Read ETDump, ExecuTorch's record of a run: time by operator, XNNPACK's included."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from statistics import median
from typing import NamedTuple

from dvfl_mobile.errors import DeviceError, needs

MOST_OPERATORS = 20_000
_BLOCK = "Execute"
_SPANNING = ("DELEGATE_CALL", "Method::execute")
_COUNTED = re.compile(r" #\d+$")
_NS_PER_MS = 1e6


class TracedOperator(NamedTuple):
    """One operator: its name, whether a delegate ran it, and the median of its times."""

    name: str
    delegated: bool
    duration_ns: int


def read_operators(record: bytes) -> list[TracedOperator]:
    """The operators of a record, in the order in which they ran.

    Raises:
        DeviceError: it is no record of runs.
        MissingDependencyError: ExecuTorch, which reads it, isn't installed.
    """
    with needs("executorch", extra="executorch", why="to read its record of operators"):
        from executorch.devtools import Inspector
    with tempfile.TemporaryDirectory(prefix="dvfl-mobile-") as folder:
        path = Path(folder, "record.etdump")
        path.write_bytes(record)
        try:
            blocks = Inspector(etdump_path=str(path)).event_blocks
            events = [event for block in blocks if block.name == _BLOCK for event in block.events]
            found = [_operator(event) for event in events if event.name not in _SPANNING]
        except Exception as error:  # It names none that a damaged file gives.
            raise DeviceError(f"ExecuTorch's record of operators can't be read: {error}.") from error
    if not found or len(found) > MOST_OPERATORS:
        raise DeviceError(f"ExecuTorch's record tells of {len(found)} operators.", hint="Run it again.")
    return found


def _operator(event: object) -> TracedOperator:
    times_ms = event.perf_data.raw  # type: ignore[attr-defined]
    name = _COUNTED.sub("", event.name)  # type: ignore[attr-defined]
    return TracedOperator(name, bool(event.is_delegated_op), round(median(times_ms) * _NS_PER_MS))  # type: ignore[attr-defined]
