"""Reports as GitHub-flavoured Markdown, for the summary of a CI job."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from dvfl_mobile.parity.report import ParityReport
from dvfl_mobile.pipeline.summary import DeploySummary
from dvfl_mobile.report import parity as tables


def parity(report: ParityReport) -> str:
    """A parity report, with its worst few clips."""
    parts = [
        f"### Parity of {escape(tables.parity_title(report))}: **{report.verdict.value}**",
        escape(tables.parity_source(report)),
        bullets(report.reasons),
        table(tables.CHECK_COLUMNS, tables.check_rows(report)),
        *map(escape, tables.worst_clip(report)),
        bullets(tables.second_opinions(report)),
    ]
    if report.rows:
        parts += [
            tables.clip_title(report, verbose=False) + ":",
            table(tables.CLIP_COLUMNS, tables.clip_rows(report, verbose=False)),
        ]
    return document([*parts, bullets(tables.parity_remarks(report))])


def deploy(summary: DeploySummary) -> str:
    """The summary of a deploy."""
    return document(
        [
            f"### Deploy of {escape(summary.model)}: **{summary.verdict.value}**",
            escape(f"From {summary.checkpoint}. {tables.deploy_headline(summary)}"),
            table(tables.DEPLOY_COLUMNS, tables.deploy_rows(summary)),
            escape(tables.deploy_places(summary)),
            *([table(tables.RECORDED_COLUMNS, tables.recorded_rows(summary))] if summary.recorded else []),
            bullets(summary.reasons),
            bullets(tables.deploy_remarks(summary)),
        ]
    )


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of foreign text."""
    lines = [_row(columns), _row(["---"] * len(columns)), *(_row([escape(cell) for cell in row]) for row in rows)]
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def bullets(sentences: Iterable[str]) -> str:
    """A list of foreign sentences."""
    return "\n".join(f"- {escape(sentence)}" for sentence in sentences)


def document(parts: Iterable[str]) -> str:
    """Blocks of Markdown, the empty ones left out."""
    return "\n\n".join(part for part in parts if part) + "\n"


def escape(text: str) -> str:
    """`text` as it stands: no pipe ends a cell, and no name becomes emphasis, a link or HTML."""
    return re.sub(r"([\\`*_\[\]<>|~&])", r"\\\1", text)
