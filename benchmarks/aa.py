"""A/A test: an artifact against itself on this machine, many times. How often is a false difference reported?

    python benchmarks/aa.py FOLDER [--device host] [--repetitions 30] [--runs 120] [--threads N]

FOLDER is an artifact's. Each repetition is a whole comparison as `dvfl-mobile profile A --against A` makes it, with
coins of its own. The interval is meant to leave 1 out in at most 1 of 20, and a difference to be called less often
still, since it must be beyond the noise floor too. Ends with 1 if more than 2 in 30 are called different.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from dvfl_mobile.artifacts.make import open_artifact
from dvfl_mobile.data.clips import Clip
from dvfl_mobile.data.drawn import moving_shapes
from dvfl_mobile.devices.base import find_device
from dvfl_mobile.profiling.document import DeviceProfile
from dvfl_mobile.profiling.plan import RUNS, Plan
from dvfl_mobile.profiling.session import profile_device
from dvfl_mobile.profiling.subjects import Subject

MOST_CALLED = 2 / 30


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--device", default="host")
    parser.add_argument("--repetitions", type=int, default=30)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    artifact, device = open_artifact(options.folder), find_device(options.device)
    [drawn] = moving_shapes(artifact.manifest.clip, 1)
    subject = Subject(artifact, Clip(drawn.pixels, drawn.name), None, "the reference form isn't run here.")

    print("| # | median | B / A | 95 % interval | leaves 1 out | noise floor | called | findings |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    begun, outside, called = time.monotonic(), 0, 0
    for number in range(options.repetitions):
        plan = Plan(runs=options.runs, threads=options.threads, seed=number)
        found = profile_device(device, [subject, subject], plan)
        row, is_outside, is_called = _row(number, found)
        outside, called = outside + is_outside, called + is_called
        print(row, flush=True)
    count = options.repetitions
    print(f"\n{outside} of {count} intervals leave 1 out; {called} of {count} are called different.", end=" ")
    print(f"{time.monotonic() - begun:.0f} s on {device.facts.device} ({device.facts.model}).")
    return int(called > MOST_CALLED * count)


def _row(number: int, found: DeviceProfile) -> tuple[str, bool, bool]:
    comparison, noise = found.comparison, found.noise
    assert comparison is not None
    assert noise is not None
    assert comparison.interval is not None
    low, high = comparison.interval
    is_outside, is_called = not low <= 1 <= high, comparison.result in ("faster", "slower")
    findings = ", ".join(dict.fromkeys(finding.kind for finding in found.findings))
    cells = (
        str(number + 1),
        f"{found.a.summary.p50_ns / 1e6:.3f} ms",
        f"{comparison.ratio:.4f}",
        f"{low:.4f} to {high:.4f}",
        "yes" if is_outside else "no",
        f"{100 * (noise.floor - 1):.2f} %",
        comparison.result,
        findings,
    )
    return f"| {' | '.join(cells)} |", is_outside, is_called


if __name__ == "__main__":
    sys.exit(main())
