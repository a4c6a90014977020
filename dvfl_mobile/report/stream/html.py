"""A stream as one self-contained HTML page."""

from __future__ import annotations

from html import escape

from dvfl_mobile.report.formats.html import page, paragraph, table
from dvfl_mobile.report.stream import drawings, policies, words
from dvfl_mobile.streaming.document import StreamReport
from dvfl_mobile.streaming.figures import StreamFigures

_MOST_ROWS = 200
_MEANING = (
    "The bar is what is said. The line below it is its smoothed probability, or that of the likeliest class where "
    "nothing is said; the dashed line is the threshold."
)
_TRUTH = "The thin bar above is the class of the video that is on. "
_FIGURES = (
    "A scene is one recording; a cut is a scene of another class than the one before. A cut is decided with the first "
    "right answer after it. The intervals are of what other scenes might give: whole scenes are drawn anew."
)
_COLUMNS = (
    "50 % in, 90 % in: within how long so many of the cuts are decided. Unbeaten: in so many of the draws of scenes. "
    "Time wrong isn't compared: it is what more time right may cost."
)
_POLICIES = (
    "Each point is a policy: the higher, the longer it is right; the further left, the less it changes its mind. Full "
    "points are those that nothing beats; the ring is the policy above."
)


def html(report: StreamReport) -> str:
    """The whole report."""
    known = any(video.label is not None for video in report.videos)
    title = words.title(report)
    caption = f"{_TRUTH if known else ''}{_MEANING}"
    return page(
        title,
        [
            drawings.STYLE,
            f"<h1>{escape(title)}</h1>",
            paragraph(f"By dvfl-mobile {report.tool_version}, on {report.runner}.", "quiet"),
            paragraph(words.policy_line(report.policy)),
            paragraph(words.summary_line(report)),
            *(paragraph(words.pace_line(pace, report.policy)) for pace in report.paces),
            *(_figures(report.figures) if report.figures else []),
            *(_sweep(report) if report.sweep else []),
            "<h2>Over time</h2>",
            drawings.legend(report),
            f"<figure>{drawings.time_line(report)}<figcaption>{caption}</figcaption></figure>",
            *(_scenes(report) if words.has_cuts(report) else _spans(report)),
            *(paragraph(note, "quiet") for note in report.notes),
        ],
    )


def _figures(figures: StreamFigures) -> list[str]:
    return [
        "<h2>How right it is</h2>",
        paragraph(words.figures_line(figures)),
        table(words.figure_columns(figures), words.figure_rows(figures)),
        paragraph(_FIGURES, "quiet"),
    ]


def _sweep(report: StreamReport) -> list[str]:
    return [
        "<h2>Other policies</h2>",
        paragraph(words.sweep_line(report)),
        f"<figure>{policies.picture(report)}<figcaption>{_POLICIES}</figcaption></figure>",
        table(words.sweep_columns(report, is_full=True), words.sweep_rows(report, is_full=True)),
        paragraph(_COLUMNS, "quiet"),
    ]


def _scenes(report: StreamReport) -> list[str]:
    more = words.beyond(len(report.scenes), _MOST_ROWS)
    return [
        "<h2>Scenes</h2>",
        table(words.SCENE_COLUMNS, words.scene_rows(report, _MOST_ROWS)),
        *([paragraph(more, "quiet")] if more else []),
    ]


def _spans(report: StreamReport) -> list[str]:
    more = words.beyond(len(report.spans), _MOST_ROWS)
    return [
        "<h2>What is said</h2>",
        table(words.SPAN_COLUMNS, words.span_rows(report, _MOST_ROWS)),
        *([paragraph(more, "quiet")] if more else []),
    ]
