"""Render ranges: on the terminal by block, and as a plot of every operator's largest value by depth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from rich.console import Group, RenderableType
from rich.text import Text

from dvfl_mobile.model.ranges import CONSTANT, MARGIN, MOST_HALF, OperatorRange, Ranges
from dvfl_mobile.report.formats import plots
from dvfl_mobile.report.formats.depth import block_of, draw_blocks, plain_axes, sparkline
from dvfl_mobile.report.formats.terminal import grid, paragraph
from dvfl_mobile.wording import plural

_COLUMNS = ("block", "largest", "of it", "room in half")
_INT8_COLUMNS = ("int8 value of", "reaches", "and became", "times")
_MOST_SHOWN = 10
_LINE = "#2563a8"


def terminal(ranges: Ranges) -> RenderableType:
    """What leaves half precision and by how much, the largest values by block, and where int8 saturates."""
    logs = [_log(row) for row in ranges.rows]
    parts: list[RenderableType] = [
        Text(_title(ranges), "bold"),
        Text(f"On {plural(ranges.clips, 'clip')}: {ranges.source}. In float32, operator by operator."),
        Text(),
        Text(f"Largest value of each operator, from the first to the last of {len(logs)}, by its logarithm"),
        Text(sparkline(logs, max)),
        Text(),
        grid(_COLUMNS, _block_rows(ranges.rows), names={0}, right={1, 3}),
    ]
    beyond = (*ranges.overflowing, *ranges.near)
    if beyond:
        parts += [Text("\nBeyond half precision, or near its end:"), _operators(beyond)]
    if ranges.saturated:
        parts += [Text("\nLarger than an int8 scale can hold, most first:"), _saturated(ranges.saturated)]
    return Group(*parts, *paragraph([_BFLOAT]))


_BFLOAT = "A bfloat16 ends where a float32 does: it holds all of these."


def _title(ranges: Ranges) -> str:
    largest = ranges.largest
    if largest is None:
        return "No operator computes anything."
    if ranges.overflowing:
        first = ranges.overflowing[0]
        return (
            f"{plural(len(ranges.overflowing), 'operator')} leave half precision, which ends at {MOST_HALF:,.0f}; the "
            f"first is {first.operator} in {first.module or 'the graph'}, {_times(1 / first.headroom)} of that."
        )
    room = "" if not ranges.near else f", where {MARGIN:g} times are wanted for other clips"
    return (
        f"Nothing leaves half precision: the largest value is {largest.largest:,.4g}, "
        f"{_times(largest.headroom)} below its end{room}."
    )


def _block_rows(rows: Sequence[OperatorRange]) -> list[tuple[str, ...]]:
    blocks: dict[str, list[OperatorRange]] = {}
    for row in rows:
        blocks.setdefault(block_of(row.module), []).append(row)
    found: list[tuple[str, ...]] = []
    for block, members in blocks.items():
        worst = max(members, key=lambda row: row.largest)
        where = worst.module.removeprefix(block).strip(".")
        found.append(
            (
                block,
                f"{worst.largest:,.4g}",
                f"{worst.operator} in {where}" if where else worst.operator,
                _times(worst.headroom),
            )
        )
    return found


def _operators(rows: Sequence[OperatorRange]) -> RenderableType:
    return grid(
        ("operator", "module", "largest", "room in half"),
        [(row.operator, row.module, f"{row.largest:,.4g}", _times(row.headroom)) for row in rows],
        names={1},
        right={2, 3},
    )


def _saturated(rows: Sequence[OperatorRange]) -> RenderableType:
    worst = sorted(rows, key=lambda row: row.largest / (row.reach or 1), reverse=True)[:_MOST_SHOWN]
    cells = [
        (row.module, f"{row.reach:,.4g}", f"{row.largest:,.4g}", _times(row.largest / (row.reach or 1)))
        for row in worst
    ]
    return grid(_INT8_COLUMNS, cells, names={0}, right={1, 2, 3})


def _times(value: float) -> str:
    if not math.isfinite(value):
        return "all"
    return f"{value:,.0f}x" if value >= 100 else f"{value:.3g}x"


def _log(row: OperatorRange) -> float:
    """Its size as a power of ten, with a floor below which it plays no part."""
    return math.log10(max(row.largest, 1e-4))


def plot(ranges: Ranges, title: str, path: Path) -> None:
    """Write a PNG: the largest value of each operator along the depth, and where half precision ends.

    Args:
        title: the artifact's name.

    Raises:
        MissingDependencyError: matplotlib isn't installed.
        OutputError: the place can't be written.
    """
    rows = [row for row in ranges.rows if row.operator != CONSTANT]
    figure = plots.new_figure(12, 5)
    axes = figure.subplots()
    figure.subplots_adjust(left=0.07, right=0.98, top=0.84, bottom=0.2)
    axes.set_yscale("log")
    axes.plot(range(len(rows)), [max(row.largest, 1e-4) for row in rows], color=_LINE, linewidth=1.2, label="largest")
    axes.axhline(MOST_HALF, color=plots.MARK, linewidth=1.2, label="half precision ends")
    axes.axhline(
        MOST_HALF / MARGIN, color=plots.MARK, linewidth=1, linestyle=":", label=f"{MARGIN:g} times before that"
    )
    marked = [index for index, row in enumerate(rows) if row.headroom < MARGIN]
    axes.plot(marked, [rows[index].largest for index in marked], "o", color=plots.MARK, markersize=4)
    draw_blocks(axes, [row.module for row in rows])
    axes.set_ylabel("largest absolute value", fontsize=9)
    plain_axes(axes, len(rows))
    axes.legend(frameon=False, fontsize=8, loc="lower right", bbox_to_anchor=(1, 1.07), ncols=3)
    figure.text(0.07, 0.94, f"{title}, operator by operator", fontsize=13, color=plots.INK)
    figure.text(0.07, 0.885, _title(ranges), fontsize=9, color=plots.MARK if ranges.overflowing else plots.INK)
    plots.write(figure, path)
