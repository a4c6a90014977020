"""A stream as one self-contained HTML page."""

from __future__ import annotations

from html import escape

from dvfl_mobile.report.formats.html import page, paragraph, table
from dvfl_mobile.report.stream import drawings, words
from dvfl_mobile.streaming.document import StreamReport

_MOST_SPANS = 200
_MEANING = (
    "The bar is what is said. The line below it is its smoothed probability, or that of the likeliest class where "
    "nothing is said; the dashed line is the threshold."
)
_TRUTH = "The thin bar above is the class of the video that is on. "


def html(report: StreamReport) -> str:
    """The whole report."""
    known = any(video.label is not None for video in report.videos)
    title = words.title(report)
    more = words.beyond(report, _MOST_SPANS)
    caption = f"{_TRUTH if known else ''}{_MEANING}"
    return page(
        title,
        [
            drawings.STYLE,
            f"<h1>{escape(title)}</h1>",
            paragraph(f"By dvfl-mobile {report.tool_version}, on {report.runner}.", "quiet"),
            paragraph(words.policy_line(report.policy)),
            paragraph(words.summary_line(report)),
            "<h2>Over time</h2>",
            drawings.legend(report),
            f"<figure>{drawings.time_line(report)}<figcaption>{caption}</figcaption></figure>",
            "<h2>What is said</h2>",
            table(words.SPAN_COLUMNS, words.span_rows(report, _MOST_SPANS)),
            *([paragraph(more, "quiet")] if more else []),
            *(paragraph(note, "quiet") for note in report.notes),
        ],
    )
