"""Render the GPU compatibility report on the terminal: a line for each version of the rules, then the refusals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from dvfl_mobile.gpu_delegate.report import GpuDelegateReport, GpuRow, GpuRules
from dvfl_mobile.gpu_delegate.rules import Fate
from dvfl_mobile.report.formats.terminal import grid, paragraph
from dvfl_mobile.wording import percent, plural, printable

_COLUMNS = ("module", "operator", "count", "multiply-adds", "why")
_NOT_TAKEN = {
    Fate.REFUSED: "Refused by {}:",
    Fate.BREAKS: "Taken by {}, which then can't build its program:",
    Fate.UNKNOWN: "Not known of {}:",
}
_MOST_ROWS = 10


def terminal(report: GpuDelegateReport, *, operators: bool = False) -> RenderableType:
    """The whole report; what an edition shares with the one before it isn't repeated.

    Args:
        operators: show every module of a long table, and not how many there are.
    """
    parts: list[RenderableType] = [Text(), Text("GPU delegate (OpenCL, OpenGL ES)", "bold")]
    parts += [_line(rules) for rules in report.editions]
    shown: set[GpuRow] = set()
    for rules in report.editions:
        for fate in _NOT_TAKEN:
            parts += _table(rules, fate, shown, operators=operators)
    return Group(*parts, *paragraph(report.notes))


def sentence(rules: GpuRules) -> str:
    """How much of a model an edition of the rules takes."""
    count = rules.operators
    unknown, broken = (sum(row.count for row in rules.of(fate)) for fate in (Fate.UNKNOWN, Fate.BREAKS))
    taken = sum(row.count for row in rules.of(Fate.TAKEN, Fate.FOLDED))
    if rules.default_builds is False:
        return f"gives the model up: its program can't be built with {broken} of {plural(count, 'operator')}"
    if rules.pieces is None:
        return f"takes {taken} of {plural(count, 'operator')}; {unknown} aren't known here"
    if rules.pieces == 1 and taken == count:
        return f"takes all {plural(count, 'operator')}, in 1 piece"
    much = f"takes {taken} of {plural(count, 'operator')}, in {plural(rules.pieces, 'piece')}"
    if rules.pieces < 2 or rules.default_share is None:
        return f"{much} with {percent(rules.share)} of the multiply-adds"
    return (
        f"{much} with {percent(rules.share)} of the multiply-adds; by default only the largest, "
        f"with {percent(rules.default_share)}"
    )


def _line(rules: GpuRules) -> Text:
    is_whole = rules.pieces == 1 and not rules.of(*_NOT_TAKEN)
    return Text(f"{rules.rules}: {sentence(rules)}", "green" if is_whole else "yellow")


def _table(rules: GpuRules, fate: Fate, shown: set[GpuRow], *, operators: bool) -> Iterator[RenderableType]:
    rows = [row for row in rules.of(fate) if row not in shown]
    if rows:
        shown.update(rows)
        cells = _each(rows) if operators or len(rows) <= _MOST_ROWS else _sums(rows)
        yield Text("\n" + _NOT_TAKEN[fate].format(rules.rules), "yellow")
        yield grid(_COLUMNS, cells, folding={4}, names={0}, right={2, 3})


def _each(rows: Sequence[GpuRow]) -> Iterator[tuple[str, ...]]:
    for row in rows:
        yield _cells(row.module or "(no module)", row.operator, row.count, row.multiply_adds, row.reason)


def _sums(rows: Sequence[GpuRow]) -> Iterator[tuple[str, ...]]:
    """The same by operator and reason."""
    alike: dict[tuple[str, str], list[GpuRow]] = {}
    for row in rows:
        alike.setdefault((row.operator, row.reason), []).append(row)
    for (operator, reason), members in alike.items():
        modules = plural(len({row.module for row in members}), "module")
        count, work = sum(row.count for row in members), sum(row.multiply_adds for row in members)
        yield _cells(modules, operator, count, work, reason)


def _cells(module: str, operator: str, count: int, multiply_adds: int, reason: str) -> tuple[str, ...]:
    return printable(module), printable(operator), str(count), f"{multiply_adds:,}", printable(reason)
