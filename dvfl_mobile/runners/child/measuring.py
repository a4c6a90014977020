"""Set up a child for measurement: CPU affinity, threads, and load time."""

from __future__ import annotations

import importlib
import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from dvfl_mobile.artifacts.manifest import Manifest
from dvfl_mobile.errors import UsageError
from dvfl_mobile.runners.base import Runner, Runtime
from dvfl_mobile.spelling import option


class _Threaded(Protocol):
    def open_artifact(self, path: Path, manifest: Manifest, threads: int | None) -> Runner: ...


def open_measured(
    runtime: Runtime,
    threaded: str | None,
    path: Path,
    manifest: Manifest,
    threads: int | None,
    cores: tuple[int, ...],
) -> tuple[Runner, int]:
    """A runner on those cores with so many threads, and the nanoseconds that loading took.

    Args:
        threaded: the module that opens it with a number of threads; None: its runtime chooses its own.
        threads: None: the runtime's own choice.
        cores: their numbers; empty: the system chooses.

    Raises:
        UsageError: the runtime doesn't take them, or there are no such cores.
    """
    hold_to_cores(cores)
    if threaded is not None:
        opener: _Threaded = importlib.import_module(threaded)
        start = time.perf_counter_ns()
        return opener.open_artifact(path, manifest, threads), time.perf_counter_ns() - start
    if threads is not None:
        raise UsageError(
            f"The runtime of {manifest.target} chooses its own threads here.", hint=f"Leave {option('threads')} out."
        )
    start = time.perf_counter_ns()
    return runtime.open_artifact(path, manifest), time.perf_counter_ns() - start


def hold_to_cores(cores: tuple[int, ...]) -> None:
    """Let this process, all its threads and those to come, run on those cores only; nothing for none.

    Raises:
        UsageError: there are no such cores, or the system takes no choice.
    """
    if not cores:
        return
    if not hasattr(os, "sched_setaffinity"):
        raise UsageError(
            f"{sys.platform} doesn't let a program choose its cores.", hint=f"Leave {option('cores')} out."
        )
    there = os.sched_getaffinity(0)
    if not there.issuperset(cores):
        missing = ",".join(str(core) for core in cores if core not in there)
        raise UsageError(
            f"This machine has no core {missing} for this process to run on.",
            hint=f"Choose from {','.join(map(str, sorted(there)))}.",
        )
    for thread in Path("/proc/self/task").iterdir():
        with suppress(ProcessLookupError):
            os.sched_setaffinity(int(thread.name), cores)
