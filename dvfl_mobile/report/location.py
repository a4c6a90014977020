"""Render a location: on the terminal, and as a plot of every operator by depth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Group, RenderableType
from rich.text import Text

from dvfl_mobile.locating.document import Location, OperatorDeviation, Place
from dvfl_mobile.report.formats import plots
from dvfl_mobile.report.formats.depth import block_of, draw_blocks, plain_axes, sparkline
from dvfl_mobile.report.formats.terminal import grid, paragraph
from dvfl_mobile.wording import decibels, first_few, percent, plural

_MOST_NAMED = 5
_MOST_DB = 140.0
_STAT_COLUMNS = ("", "reference", "expected here", "found")
_BLOCK_COLUMNS = ("block", "operators", "worst of its own", "allowed there", "through it")


def terminal(location: Location) -> RenderableType:
    """The place, its values and cause, and the SQNR along the depth."""
    parts: list[RenderableType] = [Text(_title(location), "bold"), Text(f"Clip: {location.clip}. {location.means}.")]
    if location.place is not None:
        parts += [Text(), *(Text(line) for line in _place_lines(location.place)), Text()]
        parts.append(grid(_STAT_COLUMNS, _stat_rows(location.place), right={1, 2, 3}))
    parts += [
        Text(),
        Text(f"SQNR of each operator's value, from the first to the last of {len(location.rows)}: {_range(location)}"),
        Text(sparkline([_shown(row.through_db) for row in location.rows])),
        Text(),
        grid(_BLOCK_COLUMNS, _block_rows(location.rows), names={0}, right={1, 2, 3, 4}),
    ]
    return Group(*parts, *paragraph(_remarks(location)))


def _title(location: Location) -> str:
    place = location.place
    if place is None:
        return f"No operator is beyond tolerance: each of {len(location.rows)} computes what its reference does."
    module = place.error.module or "the network itself"
    return f"It first goes wrong at {place.error.operator} in {module}: {place.cause.value}."


def _place_lines(place: Place) -> list[str]:
    error = place.error
    return [
        f"Likely cause: {place.cause.value}. {place.evidence}",
        f"Its own error: {decibels(error.own_db)}, where {decibels(error.allowed_db)} is within tolerance and rounding "
        f"explains {decibels(error.explained_db)}.",
        f"Its value is called {error.name} in the artifact, and its operator {place.node} in the reference.",
    ]


def _stat_rows(place: Place) -> list[tuple[str, ...]]:
    columns = (place.reference, place.expected, place.found)
    rows: list[tuple[str, ...]] = [
        (name, *(f"{getattr(stats, key):.4g}" for stats in columns))
        for name, key in (("least", "least"), ("greatest", "greatest"), ("mean", "mean"), ("standard deviation", "std"))
    ]
    if place.found.saturated is not None:
        rows.append(("at -128 or 127", "", "", percent(place.found.saturated)))
    if place.found.non_finite:
        rows.append(("not finite", *(str(stats.non_finite) for stats in columns)))
    return rows


def _block_rows(rows: Sequence[OperatorDeviation]) -> list[tuple[str, ...]]:
    blocks: dict[str, list[OperatorDeviation]] = {}
    for row in rows:
        blocks.setdefault(block_of(row.module), []).append(row)
    found: list[tuple[str, ...]] = []
    for block, members in blocks.items():
        worst = min(members, key=lambda row: _shown(row.own_db) - row.allowed_db)
        mark = "  beyond" if any(row.is_beyond for row in members) else ""
        found.append(
            (
                f"{block}{mark}",
                str(len(members)),
                decibels(worst.own_db),
                decibels(worst.allowed_db),
                decibels(members[-1].through_db),
            )
        )
    return found


def _remarks(location: Location) -> list[str]:
    remarks = [f"Tolerance: {location.tolerance}"]
    more = [location.rows[index] for index in location.beyond[1:]]
    if more:
        named = first_few(more, _MOST_NAMED, lambda row: f"{row.operator} in {row.module}")
        remarks.append(f"Beyond tolerance too, by errors of their own: {named}.")
    if location.runtime_db is not None:
        remarks.append(f"The traced logits agree with the runtime's to {decibels(location.runtime_db)}.")
    if location.unmatched:
        named = ", ".join(location.unmatched[:_MOST_NAMED])
        remarks.append(f"{plural(len(location.unmatched), 'operator')} answer to none of the reference's: {named}.")
    return [*remarks, *location.notes]


def _shown(value: float | None) -> float:
    """Decibels as a plot can show them."""
    return 0.0 if value is None else min(max(value, -20.0), _MOST_DB)


def _range(location: Location) -> str:
    values = [_shown(row.through_db) for row in location.rows]
    return f"{min(values):.0f} to {max(values):.0f} dB"


_LINE, _DOT = "#2563a8", "#12897b"


def plot(location: Location, path: Path) -> None:
    """Write a PNG: each operator's own error, what it may be, and the error that has added up, along the depth.

    Raises:
        MissingDependencyError: matplotlib isn't installed.
        OutputError: the place can't be written.
    """
    rows = location.rows
    places = range(len(rows))
    figure = plots.new_figure(12, 5)
    axes = figure.subplots()
    figure.subplots_adjust(left=0.06, right=0.98, top=0.84, bottom=0.2)
    axes.plot(places, [_shown(row.through_db) for row in rows], color=_LINE, linewidth=1.6, label="added up so far")
    axes.plot(
        places, [_shown(row.own_db) for row in rows], "o", color=_DOT, markersize=3, label="the operator's own error"
    )
    axes.step(
        places, [_shown(row.allowed_db) for row in rows], where="mid", color=plots.FAINT, linewidth=1, label="tolerance"
    )
    beyond = [row for row in rows if row.is_beyond]
    axes.plot(
        [row.index for row in beyond], [_shown(row.own_db) for row in beyond], "o", color=plots.MARK, markersize=6
    )
    draw_blocks(axes, [row.module for row in rows])
    axes.set_ylabel("SQNR (dB)", fontsize=9)
    plain_axes(axes, len(rows))
    axes.legend(frameon=False, fontsize=8, loc="lower right", bbox_to_anchor=(1, 1), ncols=3)
    facts = location.artifact
    figure.text(
        0.06, 0.94, f"{facts.model}/{facts.target}/{facts.recipe}, operator by operator", fontsize=13, color=plots.INK
    )
    figure.text(0.06, 0.885, _title(location), fontsize=9, color=plots.MARK if location.place else plots.INK)
    plots.write(figure, path)
