"""Character plots for terminals: histogram and time line."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_EIGHTHS = " ▏▎▍▌▋▊▉█"
_HEIGHTS = "▁▂▃▄▅▆▇█"
BINS, BAR_WIDTH, LINE_WIDTH = 12, 40, 72


def histogram(samples: Sequence[int]) -> list[tuple[float, float, int, str]]:
    """Bins of equal width with their bars: from, to, how many, bar. The last takes all beyond the 99th percentile.

    One straggler of ten times the median would leave all others in one bin.
    """
    values = np.array(samples, np.float64)
    low, high = float(values.min()), float(np.quantile(values, 0.99))
    if high <= low:
        return [(low, float(values.max()), len(values), bar(1.0))]
    edges = np.linspace(low, high, BINS + 1)
    counts, _ = np.histogram(np.minimum(values, high), edges)
    edges[-1] = values.max()
    most = max(1, int(counts.max()))
    return [
        (float(start), float(end), int(count), bar(count / most))
        for start, end, count in zip(edges[:-1], edges[1:], counts, strict=True)
    ]


def bar(share: float, width: int = BAR_WIDTH) -> str:
    """A bar of so much of the width, to an eighth of a character."""
    eighths = round(share * width * 8)
    return "█" * (eighths // 8) + (_EIGHTHS[eighths % 8] if eighths % 8 else "")


def time_line(samples: Sequence[int], width: int = LINE_WIDTH) -> str:
    """Runs in their order, a character for one run or for the median of several, from the least to the most."""
    values = np.array(samples, np.float64)
    if len(values) > width:
        values = np.array([np.median(part) for part in np.array_split(values, width)])
    low, high = float(values.min()), float(values.max())
    if high <= low:
        return _HEIGHTS[0] * len(values)
    places = ((values - low) / (high - low) * (len(_HEIGHTS) - 1)).round().astype(int)
    return "".join(_HEIGHTS[place] for place in places)
