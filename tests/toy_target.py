"""A target that nobody needs: the deploy form as torch stores it. All that a new target's module holds is here."""

from __future__ import annotations

from pathlib import Path

import torch

from dvfl_mobile.artifacts.manifest import Manifest
from dvfl_mobile.converters.base import Lowered, Request
from dvfl_mobile.delegation import Delegation, Operation
from dvfl_mobile.runners.base import as_input, run_each, time_each
from dvfl_mobile.runners.values import Facts, Logits, Pixels


def lower(request: Request, path: Path) -> Lowered:
    """Export the deploy form and write it to `path`."""
    torch.export.save(torch.export.export(request.form, (torch.zeros(request.shape),)), path)
    return Lowered(Delegation.of("torch", 1, [Operation("call", "", True, 1)]))


class ToyRunner:
    """Runs one `.pt2`."""

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self._form = torch.export.load(path).module()
        self._manifest = manifest
        self.facts: Facts = {"runtime": "toy", "version": torch.__version__, "device": "host", "delegate": "torch"}

    def run(self, clips: Pixels) -> Logits:
        return run_each(self._run_one, clips)

    def time(self, clip: Pixels, warmup: int, runs: int) -> list[int]:
        return time_each(lambda: self._run_one(clip), warmup, runs)

    def _run_one(self, clip: Pixels) -> Logits:
        with torch.no_grad():
            return self._form(torch.from_numpy(as_input(clip, self._manifest))).numpy()


def load_runtime() -> None:
    """Nothing beside torch, which is imported."""


def open_artifact(path: Path, manifest: Manifest) -> ToyRunner:
    """A runner of the file at `path`."""
    return ToyRunner(path, manifest)
