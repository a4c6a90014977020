"""Trace a TFLite model on the GPU: some of its tensors, as further outputs of a copy of its graph."""

from __future__ import annotations

import tempfile
from pathlib import Path

from dvfl_mobile.artifacts.manifest import Manifest
from dvfl_mobile.errors import ArtifactError
from dvfl_mobile.runners.base import as_input
from dvfl_mobile.runners.tflite.flatbuffer import with_outputs
from dvfl_mobile.runners.tflite.gpu import Compiled, load_runtime
from dvfl_mobile.runners.traces import MOVE, ROUND, Step, Trace
from dvfl_mobile.runners.values import Pixels

__all__ = ["load_runtime", "trace_artifact"]


def trace_artifact(path: Path, manifest: Manifest, clip: Pixels, precision: str, tensors: str) -> Trace:
    """A trace of some values of the model at `path`, which read nothing of each other, and of what it gives.

    Args:
        precision: of `gpu.PRECISIONS`.
        tensors: their numbers in its graph, with commas between.
    """
    names = tensors.split(",") if tensors else []
    taken = as_input(clip, manifest)
    try:
        with tempfile.TemporaryDirectory(prefix="dvfl-mobile-") as folder:
            copy = Path(folder, manifest.file)
            copy.write_bytes(with_outputs(path.read_bytes(), [int(name) for name in names]))
            logits, *values = Compiled(copy, precision).run(taken)
    except RuntimeError as error:
        raise ArtifactError(f"LiteRT can't run a copy of {path} on the GPU: {error}.", hint="Convert again.") from error
    steps = [Step(MOVE, "", name, (), value) for name, value in zip(names, values, strict=True)]
    last = Step(MOVE, "", "logits", (), logits)
    return Trace(Step(ROUND, "", "clip", (), taken), (*steps, last), last.name, False, True, "")
