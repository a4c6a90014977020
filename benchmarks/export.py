"""The deploy form against the plain export of the reference form: same weights, same runtime, interleaved.

    python benchmarks/export.py [--rounds 20] [--targets executorch tflite] [--markdown FILE]

Each round times one run of each form in turn, so that what slows the machine slows all of them; a ratio is the
median of the rounds' own ratios. Three forms:

- plain: `torch.export` of the reference form on normalized pixels, lowered as the runtimes' guides say;
- deploy: the deploy form by this project's converter, fp32;
- products: the bare matrix products of the network's linear layers and dense convolutions, nothing else: what the
  arithmetic alone costs in that runtime.

Times are of this machine and of no phone.
"""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from peer_programs.lowering import Plain
from torch import Tensor, nn

from dvfl_mobile.cli.progress import steps
from dvfl_mobile.converters.base import Request, lower
from dvfl_mobile.data.clips import normalize
from dvfl_mobile.data.drawn import moving_shapes
from dvfl_mobile.metrics import sqnr_db
from dvfl_mobile.model.architecture import Architecture
from dvfl_mobile.model.default import seeded_student
from dvfl_mobile.model.deploy import DeployForm
from dvfl_mobile.model.student import Student
from dvfl_mobile.profiling.statistics import median_interval
from dvfl_mobile.targets import target_named

BARS = {"executorch": 1.4, "tflite": 1.3}
MOST_OVER_PRODUCTS = 1.6


class Products(nn.Module):
    """Each matrix product of the network by itself; inputs of one shape are shared."""

    def __init__(self, shapes: Sequence[tuple[int, int, int]]) -> None:
        super().__init__()
        self.shapes = shapes
        self.inputs = sorted({(rows, inner) for rows, inner, _ in shapes})
        self.layers = nn.ModuleList(nn.Linear(inner, outer, bias=False) for _, inner, outer in shapes)
        self.requires_grad_(False)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        given = dict(zip(self.inputs, inputs, strict=True))
        return tuple(
            layer(given[rows, inner]) for layer, (rows, inner, _) in zip(self.layers, self.shapes, strict=True)
        )


def product_shapes(architecture: Architecture) -> list[tuple[int, int, int]]:
    """(rows, inner, outer) of every product: linear layers, and dense convolutions as products over their patches."""
    side = architecture.img_size // architecture.patch_size
    frames = architecture.token_frames
    shapes = [(frames * side**2, 3 * architecture.patch_size**2 * architecture.tubelet_size, architecture.embed_dim)]
    for stage, depth in enumerate(architecture.depths):
        rows, dim = frames * side**2, architecture.channels(stage)
        gates = 2 * (architecture.focal_levels[stage] + 1)
        block = [(rows, dim, dim)] * 6 + [(rows, dim, gates)]
        block += [(rows, kernel * dim, dim) for kernel in architecture.kernel_sizes(stage)]
        hidden = int(dim * architecture.mlp_ratio)
        shapes += [*block, (rows, dim, hidden), (rows, hidden, dim)] * depth
        if stage < len(architecture.depths) - 1:
            side //= 2
            shapes.append((frames * side**2, 4 * dim, 2 * dim))
    return shapes


@dataclass(frozen=True)
class Contender:
    """Something to time: `invoke` runs it once; `logits` are None for the bare products."""

    name: str
    invoke: Callable[[], object]
    logits: np.ndarray | None


def export_executorch(module: nn.Module, inputs: tuple[Tensor, ...], path: Path) -> None:
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    program = torch.export.export(module.eval(), inputs)
    edge = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
    path.write_bytes(edge.to_executorch().buffer)


def export_tflite(module: nn.Module, inputs: tuple[Tensor, ...], path: Path) -> None:
    import litert_torch

    litert_torch.convert(module.eval(), inputs).export(str(path))


def load_executorch(path: Path, inputs: Sequence[Tensor]) -> Callable[[], np.ndarray]:
    from executorch.runtime import Runtime

    program = Runtime.get().load_program(path)
    method = program.load_method("forward")
    # The method lives in its program.
    return lambda _keep=program: method.execute(list(inputs))[0].numpy()


def load_tflite(path: Path, inputs: Sequence[Tensor]) -> Callable[[], np.ndarray]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=torch.get_num_threads())
    interpreter.allocate_tensors()
    by_shape: dict[tuple[int, ...], Tensor] = {tuple(value.shape): value for value in inputs}
    for detail in interpreter.get_input_details():
        interpreter.set_tensor(detail["index"], by_shape[tuple(int(n) for n in detail["shape"])].numpy())
    output = interpreter.get_output_details()[0]["index"]

    def invoke() -> np.ndarray:
        interpreter.invoke()
        return interpreter.get_tensor(output)

    return invoke


EXPORT = {"executorch": export_executorch, "tflite": export_tflite}
LOAD = {"executorch": load_executorch, "tflite": load_tflite}


def prepare(target: str, student: Student, folder: Path) -> list[Contender]:
    """Export all three forms for a target, and load them."""
    spec = student.clip
    pixels = moving_shapes(spec, 1)[0].pixels
    normalized = torch.from_numpy(normalize(pixels, spec))
    raw = torch.from_numpy(pixels.astype(np.float32))
    plain, deploy, products = (folder / f"{target}-{name}" for name in ("plain", "deploy", "products"))
    EXPORT[target](Plain(student.network), (normalized,), plain)
    kind = target_named(target)
    form = DeployForm(student.network, spec, kind.normalizer)
    lower(kind, Request(form, spec.shape, "fp32", "{}", kind.minimum_os), deploy)
    bare = Products(product_shapes(student.architecture))
    inputs = tuple(torch.randn(rows, inner) for rows, inner in bare.inputs)
    EXPORT[target](bare, inputs, products)
    runs = {
        "plain": LOAD[target](plain, [normalized]),
        "deploy": LOAD[target](deploy, [raw]),
        "products": LOAD[target](products, inputs),
    }
    return [Contender(name, run, None if name == "products" else run().copy()) for name, run in runs.items()]


def race(contenders: Sequence[Contender], rounds: int) -> np.ndarray:
    """Seconds, `(rounds, contenders)`; two rounds of warm-up don't count."""
    times = np.zeros((rounds + 2, len(contenders)))
    for row in times:
        for index, contender in enumerate(contenders):
            start = time.perf_counter()
            contender.invoke()
            row[index] = time.perf_counter() - start
    return times[2:]


def interval(ratios: np.ndarray) -> str:
    """The median with its 95 % interval, which needs 6 rounds."""
    found = median_interval(ratios)
    return f"{np.median(ratios):.2f}" + ("" if found is None else " ({:.2f} to {:.2f})".format(*found))


def report(target: str, contenders: Sequence[Contender], times: np.ndarray) -> tuple[list[str], bool]:
    """A line of the table, and whether the bars are met."""
    plain, deploy, products = times.T
    faster, over = plain / deploy, deploy / products
    same = sqnr_db(*(np.asarray(c.logits, np.float64) for c in contenders[:2]))
    cells = [target, *(f"{np.median(column) * 1e3:.0f} ms" for column in (plain, deploy, products))]
    cells += [interval(faster), interval(over), f"{same:.0f} dB"]
    return cells, bool(np.median(faster) >= BARS[target] and np.median(over) <= MOST_OVER_PRODUCTS)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--targets", nargs="+", choices=sorted(EXPORT), default=sorted(EXPORT))
    parser.add_argument("--markdown", type=Path, help="also write the table here")
    options = parser.parse_args()
    student, rows, good = seeded_student(Architecture.variant("nano", 8)), [], True
    with tempfile.TemporaryDirectory() as folder, steps() as step:
        for target in options.targets:
            with step(f"export for {target}"):
                contenders = prepare(target, student, Path(folder))
            with step(f"race on {target}"):
                times = race(contenders, options.rounds)
            cells, met = report(target, contenders, times)
            rows.append(cells)
            good = good and met
    head = ["runtime", "plain export", "deploy form", "bare products", "plain / deploy", "deploy / products", "agree"]
    lines = [head, ["---"] * len(head), *rows]
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    where = f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, {options.rounds} rounds"
    text = f"{table}\n\nThe nano at 8x224x224, fp32, {where}; medians, with the median ratio's 95 % interval.\n"
    print(text)
    if options.markdown:
        options.markdown.write_text(text, encoding="utf-8")
    bars = ", ".join(f"{name} {BARS[name]}x" for name in options.targets)
    print(f"Bars ({bars}; at most {MOST_OVER_PRODUCTS}x the products): {'met' if good else 'MISSED'}")
    return 0 if good else 5


if __name__ == "__main__":
    sys.exit(main())
