"""A stream's policy, times and figures in words."""

from __future__ import annotations

from dvfl_mobile.data.camera import TICKS_PER_S
from dvfl_mobile.streaming.document import StreamReport
from dvfl_mobile.streaming.policy import Policy
from dvfl_mobile.wording import plural

SPAN_COLUMNS = ("from", "to", "said")


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


def beyond(report: StreamReport, most: int) -> str:
    """That there are more stretches; empty where there are none."""
    more = len(report.spans) - most
    return f"And {more} more." if more > 0 else ""


def clock(seconds: float) -> str:
    """`1:02.3`, and with hours `1:00:02.3`."""
    tenths = round(seconds * 10)
    minutes, rest = divmod(tenths, 600)
    hours = f"{minutes // 60}:{minutes % 60:02d}" if minutes >= 60 else str(minutes)
    return f"{hours}:{rest // 10:02d}.{rest % 10}"
