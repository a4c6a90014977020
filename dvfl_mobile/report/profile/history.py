"""Render the profile history on the terminal: each version against the one before."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from dvfl_mobile.profiling.history import Change, History, Series
from dvfl_mobile.report.formats.terminal import grid, paragraph
from dvfl_mobile.report.profile.figures import time_text
from dvfl_mobile.spelling import option

_COLUMNS = ("version", "measured", "times", "p50", "against the one before", "")
_SHA_DIGITS = 12


def terminal(history: History) -> RenderableType:
    """A table for each artifact on each device, those that became slower first."""
    parts: list[RenderableType] = []
    for series in sorted(history.series, key=lambda series: not series.regressed):
        parts += [_title(series), grid(_COLUMNS, _rows(series), folding={4}, right={2, 3}), Text()]
    if not parts:
        parts.append(Text(f"{history.path} holds no profile of this artifact."))
    else:
        parts.append(
            Text(
                "Versions were measured at different times: confirm what matters with profile A "
                f"{option('against', 'B')}.",
                "dim",
            )
        )
    return Group(*parts, *paragraph(history.notes))


def _title(series: Series) -> Text:
    name = f"{series.model}/{series.target}/{series.recipe} on {series.device} ({series.device_model})"
    how = [f"threads {series.threads}"] if series.threads is not None else []
    how += [f"cores {','.join(map(str, series.cores))}"] if series.cores else []
    how += [f"compute units {series.compute_units}"] if series.compute_units else []
    title = Text(name + (f", {', '.join(how)}" if how else ""), "bold")
    return title.append("  REGRESSION", "bold red") if series.regressed else title


def _rows(series: Series) -> list[tuple[str, ...]]:
    return [
        (
            version.sha256[:_SHA_DIGITS],
            version.last,
            str(version.sessions),
            time_text(version.p50_ns),
            _change(version.change),
            version.change.result if version.change else "",
        )
        for version in series.versions
    ]


def _change(change: Change | None) -> str:
    if change is None:
        return ""
    interval = f" ({change.interval[0]:.3f} to {change.interval[1]:.3f})" if change.interval else ""
    return f"{change.ratio:.3f} times{interval}, noise {100 * (change.floor - 1):.1f} %"
