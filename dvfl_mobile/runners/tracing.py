"""Trace an artifact by its target's means: the value of every operator, for one clip."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from dvfl_mobile import targets
from dvfl_mobile.artifacts.manifest import Manifest, verify
from dvfl_mobile.errors import UsageError
from dvfl_mobile.runners.child.isolated_trace import traced_by_child
from dvfl_mobile.runners.traces import MOVE as MOVE
from dvfl_mobile.runners.traces import ROUND as ROUND
from dvfl_mobile.runners.traces import Step as Step
from dvfl_mobile.runners.traces import Trace as Trace
from dvfl_mobile.runners.values import Pixels


class Tracer(Protocol):
    """A module that traces the artifacts of one target."""

    def load_runtime(self) -> None:
        """Import what it needs, before any artifact is touched.

        Raises:
            MissingDependencyError: it isn't installed.
        """

    def trace_artifact(self, path: Path, manifest: Manifest, clip: Pixels, **settings: str) -> Trace:
        """The trace of the file or package at `path` on a clip `(T,3,H,W)`; `settings` are those of an `Engine`."""


def trace(folder: Path, manifest: Manifest, clip: Pixels) -> Trace:
    """Run an artifact, in a child process as `open_runner` does, and keep the value of every operator.

    Raises:
        ArtifactError: a file is missing or changed, or can't be run.
        MissingDependencyError: the target's packages aren't installed.
        UsageError: this target's operators can't be watched.
    """
    verify(manifest, folder)
    runner, tracer = watched_by(manifest.target)
    return traced_by_child(runner, tracer, folder, manifest, clip)


def watched_by(name: str) -> tuple[str, str]:
    """The modules that run and watch the artifacts of the target of that name.

    Raises:
        UsageError: this target's operators can't be watched.
    """
    target = targets.find(name)
    if target is None or target.tracer is None:
        raise UsageError(
            f"The operators of an artifact for {name} can't be watched.",
            hint=f"Locate in one for: {', '.join(each.name for each in targets.every() if each.tracer)}.",
        )
    return target.runner, target.tracer


def load_tracer(module: str) -> None:
    """Import the tracer of that name, and what it needs: for the child."""
    tracer: Tracer = importlib.import_module(module)
    tracer.load_runtime()


def trace_here(
    module: str, path: Path, manifest: Manifest, clip: Pixels, settings: Mapping[str, str] | None = None
) -> Trace:
    """As `trace`, in this very process, by the tracer of that name: for the child."""
    tracer: Tracer = importlib.import_module(module)
    return tracer.trace_artifact(path, manifest, clip, **(settings or {}))
