"""A runner in a child process: a crash of the runtime, on a hostile file too, ends the child alone.

A child is started for each artifact, and is held to limits of time and memory. It is no sandbox: what a file makes a
runtime *do*, the child may do. `docs/untrusted.md` says what this protects from and what it doesn't.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from dvfl_mobile.artifacts.manifest import Manifest
from dvfl_mobile.runners.child.engine import Engine
from dvfl_mobile.runners.child.frames import Document
from dvfl_mobile.runners.child.limits import Limits
from dvfl_mobile.runners.child.process import Child
from dvfl_mobile.runners.child.timed import Timed
from dvfl_mobile.runners.values import Facts, Logits, Pixels
from dvfl_mobile.targets import target_named


class IsolatedRunner:
    """Runs one artifact in a child process, which ends with this object.

    Args:
        folder: the artifact's; its files are known to be those of the manifest.
        runtime: the module that runs it, as `runtime_of` takes it; None: its target's own.
        how: what else the child needs when it opens it.
        engine: what computes, where that isn't the CPU.

    Raises:
        ArtifactError: the runtime can't load it, or the child crashed, took too long or needed too much memory.
        MissingDependencyError: the runtime isn't installed.
        UsageError: an environment variable that sets a limit holds no number.
    """

    def __init__(
        self,
        folder: Path,
        manifest: Manifest,
        runtime: str | None = None,
        how: Document | None = None,
        engine: Engine | None = None,
    ) -> None:
        target = target_named(manifest.target)
        engine = engine or Engine(slowness=target.slowness)
        limits = engine.limits_for(manifest)
        self._deadline_s = limits.deadline_s
        self._child = Child(folder / manifest.file, writes=target.compiles, environment=engine.environment)
        how = (how or {}) | {"settings": dict(engine.settings)}
        self._opened = _opened(self._child, folder, manifest, runtime or target.runner, how, limits)
        self.facts: Facts = _facts(self._child, self._opened)

    def run(self, clips: Pixels) -> Logits:
        return np.stack([self._run_one(clip) for clip in clips])

    def time(self, clip: Pixels, warmup: int, runs: int) -> list[int]:
        return list(self._time(clip, warmup, runs).duration_ns)

    def timed(self, clip: Pixels, runs: int) -> Timed:
        """Run one clip, `(T,3,H,W)`, again and again, from the very first run on."""
        return self._time(clip, 0, runs)

    def close(self) -> None:
        """End the child now; otherwise it ends with this object."""
        self._child.close()

    def _time(self, clip: Pixels, warmup: int, runs: int) -> Timed:
        # By the child's clock, around the runs alone: that the clip had to be sent doesn't show.
        question = {"do": "time", "warmup": warmup, "runs": runs}
        answer = self._child.ask(question, self._deadline_s * max(1, warmup + runs), clip).document
        started, durations = (_times(answer.get(name), runs) for name in ("started_ns", "duration_ns"))
        peak = answer.get("peak_memory_bytes")
        if started is None or durations is None or not isinstance(peak, int | None):
            raise self._child.nonsense("no time for each run")
        return Timed(started, durations, peak)

    def _run_one(self, clip: Pixels) -> Logits:
        logits = self._child.ask({"do": "run"}, self._deadline_s, clip[None]).array
        if logits.dtype != np.float32 or logits.ndim != 2 or len(logits) != 1:
            raise self._child.nonsense(f"{logits.dtype} of shape {logits.shape} for logits")
        return logits[0]


class MeasuredRunner(IsolatedRunner):
    """An artifact in a child process of its own that is there to be measured.

    Args:
        threads: None: the runtime's own choice.
        cores: numbers of the cores to run on; empty: the system chooses.

    Raises:
        UsageError: the runtime or the system can't be given threads or cores.
    """

    def __init__(self, folder: Path, manifest: Manifest, threads: int | None, cores: tuple[int, ...]) -> None:
        super().__init__(folder, manifest, how={"measured": (target_named(manifest.target).threaded, threads, cores)})
        load_ns = self._opened.get("load_ns")
        if type(load_ns) is not int:
            raise self._child.nonsense("no time for loading")
        self.load_ns: int = load_ns


def _opened(child: Child, folder: Path, manifest: Manifest, runtime: str, how: Document, limits: Limits) -> Document:
    """Have the child open the artifact; what it says of it."""
    child.prepare(runtime, limits)
    document = {"folder": str(folder), "manifest": manifest.model_dump(mode="json")} | how
    return child.ask({"do": "open", "memory_bytes": limits.memory_bytes, **document}, limits.deadline_s).document


def _facts(child: Child, opened: Document) -> Facts:
    """What the runner in the child knows of itself."""
    facts = opened.get("facts")
    if not isinstance(facts, dict) or not all(isinstance(value, str | int | None) for value in facts.values()):
        raise child.nonsense("no facts")
    return facts


def _times(given: Any, runs: int) -> tuple[int, ...] | None:
    """So many whole numbers; None for anything else."""
    are_times = isinstance(given, list) and len(given) == runs and all(type(each) is int for each in given)
    return tuple(given) if are_times else None
