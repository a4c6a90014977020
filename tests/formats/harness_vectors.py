"""The numbers that both languages must give: written here by Python, and asserted by the Swift tests too.

Run as a script, it writes `harness_vectors.json` anew.
"""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dvfl_mobile.metrics import compared

PATH = Path(__file__).with_name("harness_vectors.json")


def vectors() -> dict[str, Any]:
    """Everything in the file."""
    return {
        "sha256": [_hashed(length) for length in (0, 1, 3, 55, 56, 63, 64, 65, 119, 120, 1000, 100_003)],
        "statistics": [_figures(count) for count in (1, 2, 3, 5, 10, 21, 59)],
        "distances": [_distance(case) for case in range(8)],
    }


def _hashed(length: int) -> dict[str, Any]:
    """The hash of the bytes 0, 7, 14, … modulo 251, so many of them."""
    data = bytes((7 * index) % 251 for index in range(length))
    return {"length": length, "sha256": hashlib.sha256(data).hexdigest()}


def _figures(count: int) -> dict[str, Any]:
    """Figures of so many times; for 21 and 59 the ranks change where the factor is another in its third digit."""
    values = np.random.RandomState(count).lognormal(16, 0.2, count).round()
    median, low, high = _median_interval(values)
    return {
        "values": values.tolist(),
        "p50": median,
        "p90": float(np.percentile(values, 90)),
        "p99": float(np.percentile(values, 99)),
        "median_low": low,
        "median_high": high,
    }


def _median_interval(values: NDArray[np.float64]) -> tuple[float, float, float]:
    """The median and its 95 % interval as HarnessCore computes them: ranks by the normal approximation."""
    ordered, half = np.sort(values), 0.98 * math.sqrt(len(values))
    low = max(0, math.floor(len(values) / 2 - half))
    high = min(len(values) - 1, math.ceil(len(values) / 2 + half) - 1)
    return float(np.median(values)), float(ordered[low]), float(ordered[high])


def _distance(case: int) -> dict[str, Any]:
    """Two sets of logits of 4 clips and 8 classes.

    The first have equal ones, the fifth only zeros to refer to, the sixth masked classes and shifts, the seventh a
    class far above the others in one clip, the last in all.
    """
    random = np.random.RandomState(case)
    reference = random.normal(0, 3, (4, 8))
    noise = random.normal(0, [0, 1e-5, 0.1, 2, 1, 0.5, 0.5, 0.5][case], (4, 8))
    if case == 4:
        reference[:] = 0
    if case == 5:
        reference[:, [1, 4]] = -1e4
        reference += [[100], [-100], [7], [0]]
    if case >= 6:
        reference[: 1 if case == 6 else 4, 2] = 1e3
    reference = reference.astype(np.float32)
    candidate = reference + noise.astype(np.float32)
    first, second = reference.astype(np.float64), candidate.astype(np.float64)
    left = compared(first, second)
    decibels = float("nan") if left.sqnr_db is None else left.sqnr_db
    return {
        "reference": reference.ravel().tolist(),
        "candidate": candidate.ravel().tolist(),
        "classes": 8,
        "sqnr_db": decibels if np.isfinite(decibels) else str(decibels),
        "most_absolute": float(np.abs(left.reference - left.candidate).max()),
        "same_top": int((first.argmax(-1) == second.argmax(-1)).sum()),
    }


if __name__ == "__main__":
    PATH.write_text(json.dumps(vectors(), indent=1) + "\n", encoding="utf-8")
