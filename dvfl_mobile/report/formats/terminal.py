"""Reports on a terminal: the verdict first, then figures that stay whole at 80 columns."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Literal

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from dvfl_mobile.documents import Verdict
from dvfl_mobile.parity.report import ParityReport
from dvfl_mobile.pipeline.summary import DeploySummary
from dvfl_mobile.report import parity as tables

_STYLES = {Verdict.PASS: "bold green", Verdict.FAIL: "bold red", Verdict.INCONCLUSIVE: "bold yellow"}


def parity(report: ParityReport, *, verbose: bool = False) -> RenderableType:
    """A parity report; the worst few clips, or with `verbose` every one."""
    parts: list[RenderableType] = [
        headline(report.verdict, tables.parity_title(report)),
        Text(tables.parity_source(report)),
        *paragraph(report.reasons),
        Text(),
        grid(tables.CHECK_COLUMNS, tables.check_rows(report), folding={1}, verdict=3),
        *paragraph(tables.worst_clip(report)),
        *paragraph(tables.second_opinions(report)),
    ]
    if report.rows:
        parts += [
            Text(f"\n{tables.clip_title(report, verbose=verbose)}"),
            grid(tables.CLIP_COLUMNS, tables.clip_rows(report, verbose=verbose), folding={0, 1, 2}, right={3}),
        ]
    return Group(*parts, *paragraph(tables.parity_remarks(report)))


def deploy(summary: DeploySummary) -> RenderableType:
    """The summary of a deploy."""
    title = f"{summary.model} from {summary.checkpoint}: {tables.deploy_headline(summary)}"
    return Group(
        headline(summary.verdict, title),
        Text(),
        grid(tables.DEPLOY_COLUMNS, tables.deploy_rows(summary), folding={0}, right={1, 2, 3, 4, 5}, verdict=6),
        *paragraph([tables.deploy_places(summary)]),
        *_recorded(summary),
        *paragraph(summary.reasons),
        *paragraph(tables.deploy_remarks(summary)),
    )


def _recorded(summary: DeploySummary) -> list[RenderableType]:
    if not summary.recorded:
        return []
    return [Text(), grid(tables.RECORDED_COLUMNS, tables.recorded_rows(summary), folding={0}, right={1, 2})]


def headline(verdict: Verdict, title: str) -> Text:
    """The verdict in its colour, then what it is about."""
    return Text.assemble((verdict.value.upper(), _STYLES[verdict]), "  ", title)


def grid(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    folding: Collection[int] = (),
    right: Collection[int] = (),
    verdict: int | None = None,
) -> Table:
    """A table without lines.

    Args:
        folding: columns that a narrow terminal may fold; all others stay whole.
        right: columns that are set to the right.
        verdict: the column of verdicts, in their colours.
    """
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for index, column in enumerate(columns):
        justify: Literal["left", "right"] = "right" if index in right else "left"
        table.add_column(column, justify=justify, no_wrap=index not in folding, overflow="fold")
    for row in rows:
        table.add_row(*(_cell(value, is_verdict=index == verdict) for index, value in enumerate(row)))
    return table


def _cell(value: str, *, is_verdict: bool) -> Text:
    # Text, not str: rich would read [brackets] in the name of a clip as its own markup.
    return Text(value, style=_STYLES[Verdict(value)] if is_verdict and value else "")


def paragraph(sentences: Sequence[str]) -> list[Text]:
    """Sentences of a line each, after an empty line; nothing for none."""
    return [Text(), *(Text(sentence) for sentence in sentences)] if sentences else []
