"""Sustained runs: how latency changes as a device warms, and where it settles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dvfl_mobile.errors import InconclusiveError
from dvfl_mobile.profiling.document import Round, Sustained, Window
from dvfl_mobile.profiling.statistics import Floats, trend
from dvfl_mobile.spelling import option

WINDOWS = 40
_LEAST_WINDOWS = 6
_STEADY_WINDOWS = 5
_HEAD_WINDOWS = 3
STEADY_CHANGE = 0.02
"""Steady: no trend can be found, or one of less than 2 % from its first window to its last."""
_TREND_P = 0.05


def sustained_curve(rounds: Sequence[Round], asked_s: float) -> Sustained:
    """Windows of equal length, and from which of them on nothing changes any more.

    Raises:
        InconclusiveError: so few runs fit into the time that there is no curve.
    """
    elapsed, durations = elapsed_s(rounds), _durations(rounds)
    span = float(elapsed[-1]) + durations[-1] / 1e9
    windows = _windows(elapsed, durations, span)
    if len(windows) < _LEAST_WINDOWS:
        raise InconclusiveError(
            f"{len(durations)} runs fit into {span:.0f} s: too few for a curve.",
            hint=f"Give {option('sustained_s')} more time.",
        )
    values = np.array([window.median_ns for window in windows])
    start = _steady_from(values)
    steady = float(np.median(values[start:])) if start is not None else None
    return Sustained(
        asked_s=asked_s,
        busy=min(1.0, float(durations.sum() / 1e9 / span)),
        windows=windows,
        first_ns=windows[0].median_ns,
        steady_ns=steady,
        steady_from_s=windows[start].start_s if start is not None else None,
        slowdown=(steady if steady is not None else float(values[-1])) / windows[0].median_ns,
    )


def elapsed_s(rounds: Sequence[Round]) -> Floats:
    """Seconds from the first run's beginning to each run's, over all rounds.

    By the device's monotonic clock. Where that isn't one clock for all of its processes, so that a round would begin
    before the one before it ended, rounds are laid end to end.
    """
    started: list[float] = []
    clock, offset = 0, -rounds[0].started_ns[0]
    for each in rounds:
        if each.started_ns[0] + offset < clock:
            offset = clock - each.started_ns[0]
        started += [(start + offset) / 1e9 for start in each.started_ns]
        clock = each.started_ns[-1] + offset + each.duration_ns[-1]
    return np.array(started)


def _durations(rounds: Sequence[Round]) -> Floats:
    return np.array([duration for each in rounds for duration in each.duration_ns], np.float64)


def _windows(elapsed: Floats, durations: Floats, span: float) -> tuple[Window, ...]:
    # Five runs in a window at least, so that its median is one.
    length = max(span / WINDOWS, 5 * span / len(durations))
    found = []
    for index in range(int(np.ceil(span / length))):
        inside = durations[(elapsed >= index * length) & (elapsed < (index + 1) * length)]
        if len(inside):
            found.append(Window(start_s=index * length, runs=len(inside), median_ns=float(np.median(inside))))
    return tuple(found)


def _steady_from(values: Floats) -> int | None:
    """The first window from which on nothing changes, over at least a quarter of all: no trend that matters, and a
    beginning that lies where the rest does. A median slope alone would not see a short rise before a long level."""
    least = max(_STEADY_WINDOWS, len(values) // 4)
    for start in range(len(values) - least + 1):
        rest = values[start:]
        chance, change = trend(rest)
        if (chance > _TREND_P or abs(change) < STEADY_CHANGE) and _begins_level(rest):
            return start
    return None


def _begins_level(values: Floats) -> bool:
    """Whether the first windows lie no further from the others' median than 2 %, or than three times their spread."""
    level = float(np.median(values[_HEAD_WINDOWS:]))
    spread = 1.4826 * float(np.median(np.abs(values - level)))
    return bool(abs(np.median(values[:_HEAD_WINDOWS]) - level) <= max(STEADY_CHANGE * level, 3 * spread))
