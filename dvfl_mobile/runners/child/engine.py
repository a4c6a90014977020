"""What computes in a child process where that isn't the CPU: its settings, its drivers, its limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from dvfl_mobile.artifacts.manifest import Manifest
from dvfl_mobile.runners.child.limits import Limits, limits_for


@dataclass(frozen=True)
class Engine:
    """What computes in a child process, where that isn't the CPU.

    Attributes:
        settings: what the runtime's `open_artifact` takes beside the path and the manifest, by name; strings.
        environment: variables that the child gets, by which its libraries find their drivers.
        slowness: how many times longer than on a CPU everything may take.
        keeps_memory_in_files: whether its driver takes memory as a file without a name, which then may be as large.
    """

    settings: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    slowness: float = 1.0
    keeps_memory_in_files: bool = False

    def limits_for(self, manifest: Manifest) -> Limits:
        """What a child is held to with an artifact on it."""
        limits = limits_for(manifest.size_bytes, self.slowness)
        return replace(limits, written_bytes=limits.memory_bytes) if self.keeps_memory_in_files else limits
