"""A stream for the terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from dvfl_mobile.report.formats.terminal import grid, paragraph
from dvfl_mobile.report.stream import words
from dvfl_mobile.streaming.document import StreamReport
from dvfl_mobile.streaming.figures import StreamFigures

_MOST_SPANS = 40


def terminal(report: StreamReport) -> RenderableType:
    """What was watched, by which policy, and how right it was, or what was said when."""
    return Group(
        Text(words.title(report), "bold"),
        Text(words.policy_line(report.policy)),
        Text(words.summary_line(report)),
        *(Text(words.pace_line(pace, report.policy)) for pace in report.paces),
        Text(),
        *(_figures(report.figures) if report.figures else []),
        *([Text()] if report.figures and not words.has_cuts(report) else []),
        *([] if words.has_cuts(report) else _spans(report)),
        *(_sweep(report) if report.sweep else []),
        *paragraph(report.notes),
    )


def _spans(report: StreamReport) -> list[RenderableType]:
    more = words.beyond(len(report.spans), _MOST_SPANS)
    return [
        grid(words.SPAN_COLUMNS, words.span_rows(report, _MOST_SPANS), folding={2}, right={0, 1}),
        *([Text(more)] if more else []),
    ]


def _figures(figures: StreamFigures) -> list[RenderableType]:
    return [
        Text(words.figures_line(figures)),
        Text(),
        grid(words.figure_columns(figures), words.figure_rows(figures), right={1, 2}),
    ]


def _sweep(report: StreamReport) -> list[RenderableType]:
    columns = words.sweep_columns(report)
    return [
        Text(),
        Text(words.sweep_line(report)),
        Text(),
        grid(columns, words.sweep_rows(report), right=range(len(columns))),
    ]
