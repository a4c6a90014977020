"""PyTorch: the reference form on the host. Its logits are what every artifact is held against."""

from __future__ import annotations

from dvfl_mobile.clips import normalize
from dvfl_mobile.model.student import Student
from dvfl_mobile.runners.base import run_each, time_each
from dvfl_mobile.runners.values import Facts, Logits, Pixels


class TorchRunner:
    """Runs a student's reference form, a clip at a time."""

    def __init__(self, student: Student) -> None:
        import torch

        self._student = student
        self.facts: Facts = {
            "runtime": "PyTorch",
            "version": torch.__version__,
            "device": "host",
            "delegate": None,
            "threads": torch.get_num_threads(),
        }

    def run(self, clips: Pixels) -> Logits:
        return run_each(self._run_one, clips)

    def time(self, clip: Pixels, warmup: int, runs: int) -> list[int]:
        return time_each(lambda: self._run_one(clip), warmup, runs)

    def _run_one(self, clip: Pixels) -> Logits:
        import torch

        with torch.inference_mode():
            pixels = torch.from_numpy(normalize(clip, self._student.clip))
            return self._student.network(pixels[None]).numpy()
