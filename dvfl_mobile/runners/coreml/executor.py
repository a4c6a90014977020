"""Core ML packages by the executor, on systems without Core ML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from dvfl_mobile.artifacts.manifest import Manifest
from dvfl_mobile.errors import InconclusiveError
from dvfl_mobile.mil.errors import MalformedError
from dvfl_mobile.mil.executor import MilExecutor
from dvfl_mobile.mil.program import load_runtime
from dvfl_mobile.runners.base import as_input, check_shapes, run_each
from dvfl_mobile.runners.values import Facts, Logits, Pixels
from dvfl_mobile.version import __version__

__all__ = ["ExecutedRunner", "load_runtime", "open_artifact"]


class ExecutedRunner:
    """Runs one `.mlpackage` by `MilExecutor`.

    Raises:
        ArtifactError: the package isn't whole, isn't what its manifest says, or needs what isn't known here.
    """

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self._executor = MilExecutor(path)
        self._input, self._output = manifest.inputs[0].name, manifest.outputs[0].name
        taken, given = self._executor.inputs, self._executor.outputs
        names = [each.name for each in taken], [each.name for each in given]
        if names != ([self._input], [self._output]) or taken[0].type is None or given[0].type is None:
            raise MalformedError(
                f"{path} takes {names[0]} and gives {names[1]}; its manifest says {[self._input]} and {[self._output]}."
            )
        check_shapes(path, manifest, _known(taken[0].type.shape), _known(given[0].type.shape))
        self._manifest = manifest
        self.facts: Facts = {
            "runtime": "dvfl-mobile's executor for Core ML",
            "version": __version__,
            "device": "host",
            "delegate": None,
            "threads": torch.get_num_threads(),
            "executor": "reference",
        }

    def run(self, clips: Pixels) -> Logits:
        return run_each(self._run_one, clips)

    def time(self, clip: Pixels, warmup: int, runs: int) -> list[int]:  # noqa: ARG002 (every runner takes them)
        raise InconclusiveError(
            "A Core ML package isn't timed here: without Core ML it is run by a reference executor, made to compute "
            "what the package says and not to be fast. Its times say nothing of a phone's.",
            hint="Time it on a device or a Mac, or another target here.",
        )

    def _run_one(self, clip: Pixels) -> Any:
        return self._executor.run({self._input: as_input(clip, self._manifest)})[self._output]


def open_artifact(path: Path, manifest: Manifest) -> ExecutedRunner:
    """A runner of the package at `path`."""
    return ExecutedRunner(path, manifest)


def _known(shape: tuple[int | None, ...]) -> tuple[int, ...]:
    return tuple(-1 if size is None else size for size in shape)
