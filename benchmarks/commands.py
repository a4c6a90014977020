"""What the command line itself costs: time to `--help`, time and peak memory of a `deploy` to all targets.

    python benchmarks/commands.py [--runs 5]

Needs a Unix: peak memory is what the kernel says of the finished process.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from dvfl_mobile.model.architecture import Architecture
from dvfl_mobile.model.default import seeded_student
from dvfl_mobile.model.student import save_student

MOST_HELP_SECONDS = 0.3
MOST_DEPLOY_SECONDS = 180.0
MOST_DEPLOY_BYTES = 6e9
# ru_maxrss counts kilobytes on Linux and bytes on macOS.
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024


def measure(arguments: Sequence[str]) -> tuple[float, float]:
    """Seconds, and peak bytes of the process, of one `dvfl-mobile` run."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "dvfl_mobile", *arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    if status:
        raise SystemExit(f"dvfl-mobile {' '.join(arguments)} ended with {os.waitstatus_to_exitcode(status)}")
    return seconds, usage.ru_maxrss * _RSS_UNIT


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, help="runs of --help; deploy is run once")
    options = parser.parse_args()
    help_seconds = median(measure(["--help"])[0] for _ in range(options.runs))
    with tempfile.TemporaryDirectory() as folder:
        nano = Path(folder, "nano.safetensors")
        save_student(seeded_student(Architecture.variant("nano", 8)), nano)
        deploy_seconds, deploy_bytes = measure(["deploy", str(nano), "-o", folder])
    print(f"dvfl-mobile --help: {help_seconds:.2f} s (median of {options.runs}); bar {MOST_HELP_SECONDS} s")
    print(f"dvfl-mobile deploy, nano to all targets in fp32: {deploy_seconds:.0f} s; bar {MOST_DEPLOY_SECONDS:.0f} s")
    print(f"  peak memory {deploy_bytes / 1e9:.1f} GB; bar {MOST_DEPLOY_BYTES / 1e9:.0f} GB")
    met = help_seconds < MOST_HELP_SECONDS and deploy_seconds < MOST_DEPLOY_SECONDS and deploy_bytes < MOST_DEPLOY_BYTES
    return 0 if met else 5


if __name__ == "__main__":
    sys.exit(main())
