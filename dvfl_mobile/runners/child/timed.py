"""Timed runs in a child: start, duration, and peak memory."""

from __future__ import annotations

import platform
import resource
import time
from pathlib import Path
from typing import NamedTuple


class Timed(NamedTuple):
    """Runs, one after the other without a pause.

    Attributes:
        started_ns: when each began, by the monotonic clock.
        peak_memory_bytes: the most that the process has had resident; None where the system doesn't tell.
    """

    started_ns: tuple[int, ...]
    duration_ns: tuple[int, ...]
    peak_memory_bytes: int | None


def timed_ending_now(durations_ns: list[int]) -> Timed:
    """Runs that have just ended, with when each began: they follow each other, so that the end tells the beginnings."""
    start = time.perf_counter_ns() - sum(durations_ns)
    started = []
    for duration in durations_ns:
        started.append(start)
        start += duration
    return Timed(tuple(started), tuple(durations_ns), peak_memory_bytes())


def peak_memory_bytes() -> int | None:
    """The most that this process has had resident."""
    if platform.system() == "Linux":
        # Not getrusage's, which a process takes over from the one that started it.
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
        return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), None)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss if platform.system() == "Darwin" else None
