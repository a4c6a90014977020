"""The Core AI runner on the host, Linux included, by coreai-core's own runtime: for logits, never for latency."""

from __future__ import annotations

import asyncio
import weakref
from contextlib import AsyncExitStack
from importlib import metadata
from pathlib import Path
from typing import Any

from dvfl_mobile.artifacts.manifest import Manifest
from dvfl_mobile.errors import ArtifactError, InconclusiveError, needs
from dvfl_mobile.runners.base import as_input, check_shapes, run_each
from dvfl_mobile.runners.values import Facts, Logits, Pixels

_FUNCTION = "main"


class CoreAIRunner:
    """Runs one `.aimodel`, compiled to a temporary folder that goes with this object."""

    def __init__(self, path: Path, manifest: Manifest) -> None:
        load_runtime()
        self._loop = asyncio.new_event_loop()
        self._model = AsyncExitStack()
        self._finalizer = weakref.finalize(self, _close, self._loop, self._model)
        try:
            self._function: Any = self._loop.run_until_complete(_opened(path, self._model))
        except (RuntimeError, ValueError, KeyError, OSError) as error:
            raise ArtifactError(f"Core AI can't load {path}: {error}.", hint="Convert again.") from error
        self._input, self._output = manifest.inputs[0].name, manifest.outputs[0].name
        about = self._function.desc
        if (about.input_names, about.output_names) != ([self._input], [self._output]):
            raise ArtifactError(
                f"{path} takes {about.input_names} and gives {about.output_names}; its manifest says "
                f"{[self._input]} and {[self._output]}.",
                hint="Convert again.",
            )
        taken, given = about.input_descriptor(self._input).shape, about.output_descriptor(self._output).shape
        check_shapes(path, manifest, taken, given)
        self._manifest = manifest
        self.facts: Facts = {
            "runtime": "Core AI",
            "version": metadata.version("coreai-core"),
            "device": "host",
            "delegate": None,
            "executor": _executor(),
        }

    def run(self, clips: Pixels) -> Logits:
        return run_each(self._run_one, clips)

    def time(self, clip: Pixels, warmup: int, runs: int) -> list[int]:  # noqa: ARG002 (every runner takes them)
        raise InconclusiveError(
            "Core AI isn't timed here: off macOS 27 its runtime is a reference executor, made to compute the right "
            "numbers and not to be fast. Its times say nothing of a phone's.",
            hint="Time this artifact on a device with iOS 27, or another target here.",
        )

    def _run_one(self, clip: Pixels) -> Logits:
        from coreai.runtime import NDArray

        answer = self._function(inputs={self._input: NDArray(as_input(clip, self._manifest))})
        # A copy: the array is a view of memory that belongs to the runtime.
        return self._loop.run_until_complete(answer)[self._output].numpy().copy()


def load_runtime() -> None:
    """Import Core AI.

    Raises:
        MissingDependencyError: it isn't installed.
    """
    with needs("coreai-core", extra="coreai", why="to run an .aimodel"):
        import coreai.authoring  # noqa: F401


def open_artifact(path: Path, manifest: Manifest) -> CoreAIRunner:
    """A runner of the asset at `path`."""
    return CoreAIRunner(path, manifest)


def _executor() -> str:
    from coreai import runtime

    return "the system's" if runtime._use_os_coreai else "reference"


async def _opened(path: Path, model: AsyncExitStack) -> Any:
    from coreai.authoring import AIModelAsset

    loaded = await model.enter_async_context(AIModelAsset.load(path).executable())
    return loaded.load_function(_FUNCTION)


def _close(loop: asyncio.AbstractEventLoop, model: AsyncExitStack) -> None:
    loop.run_until_complete(model.aclose())
    loop.close()
