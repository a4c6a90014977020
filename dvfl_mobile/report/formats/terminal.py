"""Terminal layout: the verdict first, then tables that fit 80 columns."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Literal

from rich.table import Table
from rich.text import Text

from dvfl_mobile.documents import Verdict

_STYLES = {Verdict.PASS: "bold green", Verdict.FAIL: "bold red", Verdict.INCONCLUSIVE: "bold yellow"}


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
