"""Terminal layout: the verdict first, then tables that fit 80 columns."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Literal

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from dvfl_mobile.documents import Verdict

_USUAL, _LEAST = 80, 3
_STYLES = {Verdict.PASS: "bold green", Verdict.FAIL: "bold red", Verdict.INCONCLUSIVE: "bold yellow"}


class NamedTable(Table):
    """A table whose names stay whole: half a serial number, or half a module's path, in each of two lines is none.

    Where it doesn't fit the terminal, other columns that may be folded are, and then its lines are longer than that.

    Attributes:
        names: the columns of names. One that no usual terminal would hold is folded all the same.
    """

    names: Collection[int] = ()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for index, column in enumerate(self.columns):
            widths = [cell_len(line) for cell in column.cells for line in str(cell).splitlines()]
            widest = max(widths, default=0)
            if index in self.names:
                column.no_wrap = widest <= max(options.max_width, _USUAL)
            column.min_width = widest if column.no_wrap else min(widest, _LEAST)
        _, right, _, left = self.padding
        least = sum((column.min_width or 0) + left + right for column in self.columns) - (0 if self.pad_edge else right)
        yield from super().__rich_console__(console, options.update_width(max(options.max_width, least)))


def headline(verdict: Verdict, title: str) -> Text:
    """The verdict in its colour, then what it is about."""
    return Text.assemble((verdict.value.upper(), _STYLES[verdict]), "  ", title)


def grid(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    folding: Collection[int] = (),
    names: Collection[int] = (),
    right: Collection[int] = (),
    verdict: int | None = None,
) -> NamedTable:
    """A table without lines.

    Args:
        folding: columns that a narrow terminal may fold; all others stay whole.
        names: columns that stay whole as long as any terminal can hold them, see `NamedTable`.
        right: columns that are set to the right.
        verdict: the column of verdicts, in their colours.
    """
    table = NamedTable(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.names = names
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
