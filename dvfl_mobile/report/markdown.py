"""Reports as GitHub-flavoured Markdown, for the summary of a CI job."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from dvfl_mobile.parity import ParityReport
from dvfl_mobile.report import tables
from dvfl_mobile.report.summary import DeploySummary


def parity(report: ParityReport) -> str:
    """A parity report, with its worst few clips."""
    parts = [
        f"### Parity of {_escape(tables.parity_title(report))}: **{report.verdict.value}**",
        _escape(tables.parity_source(report)),
        _list(report.reasons),
        _table(tables.CHECK_COLUMNS, tables.check_rows(report)),
        *map(_escape, tables.worst_clip(report)),
    ]
    if report.rows:
        parts += [
            tables.clip_title(report, verbose=False) + ":",
            _table(tables.CLIP_COLUMNS, tables.clip_rows(report, verbose=False)),
        ]
    return _document([*parts, _list(tables.parity_remarks(report))])


def deploy(summary: DeploySummary) -> str:
    """The summary of a deploy."""
    return _document(
        [
            f"### Deploy of {_escape(summary.model)}: **{summary.verdict.value}**",
            _escape(f"From {summary.checkpoint}. {tables.deploy_headline(summary)}"),
            _table(tables.DEPLOY_COLUMNS, tables.deploy_rows(summary)),
            _escape(tables.deploy_places(summary)),
            _list(summary.reasons),
            _list(tables.deploy_remarks(summary)),
        ]
    )


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [_row(columns), _row(["---"] * len(columns)), *(_row([_escape(cell) for cell in row]) for row in rows)]
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _list(sentences: Iterable[str]) -> str:
    return "\n".join(f"- {_escape(sentence)}" for sentence in sentences)


def _document(parts: Iterable[str]) -> str:
    return "\n\n".join(part for part in parts if part) + "\n"


def _escape(text: str) -> str:
    """`text` as it stands: no pipe ends a cell, and no name becomes emphasis, a link or HTML."""
    return re.sub(r"([\\`*_\[\]<>|~&])", r"\\\1", text)
