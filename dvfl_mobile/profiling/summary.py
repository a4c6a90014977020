"""Figures of an artifact's rounds, and the frame rate that they allow."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dvfl_mobile.data.clips import ClipSpec
from dvfl_mobile.profiling.document import Round, Summary
from dvfl_mobile.profiling.statistics import P90_NEEDS_RUNS, P99_NEEDS_RUNS, median_interval, medians, percentile

CAMERA_FPS = 30


def summarize(rounds: Sequence[Round], spec: ClipSpec) -> Summary:
    """The figures of all runs that count, and of each round's beginning."""
    runs = np.array([duration for each in rounds for duration in each.duration_ns], np.float64)
    p50 = percentile(runs, 0.5)
    peaks = [each.peak_memory_bytes for each in rounds if each.peak_memory_bytes is not None]
    firsts = [each.warmup_ns[0] for each in rounds if each.warmup_ns]
    return Summary(
        runs=len(runs),
        rounds=len(rounds),
        p50_ns=p50,
        p90_ns=percentile(runs, 0.9) if len(runs) >= P90_NEEDS_RUNS else None,
        p99_ns=percentile(runs, 0.99) if len(runs) >= P99_NEEDS_RUNS else None,
        least_ns=int(runs.min()),
        most_ns=int(runs.max()),
        mean_ns=float(runs.mean()),
        deviation_ns=float(runs.std(ddof=1)) if len(runs) > 1 else 0.0,
        variation=float(runs.std(ddof=1) / runs.mean()) if len(runs) > 1 else 0.0,
        median_interval_ns=median_interval(medians([each.duration_ns for each in rounds])),
        load_ns=float(np.median([each.load_ns for each in rounds])),
        first_ns=float(np.median(firsts)) if firsts else None,
        clips_per_s=1e9 / p50,
        frames_per_s=spec.frames * 1e9 / p50,
        real_time_factor=clip_span_s(spec) * 1e9 / p50,
        peak_memory_bytes=max(peaks, default=None),
        threads=rounds[-1].threads,
    )


def clip_span_s(spec: ClipSpec) -> float:
    """Seconds of a 30-fps camera that one clip stands for: T frames, one of every `frame_interval`.

    The official pipeline spreads its T frames over the whole of a trimmed video, however long; a camera has no end.
    What is assumed of an app: it takes every `frame_interval`-th frame, as training did, and clips follow each other
    without overlap. An app that runs a clip more often needs a factor that much higher.
    """
    return spec.frames * spec.frame_interval / CAMERA_FPS
