"""Every recipe on every target, by a trained checkpoint on real test clips: accuracy, agreement, SQNR, size, latency.

    python benchmarks/quantization.py CHECKPOINT DATA [--qat FORM.pt2] [--rounds 12] [--markdown FILE]

DATA is a folder in UCF's layout: calibration takes its training groups, and everything is measured on its test groups
(1 to 7). `--qat` names a form that `dvfl-mobile quantize --method qat` made of the same checkpoint; without it that row
is left out.

Latency is the median ratio of float32 to the artifact, both run in turn in this process, with its 95 % interval; of
this machine and of no phone. Core ML's packages are run by our own executor, which takes 2 to 8 s a clip on Linux: of
the numbers in a package it tells all, and of the time on a phone nothing.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from export import interval
from real_clips import write_lists

from dvfl_mobile.artifacts.make import Artifact, open_artifact
from dvfl_mobile.cli.progress import steps
from dvfl_mobile.data.gather import ClipSet, gather_clips
from dvfl_mobile.files import CACHE_VARIABLE
from dvfl_mobile.metrics import sqnr_db
from dvfl_mobile.model.student import Student
from dvfl_mobile.pipeline import quantize as quantizing
from dvfl_mobile.pipeline.convert import convert
from dvfl_mobile.pipeline.load import load_student
from dvfl_mobile.pipeline.plan import make_plan
from dvfl_mobile.pipeline.quantize_plan import Calibration, QuantizePlan
from dvfl_mobile.profiling.race import race
from dvfl_mobile.progress import Step
from dvfl_mobile.quantization.graph.forms import QuantizedForm
from dvfl_mobile.quantization.graph.graphs import in_double, run_clips
from dvfl_mobile.quantization.graph.stored import load_form
from dvfl_mobile.runners.base import open_runner
from dvfl_mobile.runners.pytorch import TorchRunner

HEAD = ["recipe", "target", "top-1 right", "top-1 as float", "SQNR", "size", "fp32 / this"]
TIMED_HERE = ("executorch", "tflite")
PLAIN = ("fp32", "fp16", "dynamic_wi8_afp32")
MOST_SECONDS, MOST_BYTES = 240, 8e9


@dataclass(frozen=True)
class Measured:
    """One artifact on the test clips; no ratios where the time of what runs it means nothing."""

    name: str
    target: str
    size_bytes: int
    logits: np.ndarray
    ratios: np.ndarray | None = None


@dataclass(frozen=True)
class Truth:
    """The test clips, their labels, and what PyTorch's float32 says of them."""

    clips: ClipSet
    labels: np.ndarray
    logits: np.ndarray

    def agreeing(self, found: np.ndarray) -> int:
        return int((self.logits.argmax(1) == found.argmax(1)).sum())

    def right(self, found: np.ndarray) -> int:
        return int((self.labels == found.argmax(1)).sum())

    def sqnr(self, found: np.ndarray) -> float:
        return sqnr_db(self.logits, found.astype(np.float64))


def truth_of(student: Student, clips: Path, count: int, step: Step) -> Truth:
    found = gather_clips(clips, student.raw_clip, student.classes, step, count)
    runner = TorchRunner(student)
    with step("reference logits (PyTorch)", count) as advance:
        logits = [_advanced(runner.run(clip[None]), advance) for clip in found.pixels]
    labels = np.array([clip.label for clip in found.clips])
    return Truth(found, labels, np.concatenate(logits).astype(np.float64))


def _advanced(value: np.ndarray, advance: Callable[[], None]) -> np.ndarray:
    advance()
    return value


def measure(name: str, artifact: Artifact, base: Artifact | None, truth: Truth, rounds: int, step: Step) -> Measured:
    manifest = artifact.manifest
    runner = open_runner(artifact.folder, manifest)
    with step(f"run {manifest.target} {name}", len(truth.clips.clips)) as advance:
        logits = np.concatenate([_advanced(runner.run(clip[None]), advance) for clip in truth.clips.pixels])
    ratios = (
        None
        if base is None or manifest.target not in TIMED_HERE
        else race(base, artifact, truth.clips.clips[0].pixels, rounds)
    )
    return Measured(name, manifest.target, manifest.size_bytes, logits, ratios)


def line(one: Measured, truth: Truth) -> list[str]:
    count = len(truth.labels)
    size = f"{one.size_bytes / 1e6:.1f} MB" if one.size_bytes else ""
    ratio = "" if one.ratios is None else interval(one.ratios)
    right, agreeing = truth.right(one.logits), truth.agreeing(one.logits)
    share = f"{agreeing} of {count} ({agreeing / count:.1%})"
    return [one.name, one.target, f"{right} of {count}", share, f"{truth.sqnr(one.logits):.1f} dB", size, ratio]


def bars(rows: Sequence[Measured], same: dict[str, float], cost: tuple[float, float], truth: Truth) -> Iterator[str]:
    """Each bar with what was reached; one that is missed begins with MISSED."""
    least_agreement = {"static_wi8_ai8": 0.97, "QAT": 0.98, "dynamic_wi8_afp32": 0.985, "palettized_wi4_afp16": 0.95}
    least_db = {"static_wi8_ai8": 20.0, "QAT": 22.0}
    faster = {"executorch": 1.8, "tflite": 2.2}
    for row in rows:
        where = f"{row.name} on {row.target}"
        if row.name in least_agreement:
            found = truth.agreeing(row.logits) / len(truth.labels)
            yield _bar(found >= least_agreement[row.name], f"{where}: agreement {found:.1%}")
        if row.name in least_db:
            found = truth.sqnr(row.logits)
            yield _bar(found >= least_db[row.name], f"{where}: {found:.1f} dB")
        if row.name == "static_wi8_ai8":
            yield _bar(row.size_bytes <= 23.5e6, f"{where}: {row.size_bytes / 1e6:.1f} MB")
            if row.ratios is not None:
                ratio = float(np.median(row.ratios))
                yield _bar(ratio >= faster[row.target], f"{where}: {ratio:.2f}x faster than fp32")
        if row.name == "palettized_wi4_afp16":
            yield _bar(row.size_bytes <= 12e6, f"{where}: {row.size_bytes / 1e6:.1f} MB")
    for target, found in same.items():
        yield _bar(found >= 40, f"int8 on {target} against the fake-quantized graph: {found:.1f} dB")
    seconds, peak = cost
    yield _bar(seconds < MOST_SECONDS, f"calibration and PTQ: {seconds:.0f} s")
    yield _bar(peak < MOST_BYTES, f"memory, whole process: {peak / 1e9:.1f} GB at most by then")


def _bar(met: bool, text: str) -> str:
    return f"{'met' if met else 'MISSED'}  {text}"


def run(options: argparse.Namespace, step: Step) -> tuple[list[list[str]], list[str]]:
    with tempfile.TemporaryDirectory() as folder:
        clips, labels, count = write_lists(options.data, Path(folder))
        student = load_student(options.checkpoint, labels)
        truth = truth_of(student, clips, count, step)
    plan = QuantizePlan.ptq(Calibration(str(options.data), samples=options.samples))
    start = time.monotonic()
    form = quantizing.quantize(student, plan, None, step).form
    cost = time.monotonic() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0
    rows: list[Measured] = []
    bases: dict[str, Artifact] = {}
    for recipe in PLAIN:
        rows += _rows(recipe, student, recipe, bases, options, truth, step)
    rows += _rows("static_wi8_ai8", form, "static_wi8_ai8", bases, options, truth, step)
    same = _same(form, rows, truth, step)
    if options.qat:
        rows += _rows("QAT", load_form(options.qat), "static_wi8_ai8", bases, options, truth, step)
    rows += _rows("palettized_wi4_afp16", student, "palettized_wi4_afp16", bases, options, truth, step)
    return [line(row, truth) for row in rows], list(bars(rows, same, cost, truth))


def _rows(
    name: str,
    model: Student | QuantizedForm,
    recipe: str,
    bases: dict[str, Artifact],
    options: argparse.Namespace,
    truth: Truth,
    step: Step,
) -> list[Measured]:
    out = options.out / name
    made = convert(model, make_plan([], recipe, out), step)
    if name == "fp32":
        bases |= {artifact.manifest.target: artifact for artifact in made}
    return [
        measure(name, one, bases.get(one.manifest.target), truth, options.rounds, step)
        for one in (open_artifact(artifact.folder) for artifact in made)
    ]


def _same(form: QuantizedForm, rows: Sequence[Measured], truth: Truth, step: Step) -> dict[str, float]:
    """How near each target's int8 is to the fake-quantized graph in PyTorch, whose own sums are taken in float64."""
    with step("run the fake-quantized graph in PyTorch", len(truth.clips.clips)) as advance:
        graph = run_clips(in_double(form.graph()), truth.clips.pixels, advance).numpy()
    return {row.target: sqnr_db(graph, row.logits.astype(np.float64)) for row in rows if row.name == "static_wi8_ai8"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--qat", type=Path, help="a form that was trained on with rounding in place")
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--out", type=Path, default=Path("out/benchmark"))
    parser.add_argument("--markdown", type=Path, help="also write the table here")
    options = parser.parse_args()
    with steps() as step, tempfile.TemporaryDirectory() as cache:
        os.environ[CACHE_VARIABLE] = cache  # scales that an earlier run found would cost nothing
        lines, judged = run(options, step)
    table = "\n".join("| " + " | ".join(cells) + " |" for cells in [HEAD, ["---"] * len(HEAD), *lines])
    print(table, *judged, sep="\n")
    if options.markdown:
        options.markdown.write_text(table + "\n\n" + "\n".join(judged) + "\n", encoding="utf-8")
    return 5 if any(text.startswith("MISSED") for text in judged) else 0


if __name__ == "__main__":
    sys.exit(main())
