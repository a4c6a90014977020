"""What scaling and cropping a clip's frames costs: `prepare` of 8 frames of 320x240, as UCF's videos have them.

python benchmarks/preparing.py [--runs 30]
"""

from __future__ import annotations

import argparse
import time
from statistics import median

import numpy as np

from dvfl_mobile.data.clips import ClipSpec
from dvfl_mobile.data.video import prepare

MOST_SECONDS = 0.030
"""A clip a second is what a demo shows; preparing may take a small part of that."""


def main() -> None:
    """Print the least and the median time; end with 1 if the least is more than `MOST_SECONDS`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=30)
    runs = parser.parse_args().runs
    frames = np.random.default_rng(4).integers(0, 256, (8, 240, 320, 3), dtype=np.uint8)
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        prepare(frames, ClipSpec())
        seconds.append(time.perf_counter() - start)
    print(f"8 frames: least {min(seconds) * 1e3:.1f} ms, median {median(seconds) * 1e3:.1f} ms of {runs} runs")
    if min(seconds) > MOST_SECONDS:
        raise SystemExit(f"more than {MOST_SECONDS * 1e3:g} ms")


if __name__ == "__main__":
    main()
