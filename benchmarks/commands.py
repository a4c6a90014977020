"""What the command line itself costs: time to `--help`, time and peak memory of a `deploy` to all targets.

    python benchmarks/commands.py [--runs 5] [--data DATA --checkpoint CHECKPOINT]

With DATA, clips in UCF's layout, also what int8 costs: `quantize` on 64 clips, and `deploy --recipe w8a8` with parity
on 16, each step's seconds with it; scales that were found before aren't used. Needs a Unix: peak memory is what the
kernel says of the finished process.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import IO

from dvfl_mobile.files import CACHE_VARIABLE
from dvfl_mobile.model.architecture import Architecture
from dvfl_mobile.model.default import seeded_student
from dvfl_mobile.model.student import save_student

MOST_HELP_SECONDS = 0.3
MOST_DEPLOY_SECONDS = 180.0
MOST_DEPLOY_BYTES = 6e9
MOST_QUANTIZE_SECONDS = 60.0
MOST_INT8_DEPLOY_SECONDS = 150.0
# ru_maxrss counts kilobytes on Linux and bytes on macOS.
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024


def measure(
    arguments: Sequence[str], log: IO[str] | None = None, environment: Mapping[str, str] | None = None
) -> tuple[float, float]:
    """Seconds, and peak bytes of the process, of one `dvfl-mobile` run; `log` takes its stderr."""
    command = [sys.executable, "-m", "dvfl_mobile", *arguments]
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log, env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    if status:
        raise SystemExit(f"dvfl-mobile {' '.join(arguments)} ended with {os.waitstatus_to_exitcode(status)}")
    return seconds, usage.ru_maxrss * _RSS_UNIT


def measure_int8(data: Path, checkpoint: Path) -> bool:
    """Print what `quantize` and `deploy` take, step by step; whether both stay below their bars."""
    clips = ["--calib", str(data)]
    deploy = ["deploy", str(checkpoint), "--recipe", "w8a8", *clips, "--clips", str(data), "--max-clips", "16"]
    met = True
    for command, most in (
        (["quantize", str(checkpoint), *clips], MOST_QUANTIZE_SECONDS),
        (deploy, MOST_INT8_DEPLOY_SECONDS),
    ):
        with tempfile.TemporaryDirectory() as folder, Path(folder, "log").open("w+", encoding="utf-8") as log:
            seconds, _ = measure([*command, "-o", folder], log, {**os.environ, CACHE_VARIABLE: folder})
            log.seek(0)
            steps = re.findall(r"^ *(.+) … ([0-9.]+) s$", log.read(), re.MULTILINE)
        print(f"dvfl-mobile {command[0]}, int8 on 64 clips: {seconds:.0f} s; bar {most:.0f} s")
        for step, taken in steps:
            print(f"  {step}: {taken} s")
        met = met and seconds < most
    return met


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, help="runs of --help; deploy is run once")
    parser.add_argument("--data", type=Path, help="clips in UCF's layout; with --checkpoint: int8 too")
    parser.add_argument("--checkpoint", type=Path, help="a nano in the official format")
    options = parser.parse_args()
    if (options.data is None) != (options.checkpoint is None):
        parser.error("--data and --checkpoint go together")
    help_seconds = median(measure(["--help"])[0] for _ in range(options.runs))
    with tempfile.TemporaryDirectory() as folder:
        nano = Path(folder, "nano.safetensors")
        save_student(seeded_student(Architecture.variant("nano", 8)), nano)
        deploy_seconds, deploy_bytes = measure(["deploy", str(nano), "-o", folder])
    print(f"dvfl-mobile --help: {help_seconds:.2f} s (median of {options.runs}); bar {MOST_HELP_SECONDS} s")
    print(f"dvfl-mobile deploy, nano to all targets in fp32: {deploy_seconds:.0f} s; bar {MOST_DEPLOY_SECONDS:.0f} s")
    print(f"  peak memory {deploy_bytes / 1e9:.1f} GB; bar {MOST_DEPLOY_BYTES / 1e9:.0f} GB")
    met = help_seconds < MOST_HELP_SECONDS and deploy_seconds < MOST_DEPLOY_SECONDS and deploy_bytes < MOST_DEPLOY_BYTES
    if options.data is not None:
        met = measure_int8(options.data, options.checkpoint) and met
    return 0 if met else 5


if __name__ == "__main__":
    sys.exit(main())
