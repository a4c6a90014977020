"""Latency of the native harness programs against the same runtimes driven from Python, on this machine.

    python benchmarks/native_runner.py ARTIFACT... [--rounds 12] [--runs 10] [--threads 2] [--markdown FILE]

In each round both run the same clip in a new process each, one after the other; which comes first alternates. A round's
figure is the median of its runs; what is judged is the median of native over Python, round by round. It has to be
within 5 % of 1: a harness that is slower or faster than what it stands for measures itself.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dvfl_mobile.artifacts.make import Artifact, open_artifact
from dvfl_mobile.cli.progress import steps
from dvfl_mobile.data.drawn import moving_shapes
from dvfl_mobile.devices.base import DeviceRunner, find_device
from dvfl_mobile.devices.values import RunOptions
from dvfl_mobile.profiling.statistics import median_interval
from dvfl_mobile.progress import Step

MOST_DIFFERENCE = 0.05
HEAD = ["artifact", "native", "from Python", "native / Python", "95 % interval", "same logits", "within 5 %"]


def race(artifact: Artifact, rounds: int, options: RunOptions, step: Step) -> list[str]:
    """One line of the table."""
    manifest = artifact.manifest
    clip = moving_shapes(manifest.clip, 1)[0].pixels
    native, python = find_device("host:native"), find_device("host")
    figures, hashes = np.empty((rounds, 2)), set()
    with native.open(artifact.folder, manifest) as ours, python.open(artifact.folder, manifest) as theirs:
        runners: list[DeviceRunner] = [ours, theirs]
        with step(f"{manifest.target} {manifest.recipe}", rounds) as advance:
            for index in range(rounds):
                for which in (0, 1) if index % 2 else (1, 0):
                    measured = runners[which].measure(clip, options)
                    figures[index, which] = np.median(measured.duration_ns)
                    hashes.add(measured.output_sha256)
                advance()
    ratios = figures[:, 0] / figures[:, 1]
    median, interval = np.median(ratios), median_interval(ratios)
    said = "needs 6 rounds" if interval is None else "{:.3f} to {:.3f}".format(*interval)
    medians = [f"{np.median(figures[:, which]) / 1e6:.2f} ms" for which in (0, 1)]
    is_met = abs(median - 1) <= MOST_DIFFERENCE
    name = f"{manifest.model}/{manifest.target}/{manifest.recipe}"
    same = "yes" if len(hashes) == 1 else "no"
    return [name, *medians, f"{median:.3f}", said, same, "met" if is_met else "MISSED"]


def table(lines: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [HEAD, ["---"] * len(HEAD), *lines])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("artifacts", type=Path, nargs="+")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--markdown", type=Path, help="also write the table here")
    options = parser.parse_args()
    asked = RunOptions(warmup=options.warmup, runs=options.runs, threads=options.threads)
    with steps() as step:
        lines = [race(open_artifact(folder), options.rounds, asked, step) for folder in options.artifacts]
    print(table(lines))
    if options.markdown:
        options.markdown.write_text(table(lines) + "\n", encoding="utf-8")
    return 0 if all(line[-1] == "met" for line in lines) else 5


if __name__ == "__main__":
    sys.exit(main())
