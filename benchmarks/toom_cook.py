"""Temporal convolutions by Toom-Cook against direct ones, on both runtimes: each layer by itself, or a whole network.

    python benchmarks/toom_cook.py [CHECKPOINT] [--threads 1] [--runs 15] [--recipe fp32]

Without CHECKPOINT, one layer at a time: channels and places of the stages of a nano (96 to 768) and of a base (128 to
1024), of a nano at 112 pixels and of the pico's last stage, each with kernels of three and of five moments and eight
moments of tokens. With it, the network's artifacts with and without Toom-Cook.

What is compared runs in turn in one process, each time in the other order. The figures are ratios of the least
processor time of all runs, user and system, Toom-Cook's to the direct convolution's; and in brackets the same of the
clock on the wall. A busy machine adds to the second what it doesn't add to the first. With several threads the first
counts threads that wait, too: read the second there.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn

from dvfl_mobile.cli.progress import quiet_vendors
from dvfl_mobile.converters.base import Request, lower
from dvfl_mobile.metrics import sqnr_db
from dvfl_mobile.model import rewrites
from dvfl_mobile.model.checkpoint.load import load_checkpoint
from dvfl_mobile.model.toom_cook import ToomCookConvolution
from dvfl_mobile.pipeline.convert import convert
from dvfl_mobile.pipeline.plan import make_plan
from dvfl_mobile.runners.executorch.threads import set_threads
from dvfl_mobile.targets import target_named

TARGETS = ("tflite", "executorch")
FRAMES, KERNELS = 8, (3, 5)
SIZES = ((96, 3136), (192, 784), (384, 196), (768, 49), (128, 3136), (512, 196), (1024, 49), (192, 196), (256, 9))
WAYS = ("direct", "toom-cook")

Times = tuple[float, float]
Run = Callable[[], object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path, nargs="?")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--recipe", default="fp32")
    options = parser.parse_args()
    # For ExecuTorch, once for the process and before anything runs.
    set_threads(options.threads)
    with TemporaryDirectory() as folder:
        if options.checkpoint is None:
            race_layers(Path(folder), options.threads, options.runs)
        else:
            race_networks(options.checkpoint, options.recipe, Path(folder), options.threads, options.runs)


def race_layers(folder: Path, threads: int, runs: int) -> None:
    print(f"{threads} thread(s), {runs} runs\n\n| channels | places | moments | tflite | executorch | error |")
    print("| --- | --- | --- | --- | --- | --- |")
    for channels, places in SIZES:
        for kernel in KERNELS:
            torch.manual_seed(1)
            layer = nn.Conv1d(channels, channels, kernel, padding=kernel // 2, bias=False)
            direct, by_toom_cook = _Layer(rewrites.temporal_as_conv2d(layer)), _Layer(ToomCookConvolution(layer))
            tokens = nn.functional.gelu(torch.randn(FRAMES, places, channels))
            figures = []
            for target in TARGETS:
                name = f"{channels}-{places}-{kernel}.{target}"
                paths = [folder / f"direct-{name}", folder / f"toom-cook-{name}"]
                for form, path in zip((direct, by_toom_cook), paths, strict=True):
                    _lower(form, tokens, target, path)
                figures.append(_ratios(race([_opened(path, target, tokens, threads) for path in paths], runs)))
            exact = direct.double()(tokens.double()).numpy()
            error = sqnr_db(exact, by_toom_cook(tokens).double().numpy())
            print(f"| {channels} | {places} | {kernel} | {' | '.join(figures)} | {error:.0f} dB |", flush=True)


def race_networks(checkpoint: Path, recipe: str, folder: Path, threads: int, runs: int) -> None:
    student = load_checkpoint(checkpoint)
    clip = torch.randint(0, 256, student.clip.shape).float()
    print(f"{recipe}, {threads} thread(s), {runs} runs\n\n| target | ratio | milliseconds | megabytes |")
    print("| --- | --- | --- | --- |")
    for target in TARGETS:
        plans = [make_plan([target], recipe, folder / way, toom_cook=way == "toom-cook") for way in WAYS]
        with quiet_vendors():
            made = [convert(student, plan)[0] for plan in plans]
        paths = [artifact.folder / artifact.manifest.file for artifact in made]
        found = race([_opened(path, target, clip, threads) for path in paths], runs)
        least = " to ".join(f"{1e3 * processor:.0f}" for processor, _ in found)
        sizes = " to ".join(f"{artifact.manifest.size_bytes / 1e6:.1f}" for artifact in made)
        print(f"| {target} | {_ratios(found)} | {least} | {sizes} |", flush=True)


def race(entries: Sequence[Run], runs: int) -> list[Times]:
    """The least processor time and the least time on the wall of each, in seconds; two runs of each don't count."""
    times: list[list[Times]] = [[] for _ in entries]
    for turn in range(runs + 2):
        order = range(len(entries)) if turn % 2 else reversed(range(len(entries)))
        for place in order:
            processor, wall = time.process_time(), time.perf_counter()
            entries[place]()
            times[place].append((time.process_time() - processor, time.perf_counter() - wall))
    return [(min(p for p, _ in each[2:]), min(w for _, w in each[2:])) for each in times]


class _Layer(nn.Module):
    """A temporal convolution between tokens, `(T,N,C)` to the same, as the deploy form has it."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer
        self.eval().requires_grad_(False)

    def forward(self, clip: Tensor) -> Tensor:
        given: Tensor = self.layer(clip[None].permute(0, 3, 1, 2))
        return given.permute(0, 2, 3, 1).reshape(clip.shape)


def _lower(form: nn.Module, tokens: Tensor, target: str, path: Path) -> None:
    shape: Any = tuple(tokens.shape)
    request = Request(form=form, shape=shape, recipe="fp32", metadata="{}", minimum_os="")
    with quiet_vendors():
        lower(target_named(target), request, path)


def _opened(path: Path, target: str, values: Tensor, threads: int) -> Run:
    if target == "tflite":
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(str(path), num_threads=threads)
        interpreter.allocate_tensors()
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], values.numpy())
        run: Run = interpreter.invoke
        return run
    from executorch.runtime import Runtime

    method = Runtime.get().load_program(path).load_method("forward")
    return lambda: method.execute([values])


def _ratios(found: Sequence[Times]) -> str:
    direct, toom_cook = found
    return f"{toom_cook[0] / direct[0]:.2f} ({toom_cook[1] / direct[1]:.2f})"


if __name__ == "__main__":
    main()
