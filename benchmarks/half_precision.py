"""The deploy form in half precision: what it keeps of float32 on real clips, and the room that its values have.

    python benchmarks/half_precision.py [CHECKPOINT] --clips FOLDER [--count 8] [--temporal toom-cook]

CHECKPOINT is one of real weights; without it the embedded default student is measured. For each way to spell a layer
norm, three figures:

- weights alone: the SQNR of the logits, in dB, if weights are rounded to half precision and nothing else is;
- whole: if the form is cast to `torch.half` as a whole, so that each value is rounded too;
- room: how many times the largest value of any operator could grow before it leaves half precision, and which.

Ends with 1 where a whole form keeps less than 55 dB or has less room than 16.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor
from torch.fx import Interpreter, Node

from dvfl_mobile.cli.progress import steps
from dvfl_mobile.data.gather import gather_clips
from dvfl_mobile.delegation import module_path
from dvfl_mobile.metrics import sqnr_db
from dvfl_mobile.model.checkpoint.load import load_checkpoint
from dvfl_mobile.model.default import default_student
from dvfl_mobile.model.deploy import DeployForm
from dvfl_mobile.quantization.graph import traces
from dvfl_mobile.targets import Normalizer, TemporalConvolution

LEAST_DB, LEAST_ROOM = 55.0, 16.0
LARGEST = torch.finfo(torch.half).max
NORMALIZERS: tuple[Normalizer, ...] = ("products", "means", "native")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path, nargs="?")
    parser.add_argument("--clips", type=Path, required=True)
    parser.add_argument("--count", type=int, default=8)
    parser.add_argument("--temporal", choices=get_args(TemporalConvolution), default="direct")
    options = parser.parse_args()
    student = load_checkpoint(options.checkpoint) if options.checkpoint else default_student()
    with steps() as step:
        pixels = gather_clips(options.clips, student.clip, student.classes, step, options.count).pixels
    clips = torch.from_numpy(pixels).float()
    print(f"{options.checkpoint or 'the default student'} on {len(clips)} clips\n")
    print("| norms | weights alone | whole | room | largest value | of |")
    print("| --- | --- | --- | --- | --- | --- |")
    is_kept = True
    for normalizer in NORMALIZERS:
        form = student.form(normalizer, options.temporal)
        largest, where = _largest(form, clips)
        expected = _logits(form, clips)
        form.half()
        whole = sqnr_db(expected, _logits(form, clips.half()))
        weights = sqnr_db(expected, _logits(form.float(), clips))
        room = LARGEST / largest
        figures = f"{weights:.1f} dB | {whole:.1f} dB | {room:.1f} | {largest:,.0f}"
        print(f"| {normalizer} | {figures} | {where} |", flush=True)
        is_kept = is_kept and whole >= LEAST_DB and room >= LEAST_ROOM
    return int(not is_kept)


def _logits(form: DeployForm, clips: Tensor) -> Any:
    with torch.no_grad():
        return torch.cat([form(clip) for clip in clips]).double().numpy()


def _largest(form: DeployForm, clips: Tensor) -> tuple[float, str]:
    """The largest absolute value that any operator gives, and the module and operator that give it."""
    audit = _Audit(traces.exported(form, tuple(clips.shape[1:])))
    with torch.no_grad():
        for clip in clips:
            audit.run(clip)
    return audit.largest, audit.where


class _Audit(Interpreter):
    """Runs a graph, and keeps the largest absolute value."""

    largest, where = 0.0, ""

    def run_node(self, n: Node) -> Any:
        value = super().run_node(n)
        if n.op == "call_function" and float(value.abs().amax()) > self.largest:
            self.largest, self.where = float(value.abs().amax()), f"{module_path(n)}, {n.name}"
        return value


if __name__ == "__main__":
    sys.exit(main())
