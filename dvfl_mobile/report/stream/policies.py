"""The policies of a sweep, as SVG: how long each is right, by how often it changes its mind."""

from __future__ import annotations

import math
from collections.abc import Iterator
from html import escape

from dvfl_mobile.data.camera import TICKS_PER_S
from dvfl_mobile.streaming.document import StreamReport
from dvfl_mobile.streaming.sweep import SweepRow

_WIDTH, _HEIGHT = 980, 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 150, 12, 44
_QUIET = 'font-size="11" fill="var(--quiet)"'
_TICKS = 5


def picture(report: StreamReport) -> str:
    """All policies; those that nothing beats are full, and each stride has its colour."""
    drawing = _Picture(report)
    parts = "".join([*drawing.axes(), *drawing.points(), *drawing.legend()])
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="Policies: time right by changes a minute" '
        f'font-family="system-ui, sans-serif">{parts}</svg>'
    )


class _Picture:
    """Draws a sweep."""

    def __init__(self, report: StreamReport) -> None:
        self._report = report
        self._strides = sorted({row.policy.every for row in report.sweep})
        rights, changes = [_right(row) for row in report.sweep], [_changes(row) for row in report.sweep]
        self._x_low, self._x_high, self._x_step = _axis(min(changes), max(changes))
        self._y_low, self._y_high, self._y_step = _axis(min(rights), max(rights))

    def axes(self) -> Iterator[str]:
        floor, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
        for value in _marks(self._x_low, self._x_high, self._x_step):
            x = self._x(value)
            yield f'<line x1="{x:.1f}" y1="{_TOP}" x2="{x:.1f}" y2="{floor}" stroke="var(--grid)"/>'
            yield f'<text x="{x:.1f}" y="{floor + 16}" {_QUIET} text-anchor="middle">{value:g}</text>'
        for value in _marks(self._y_low, self._y_high, self._y_step):
            y = self._y(value)
            yield f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" stroke="var(--grid)"/>'
            yield f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" {_QUIET} text-anchor="end">{value:g} %</text>'
        yield f'<text x="{right}" y="{floor + 34}" {_QUIET} text-anchor="end">changes a minute</text>'
        yield f'<text x="{_LEFT}" y="{floor + 34}" {_QUIET}>time right (upwards)</text>'

    def points(self) -> Iterator[str]:
        for row in sorted(self._report.sweep, key=lambda row: row.is_unbeaten):
            x, y, colour = self._x(_changes(row)), self._y(_right(row)), self._colour(row.policy.every)
            drawn = f'fill="{colour}"' if row.is_unbeaten else f'fill="none" stroke="{colour}" stroke-opacity="0.55"'
            about = (
                f"every {row.policy.every}, half-life {row.policy.half_life_s:g} s, hysteresis "
                f"{row.policy.hysteresis:g}: right {_right(row):.1f} %, {_changes(row):.1f} changes a minute"
            )
            yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" {drawn}><title>{escape(about)}</title></circle>'
            if row.policy == self._report.policy:
                yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="9" fill="none" stroke="var(--ink)" stroke-width="1.5"/>'

    def legend(self) -> Iterator[str]:
        x = _WIDTH - _RIGHT + 20
        for place, every in enumerate(self._strides):
            y = _TOP + 12 + 22 * place
            yield f'<circle cx="{x}" cy="{y - 4}" r="5" fill="{self._colour(every)}"/>'
            name = f"{TICKS_PER_S / every:.3g} clips/s"
            yield f'<text x="{x + 12}" y="{y}" font-size="12" fill="var(--ink)">{name}</text>'

    def _colour(self, every: int) -> str:
        return f"var(--c{self._strides.index(every)})"

    def _x(self, value: float) -> float:
        return _LEFT + (value - self._x_low) / (self._x_high - self._x_low) * (_WIDTH - _LEFT - _RIGHT)

    def _y(self, value: float) -> float:
        high = _HEIGHT - _BOTTOM - _TOP
        return _HEIGHT - _BOTTOM - (value - self._y_low) / (self._y_high - self._y_low) * high


def _right(row: SweepRow) -> float:
    return 100 * (row.figures.right.value or 0)


def _changes(row: SweepRow) -> float:
    return row.figures.changes_per_minute.value or 0


def _axis(least: float, most: float) -> tuple[float, float, float]:
    """Round ends of an axis on which all lie, and the step between its marks."""
    rough = max(most - least, 1e-3) / _TICKS
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * times for times in (1, 2, 5, 10) if unit * times >= rough)
    low, high = math.floor(least / step) * step, math.ceil(most / step) * step
    return low, high if high > low else low + step, step


def _marks(low: float, high: float, step: float) -> list[float]:
    return [round(low + step * place, 6) for place in range(round((high - low) / step) + 1)]
