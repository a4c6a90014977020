"""The ExecuTorch runner on the host: its Python runtime with XNNPACK."""

from __future__ import annotations

from contextlib import suppress
from importlib import metadata
from pathlib import Path

from dvfl_mobile.artifacts.manifest import Manifest
from dvfl_mobile.errors import ArtifactError, needs
from dvfl_mobile.runners.base import as_input, check_shapes, run_each, time_each
from dvfl_mobile.runners.child.lean import bare
from dvfl_mobile.runners.values import Facts, Logits, Pixels


class ExecuTorchRunner:
    """Runs one `.pte`."""

    def __init__(self, path: Path, manifest: Manifest) -> None:
        load_runtime()
        from executorch.runtime import Runtime, Verification

        try:
            # Whole-file checks, since the older loader of the same wheel drops this argument and checks nothing.
            self._program = Runtime.get().load_program(path, verification=Verification.InternalConsistency)
            self._method = self._program.load_method("forward")
        except (RuntimeError, ValueError) as error:
            raise ArtifactError(f"ExecuTorch can't load {path}: {error}.", hint="Convert again.") from error
        about = self._method.metadata
        check_shapes(path, manifest, about.input_tensor_meta(0).sizes(), about.output_tensor_meta(0).sizes())
        self._manifest = manifest
        self.facts: Facts = {
            "runtime": "ExecuTorch",
            "version": metadata.version("executorch"),
            "device": "host",
            "delegate": manifest.delegation.delegate,
        }

    def run(self, clips: Pixels) -> Logits:
        return run_each(self._run_one, clips)

    def time(self, clip: Pixels, warmup: int, runs: int) -> list[int]:
        import torch

        inputs = [torch.from_numpy(as_input(clip, self._manifest))]
        return time_each(lambda: self._method.execute(inputs), warmup, runs)

    def _run_one(self, clip: Pixels) -> Logits:
        import torch

        # The output belongs to the method and changes with its next run.
        return self._method.execute([torch.from_numpy(as_input(clip, self._manifest))])[0].numpy().copy()


def load_runtime() -> None:
    """Import ExecuTorch, and torch with it.

    Raises:
        MissingDependencyError: it isn't installed.
    """
    with needs("executorch", extra="executorch", why="to run a .pte"):
        import executorch.runtime  # noqa: F401


def load_alone() -> None:
    """As `load_runtime`, in a process that converts nothing.

    The runtime takes no more from `executorch.exir` than a kind of warning, and importing that is importing all of it.
    """
    with suppress(ImportError), bare("executorch.exir"):
        import executorch.runtime  # noqa: F401
    load_runtime()  # and whatever the runtime may want besides in another version


def open_artifact(path: Path, manifest: Manifest) -> ExecuTorchRunner:
    """A runner of the program at `path`."""
    return ExecuTorchRunner(path, manifest)
