"""The PyTorch runner: the reference form on the host, whose logits every artifact is compared with."""

from __future__ import annotations

from dvfl_mobile.data.clips import normalize
from dvfl_mobile.model.student import Student
from dvfl_mobile.runners.base import run_each, time_each
from dvfl_mobile.runners.values import Facts, Logits, Pixels


class TorchRunner:
    """Runs a student's reference form: a clip at a time on a processor, all clips of a call at once on a GPU.

    Args:
        device: as torch names it. The student's network is moved there.
    """

    def __init__(self, student: Student, device: str = "cpu") -> None:
        import torch

        self._student = student
        self._device = torch.device(device)
        student.network.to(self._device)
        self.facts: Facts = {
            "runtime": "PyTorch",
            "version": torch.__version__,
            "device": "host" if self._device.type == "cpu" else str(self._device),
            "delegate": None,
            "threads": torch.get_num_threads(),
        }

    def run(self, clips: Pixels) -> Logits:
        # On a processor, clips in a batch only take more memory, and kernels may sum in another order.
        return run_each(self._run_one, clips) if self._device.type == "cpu" else self._run(clips)

    def time(self, clip: Pixels, warmup: int, runs: int) -> list[int]:
        return time_each(lambda: self._run_one(clip), warmup, runs)

    def _run_one(self, clip: Pixels) -> Logits:
        return self._run(clip[None])

    def _run(self, clips: Pixels) -> Logits:
        import torch

        with torch.inference_mode():
            pixels = torch.from_numpy(normalize(clips, self._student.clip)).to(self._device)
            return self._student.network(pixels).cpu().numpy()
