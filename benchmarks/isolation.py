"""Overhead of the child process: an artifact run in one against the same artifact in this process, interleaved.

    python benchmarks/isolation.py FOLDER [--rounds 30]

FOLDER is an artifact's. Each round times one run of each, so that what slows the machine slows both; the ratio is the
median of the rounds' own ratios, with a 95 % interval. Logits have to be the same to the bit. On Linux it also gives
the memory that the child mapped.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from statistics import median

import numpy as np

from dvfl_mobile.artifacts.make import open_artifact
from dvfl_mobile.data.drawn import moving_shapes
from dvfl_mobile.profiling.statistics import median_interval
from dvfl_mobile.runners.base import open_here, open_runner
from dvfl_mobile.runners.child.isolated import IsolatedRunner

WARMUP = 3


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=30)
    options = parser.parse_args()
    artifact = open_artifact(options.folder)
    [clip] = [drawn.pixels for drawn in moving_shapes(artifact.manifest.clip, 1)]

    start = time.perf_counter()
    here = open_here(artifact.folder, artifact.manifest)
    seconds_here = time.perf_counter() - start
    start = time.perf_counter()
    child = open_runner(artifact.folder, artifact.manifest)
    print(f"opening: {seconds_here:.2f} s here, {time.perf_counter() - start:.2f} s in a child")
    assert isinstance(child, IsolatedRunner)
    assert np.array_equal(here.run(clip[None]), child.run(clip[None]))

    rounds = range(WARMUP + options.rounds)
    times = np.array([[runner.time(clip, 0, 1)[0] for runner in (child, here)] for _ in rounds], np.float64)[WARMUP:]
    ratios = times[:, 0] / times[:, 1]
    interval = median_interval(ratios)
    said = "no interval below 6 rounds" if interval is None else "{:.3f} to {:.3f}".format(*interval)
    in_child, in_this = np.median(times, axis=0) / 1e6
    print(f"a run: {in_this:.1f} ms here, {in_child:.1f} ms in the child: {np.median(ratios):.3f} ({said})")
    print(f"sending a clip of {clip.nbytes / 1e6:.1f} MB and getting logits: {_sending_ms(child, clip):.1f} ms")
    if sys.platform == "linux":
        print(f"memory of the child: {_mapped(child)}")
    return 0


def _sending_ms(child: IsolatedRunner, clip: np.ndarray) -> float:
    """Median of what a question takes that makes the runtime do nothing."""
    spent = []
    for _ in range(20):
        start = time.perf_counter()
        child.time(clip, 0, 0)
        spent.append(time.perf_counter() - start)
    return median(spent) * 1e3


def _mapped(child: IsolatedRunner) -> str:
    process = Path(f"/proc/{child._child.pid}")
    lines = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    limit = next(line for line in (process / "limits").read_text().splitlines() if line.startswith("Max address"))
    peak, resident = (int(lines[name].split()[0]) // 1024 for name in ("VmPeak", "VmHWM"))
    return f"{peak} MiB mapped at most, of {int(limit.split()[3]) // 2**20}; {resident} MiB resident"


if __name__ == "__main__":
    sys.exit(main())
