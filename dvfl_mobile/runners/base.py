"""The Runner protocol, and how an artifact is opened on this machine by the runtime of its target."""

from __future__ import annotations

import importlib
import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dvfl_mobile import targets
from dvfl_mobile.artifacts.manifest import Manifest, verify
from dvfl_mobile.data.clips import normalize
from dvfl_mobile.errors import ArtifactError, InconclusiveError
from dvfl_mobile.runners.child.isolated import IsolatedRunner
from dvfl_mobile.runners.opinions import Opinion
from dvfl_mobile.runners.values import Facts, Logits, Pixels
from dvfl_mobile.spelling import command


class Runner(Protocol):
    """Runs a model somewhere.

    Attributes:
        facts: what it knows of itself: runtime, version, device, delegate.
    """

    facts: Facts

    def run(self, clips: Pixels) -> Logits:
        """Logits, `(N,K)`, of clips `(N,T,3,H,W)` of 0-255 pixels."""

    def time(self, clip: Pixels, warmup: int, runs: int) -> list[int]:
        """Nanoseconds of each of `runs` runs of one clip, `(T,3,H,W)`, after `warmup` that don't count."""


class Runtime(Protocol):
    """A module that runs the artifacts of one target.

    Where its package imports much that only conversions need, it may have a `load_alone`: as `load_runtime`, for a
    process that does nothing else than run artifacts.
    """

    def load_runtime(self) -> None:
        """Import what it needs, before any artifact is touched.

        Raises:
            MissingDependencyError: it isn't installed.
        """

    def open_artifact(self, path: Path, manifest: Manifest, **settings: str) -> Runner:
        """A runner of the file or package at `path`; `settings` are those of an `Engine`, and otherwise none."""


def check_runs_here(manifest: Manifest) -> None:
    """Raise at once where nothing on this machine can run an artifact.

    Raises:
        InconclusiveError: the target's runtime doesn't exist for this system; the message says so.
    """
    target = targets.find(manifest.target)
    if target is not None and target.systems and platform.system() not in target.systems:
        raise InconclusiveError(
            f"The runtime of {manifest.target} exists on {' and '.join(target.systems)} only, and this is "
            f"{platform.system()}.",
            hint=f"Copy the whole output folder there, and run {command('parity')}.",
        )


def open_runner(folder: Path, manifest: Manifest, opinion: Opinion | None = None) -> Runner:
    """A runner on this machine for the artifact in `folder`, once its bytes are found to be as written.

    The artifact is opened in a child process with limits of time and memory, which ends with the runner.

    Args:
        opinion: the runtime to run it by, in place of the target's own.

    Raises:
        ArtifactError: a file is missing or changed, or the runtime can't load it, or crashed or hung over it.
        InconclusiveError: nothing on this machine runs this target.
        MissingDependencyError: the runtime isn't installed.
    """
    check_runs_here(manifest)
    verify(manifest, folder)
    if targets.find(manifest.target) is None:
        raise ArtifactError(f"{folder} is for an unknown target, {manifest.target!r}.", hint="Convert again.")
    return IsolatedRunner(folder, manifest, opinion.module if opinion else None)


def open_here(folder: Path, manifest: Manifest) -> Runner:
    """As `open_runner`, but in this very process and without looking at the files: only for artifacts of one's own."""
    runner = targets.target_named(manifest.target).runner
    return runtime_of(runner).open_artifact(folder / manifest.file, manifest)


def runtime_of(module: str, *, alone: bool = False) -> Runtime:
    """A module that runs artifacts, with its runtime imported.

    Args:
        module: its name: a target's `runner`, or that of a second opinion.
        alone: this process will convert nothing.

    Raises:
        MissingDependencyError: the runtime isn't installed.
    """
    runtime: Runtime = importlib.import_module(module)
    load = getattr(runtime, "load_alone", runtime.load_runtime) if alone else runtime.load_runtime
    load()
    return runtime


def check_shapes(path: Path, manifest: Manifest, taken: Sequence[int], given: Sequence[int]) -> None:
    """Hold what a loaded model takes and gives against what its manifest says.

    Raises:
        ArtifactError: they differ, so that its clips or its classes would be another model's.
    """
    found = tuple(map(int, taken)), tuple(map(int, given))
    stated = manifest.clip.shape, (1, len(manifest.classes))
    if found != stated:
        raise ArtifactError(
            f"{path} takes {found[0]} and gives {found[1]}; its manifest says {stated[0]} and {stated[1]}.",
            hint="Convert again.",
        )


def as_input(clip: Pixels, manifest: Manifest) -> NDArray[np.float32] | NDArray[np.int8]:
    """One clip, `(T,3,H,W)`, as the artifact's input: raw pixels or normalized ones, as floats or as int8."""
    spec, entry = manifest.clip, manifest.inputs[0]
    values = clip.astype(np.float32) if spec.pixels == "raw" else normalize(clip, spec)
    if entry.scale is None or entry.zero_point is None:
        return values
    return (np.rint(values / np.float32(entry.scale)) + entry.zero_point).clip(-128, 127).astype(np.int8)


def run_each(run_one: Callable[[Pixels], Logits], clips: Pixels) -> Logits:
    """Stack the logits of single clips."""
    return np.stack([run_one(clip).reshape(-1) for clip in clips])


def time_each(invoke: Callable[[], object], warmup: int, runs: int) -> list[int]:
    """Nanoseconds of each call, by the monotonic clock."""
    for _ in range(warmup):
        invoke()
    times = []
    for _ in range(runs):
        start = time.perf_counter_ns()
        invoke()
        times.append(time.perf_counter_ns() - start)
    return times
