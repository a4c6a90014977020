"""A stream's policy, times and figures in words."""

from __future__ import annotations

from collections.abc import Callable

from dvfl_mobile.data.camera import TICKS_PER_S
from dvfl_mobile.streaming.document import StreamReport
from dvfl_mobile.streaming.figures import Figure, StreamFigures
from dvfl_mobile.streaming.pace import Pace
from dvfl_mobile.streaming.policy import Policy
from dvfl_mobile.streaming.sweep import SweepRow
from dvfl_mobile.wording import plural

SPAN_COLUMNS = ("from", "to", "said")
SCENE_COLUMNS = ("from", "to", "on", "right after", "time right")
_SWEEP_COLUMNS = ("every", "half-life", "hysteresis", "right", "wrong", "50 % in", "90 % in", "changes", "clips/s")
NEVER = "never"
_KEEP = "\N{NO-BREAK SPACE}"


def title(report: StreamReport) -> str:
    return f"{report.source}, by {report.artifact.title}"


def policy_line(policy: Policy) -> str:
    """The policy in one sentence."""
    smoothed = f"smoothed with a half-life of {policy.half_life_s:g} s" if policy.half_life_s else "not smoothed"
    return (
        f"An answer every {plural(policy.every, 'tick')} of {TICKS_PER_S} a second, {TICKS_PER_S / policy.every:.3g} a "
        f"second, {smoothed}; a label is said from {policy.threshold:g} on, with a hysteresis of {policy.hysteresis:g}."
    )


def summary_line(report: StreamReport) -> str:
    """How long, how many answers, how often what is said changes."""
    changes = len(report.spans) - 1
    return (
        f"{plural(len(report.answers), 'answer')} over {report.duration_s:.1f} s, the first after "
        f"{report.answers[0].seconds:.2f} s; what is said changes {plural(changes, 'time')}."
    )


def span_rows(report: StreamReport, most: int) -> list[tuple[str, ...]]:
    """The first stretches in which the same is said."""
    return [(clock(start), clock(end), label or "don't know") for start, end, label in report.spans[:most]]


def beyond(count: int, most: int) -> str:
    """That there are more of them than are shown; empty where there are not."""
    more = count - most
    return f"And {more} more." if more > 0 else ""


def has_cuts(report: StreamReport) -> bool:
    """Whether more than one class is on: then scenes are listed, and not each thing that is said."""
    return report.figures is not None and report.figures.cuts > 0


def figures_line(figures: StreamFigures) -> str:
    """What the figures are of."""
    undecided = f", {figures.undecided} of them never decided" if figures.undecided else ""
    return (
        f"Over {figures.minutes:.1f} minutes, {plural(figures.scenes, 'scene')} and {plural(figures.cuts, 'cut')}"
        f"{undecided}:"
    )


def figure_columns(figures: StreamFigures) -> tuple[str, ...]:
    return ("", "", "95 % interval" if figures.right.interval else "")


def figure_rows(figures: StreamFigures) -> list[tuple[str, ...]]:
    """Each figure with its interval."""
    per_minute = figures.cuts / figures.minutes
    return [
        _row("time right", figures.right, _share),
        _row("time wrong", figures.wrong, _share),
        _row("nothing said", figures.silent, _share),
        *([_row("half of the cuts decided in", figures.decided_median_s, _time)] if figures.decided_median_s else []),
        *([_row("nine of ten decided in", figures.decided_p90_s, _time)] if figures.decided_p90_s else []),
        _row(f"changes a minute, at {per_minute:.1f} cuts", figures.changes_per_minute, _count),
        ("clips a second", f"{figures.clips_per_s:.3g}", ""),
    ]


def scene_rows(report: StreamReport, most: int) -> list[tuple[str, ...]]:
    """The first scenes, and how soon and how long each was known."""
    return [
        (
            clock(scene.start_s),
            clock(scene.end_s),
            scene.label,
            _time(scene.decided_s) if scene.is_cut else "-",
            _share(scene.right),
        )
        for scene in report.scenes[:most]
    ]


def sweep_columns(report: StreamReport, *, is_full: bool = False) -> tuple[str, ...]:
    """Of the table of policies; `is_full`: with what a terminal has no room for."""
    if not is_full:
        return _SWEEP_COLUMNS
    return (*_SWEEP_COLUMNS, "unbeaten", *(f"load on {pace.device}" for pace in report.paces))


def sweep_rows(report: StreamReport, *, is_full: bool = False) -> list[tuple[str, ...]]:
    """The policies that nothing beats, those that are right longest first; `is_full`: as for the columns."""
    rows = sorted((row for row in report.sweep if row.is_unbeaten), key=lambda row: -(row.figures.right.value or 0))
    return [_sweep_row(row, report.paces, is_full=is_full) for row in rows]


def sweep_line(report: StreamReport) -> str:
    """How many there are, and what that means."""
    count = sum(row.is_unbeaten for row in report.sweep)
    return (
        f"Of {plural(len(report.sweep), 'policy', 'policies')} around this one nothing beats {count}: no other is at "
        "least as good in all of time right, time to decide, changes and clips a second, and better in one."
    )


def pace_line(pace: Pace, policy: Policy) -> str:
    """What a device keeps up with."""
    of = {"steady": "after a long run", "p90": "90th percentile", "median": "median"}[pace.latency_of]
    name = f"{pace.device} ({pace.model})" if pace.model else pace.device
    asked = f"an answer every {plural(policy.every, 'tick')}"
    keeps_up = policy.every >= pace.least_every
    answer = f"keeps up with {asked}, load {_load(pace, policy)}" if keeps_up else f"does not keep up with {asked}"
    return (
        f"{name} takes {pace.latency_ns / 1e6:.4g} ms for a clip, {of}: it {answer}; the closest that it keeps up with "
        f"is every {plural(pace.least_every, 'tick')}. Frames have to be prepared besides."
    )


def _sweep_row(row: SweepRow, paces: tuple[Pace, ...], *, is_full: bool) -> tuple[str, ...]:
    policy, figures = row.policy, row.figures
    median_s, p90_s = figures.decided_median_s, figures.decided_p90_s

    def shown(figure: Figure, write: Callable[[float | None], str]) -> str:
        between = _between(figure, write).removesuffix(" %").removesuffix(" s").replace(" ", _KEEP) if is_full else ""
        return f"{write(figure.value)}\n{between}" if between else write(figure.value)

    more: list[str] = []
    if is_full:
        share = row.unbeaten_share
        more = ["-" if share is None else _share(share), *(_load(pace, policy) for pace in paces)]
    return (
        str(policy.every),
        f"{policy.half_life_s:g} s",
        f"{policy.hysteresis:g}",
        shown(figures.right, _share),
        shown(figures.wrong, _share),
        shown(median_s, _time) if median_s else "-",
        shown(p90_s, _time) if p90_s else "-",
        shown(figures.changes_per_minute, _count),
        f"{figures.clips_per_s:.3g}",
        *more,
    )


def _load(pace: Pace, policy: Policy) -> str:
    if policy.every < pace.least_every:
        return "too slow"
    return f"{pace.latency_ns * TICKS_PER_S / policy.every / 1e7:.0f} %"


def _row(name: str, figure: Figure, write: Callable[[float | None], str]) -> tuple[str, ...]:
    return (name, write(figure.value), _between(figure, write))


def _between(figure: Figure, write: Callable[[float | None], str]) -> str:
    low, high = figure.interval or (None, None)
    if low is None and high is None:
        return ""
    first, last = write(low), write(high)
    # The unit once.
    return f"{first if last == NEVER else first.split()[0]} to {last}"


def _share(value: float | None) -> str:
    return f"{100 * (value or 0):.1f} %"


def _time(value: float | None) -> str:
    return NEVER if value is None else f"{value:.1f} s"


def _count(value: float | None) -> str:
    return f"{value or 0:.1f}"


def clock(seconds: float) -> str:
    """`1:02.3`, and with hours `1:00:02.3`."""
    tenths = round(seconds * 10)
    minutes, rest = divmod(tenths, 600)
    hours = f"{minutes // 60}:{minutes % 60:02d}" if minutes >= 60 else str(minutes)
    return f"{hours}:{rest // 10:02d}.{rest % 10}"
