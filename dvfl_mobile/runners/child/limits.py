"""Time and memory limits of the child process, from the size of the artifact's files.

The defaults are far from what an honest artifact needs. What the nano took (88.8 MB, 8x224x224, 2 cores) is written in
`docs/untrusted.md`.
"""

from __future__ import annotations

import math
import os
import resource
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dvfl_mobile.errors import UsageError

DEADLINE_VARIABLE = "DVFL_MOBILE_DEADLINE_S"
MEMORY_VARIABLE = "DVFL_MOBILE_MEMORY_MIB"

MIB = 2**20
DEADLINE_S, DEADLINE_S_PER_MIB = 120, 1
MEMORY_MIB, MEMORY_PER_BYTE, MEMORY_MIB_PER_CORE = 2048, 8, 128
WRITTEN_MIB, WRITTEN_PER_BYTE = 64, 2
TRACED_PER_CLIP_BYTE = 2048
"""More memory for a trace, which keeps every value on the way: the nano's take 890 bytes for each of its clip."""

DEADLINE_HINT = (
    "The file is damaged, or made to never end, or this machine is very slow. If you trust the file, give it more "
    f"seconds with {DEADLINE_VARIABLE}."
)
MEMORY_HINT = f"The file is damaged, or made to take memory. If you trust it, give it more MiB with {MEMORY_VARIABLE}."


@dataclass(frozen=True)
class Limits:
    """What a child is held to.

    Attributes:
        deadline_s: seconds for loading the artifact, and for each run of it.
        memory_bytes: address space beyond what the child has mapped once its runtime is imported.
        written_bytes: the largest that a file may grow to by what the child writes.
    """

    deadline_s: float
    memory_bytes: int
    written_bytes: int


def limits_for(size_bytes: int, slowness: float = 1.0) -> Limits:
    """The limits for an artifact whose files have so many bytes, or what the environment says in their place.

    Args:
        slowness: how many times the usual seconds it may take.

    Raises:
        UsageError: an environment variable holds no number above zero.
    """
    memory = MEMORY_MIB * MIB + MEMORY_PER_BYTE * size_bytes + MEMORY_MIB_PER_CORE * MIB * (os.cpu_count() or 1)
    deadline, asked_mib = _asked(DEADLINE_VARIABLE), _asked(MEMORY_VARIABLE)
    return Limits(
        deadline_s=(DEADLINE_S + DEADLINE_S_PER_MIB * size_bytes / MIB) * slowness if deadline is None else deadline,
        memory_bytes=memory if asked_mib is None else int(asked_mib * MIB),
        written_bytes=WRITTEN_MIB * MIB + WRITTEN_PER_BYTE * size_bytes,
    )


def limit_files(written_bytes: int) -> None:
    """Let this process leave no core dump, and write no file beyond so many bytes."""
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_FSIZE, written_bytes)


def limit_memory(more_bytes: int) -> None:
    """Let this process map so many bytes more than it has; does nothing where the system can't count them."""
    # macOS takes the call and never holds anyone to it.
    if sys.platform == "linux":
        _lower(resource.RLIMIT_AS, _mapped_bytes("VmSize") + more_bytes)


def spare_bytes() -> int | None:
    """How many bytes less than it may this process has mapped, at its worst; None where nothing limits it."""
    most = resource.getrlimit(resource.RLIMIT_AS)[0] if sys.platform == "linux" else resource.RLIM_INFINITY
    return None if most == resource.RLIM_INFINITY else most - _mapped_bytes("VmPeak")


def limit_cpu(more_s: float) -> None:
    """Let this process compute for so many seconds more, over all its threads: for when nobody watches the clock."""
    seconds = math.ceil(time.process_time() + more_s * (os.cpu_count() or 1))
    with suppress(ValueError, OSError):
        _, hard = resource.getrlimit(resource.RLIMIT_CPU)
        # The soft limit alone: it has to be raised again for the next run.
        resource.setrlimit(resource.RLIMIT_CPU, (_least(seconds, hard), hard))


def _lower(kind: int, most: int) -> None:
    with suppress(ValueError, OSError):
        soft, hard = resource.getrlimit(kind)
        resource.setrlimit(kind, (_least(most, soft), _least(most, hard)))


def _mapped_bytes(name: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def _least(most: int, other: int) -> int:
    return most if other == resource.RLIM_INFINITY else min(most, other)


def _asked(variable: str) -> float | None:
    text = os.environ.get(variable, "")
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise UsageError(f"{variable} is {text!r}, which is no number above zero.", hint="Correct it, or unset it.")
    return value
