"""A stream as JSON lines, with the logits that an app's own policy can be tried on, and as subtitles."""

from __future__ import annotations

import json

from dvfl_mobile.streaming.document import StreamReport
from dvfl_mobile.streaming.stream import Streamed
from dvfl_mobile.streaming.watch import Watched

DONT_KNOW = "(don't know)"


def json_lines(streamed: Streamed) -> str:
    """A line with policy and classes, then one for each answer."""
    report, watched = streamed.report, streamed.watched
    head = {"schema_version": 1, "policy": report.policy.model_dump(), "classes": list(report.classes)}
    return "".join(f"{json.dumps(line)}\n" for line in [head, *_answers(report, watched)])


def _answers(report: StreamReport, watched: Watched) -> list[dict[str, object]]:
    return [
        {
            "seconds": answer.seconds,
            "label": answer.label,
            "probability": answer.probability,
            "logits": logits.astype(float).tolist(),
        }
        for answer, logits in zip(report.answers, watched.logits, strict=True)
    ]


def subtitles(report: StreamReport) -> str:
    """SubRip: what is said, as long as it is said."""
    cues = [
        f"{number}\n{_clock(start)} --> {_clock(end)}\n{label or DONT_KNOW}\n"
        for number, (start, end, label) in enumerate(report.spans, 1)
    ]
    return "\n".join(cues)


def _clock(seconds: float) -> str:
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d},{rest % 1000:03d}"
