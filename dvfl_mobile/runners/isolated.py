"""An artifact in a child process: runtimes are C++ that isn't made for hostile files, and a crash ends the child alone.

A child is started for each artifact, and is held to limits of time and memory. It is no sandbox: what a file makes a
runtime *do*, the child may do. `docs/untrusted.md` says what this protects from and what it doesn't.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dvfl_mobile.manifest import Manifest
from dvfl_mobile.runners.limits import limits_for
from dvfl_mobile.runners.process import Child
from dvfl_mobile.runners.values import Facts, Logits, Pixels

_COMPILED = ("coreai", "coreml")
"""Targets whose runtimes compile a package into a temporary folder."""


class IsolatedRunner:
    """Runs one artifact in a child process, which ends with this object.

    Args:
        folder: the artifact's; its files are known to be those of the manifest.
        runtime: what runs it, as `runtime_of` knows it; None: its target's own.

    Raises:
        ArtifactError: the runtime can't load it, or the child crashed, took too long or needed too much memory.
        MissingDependencyError: the runtime isn't installed.
        UsageError: an environment variable that sets a limit holds no number.
    """

    def __init__(self, folder: Path, manifest: Manifest, runtime: str | None = None) -> None:
        self._deadline_s = limits_for(manifest.size_bytes).deadline_s
        self._child = Child(folder / manifest.file, writes=manifest.target in _COMPILED)
        self.facts: Facts = _opened(self._child, folder, manifest, runtime or manifest.target)

    def run(self, clips: Pixels) -> Logits:
        return np.stack([self._run_one(clip) for clip in clips])

    def time(self, clip: Pixels, warmup: int, runs: int) -> list[int]:
        # By the child's clock, around the runs alone: that the clip had to be sent doesn't show.
        question = {"do": "time", "warmup": warmup, "runs": runs}
        times = self._child.ask(question, self._deadline_s * max(1, warmup + runs), clip).document.get("times")
        if not isinstance(times, list) or len(times) != runs or not all(type(each) is int for each in times):
            raise self._child.nonsense("no time for each run")
        return times

    def close(self) -> None:
        """End the child now; otherwise it ends with this object."""
        self._child.close()

    def _run_one(self, clip: Pixels) -> Logits:
        logits = self._child.ask({"do": "run"}, self._deadline_s, clip[None]).array
        if logits.dtype != np.float32 or logits.ndim != 2 or len(logits) != 1:
            raise self._child.nonsense(f"{logits.dtype} of shape {logits.shape} for logits")
        return logits[0]


def _opened(child: Child, folder: Path, manifest: Manifest, runtime: str) -> Facts:
    """Have the child open the artifact; what its runner knows of itself."""
    limits = limits_for(manifest.size_bytes)
    child.prepare(runtime, limits)
    document = {"folder": str(folder), "manifest": manifest.model_dump(mode="json")}
    answer = child.ask({"do": "open", "memory_bytes": limits.memory_bytes, **document}, limits.deadline_s)
    facts = answer.document.get("facts")
    if not isinstance(facts, dict) or not all(isinstance(value, str | int | None) for value in facts.values()):
        raise child.nonsense("no facts")
    return facts
