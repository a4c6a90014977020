"""A stream for the terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from dvfl_mobile.report.formats.terminal import grid, paragraph
from dvfl_mobile.report.stream import words
from dvfl_mobile.streaming.document import StreamReport

_MOST_SPANS = 40


def terminal(report: StreamReport) -> RenderableType:
    """What was watched, by which policy, and what was said when."""
    more = words.beyond(report, _MOST_SPANS)
    return Group(
        Text(words.title(report), "bold"),
        Text(words.policy_line(report.policy)),
        Text(words.summary_line(report)),
        Text(),
        grid(words.SPAN_COLUMNS, words.span_rows(report, _MOST_SPANS), folding={2}, right={0, 1}),
        *([Text(more)] if more else []),
        *paragraph(report.notes),
    )
