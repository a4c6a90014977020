"""The time line of a stream, as SVG in the page's own colours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

import numpy as np

from dvfl_mobile.report.stream.words import clock
from dvfl_mobile.streaming.document import StreamReport

STYLE = """<style>
:root { --c0: #2563a8; --c1: #c2740c; --c2: #1a7f37; --c3: #8e44ad; --c4: #0e7c86; --c5: #b0327a; --c6: #7a5c1e;
  --c7: #5b6b8c; --c8: #9aa1ad; }
@media (prefers-color-scheme: dark) { :root { --c0: #6cb0f5; --c1: #f0a742; --c2: #4ac26b; --c3: #c39bdf;
  --c4: #4cc7d1; --c5: #ef86bd; --c6: #cdae6a; --c7: #a3b3d6; --c8: #7d8694; } }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; padding: 0; margin: .6rem 0; list-style: none; }
.legend span { display: inline-block; width: .8rem; height: .8rem; margin-right: .4rem; border-radius: 2px; }
</style>"""

_COLOURS, _OTHERS = 8, 8
_WIDTH, _LEFT, _RIGHT = 980, 58, 8
_TRUTH, _BAND, _PLOT, _GAP = 9, 20, 46, 16
_ROW_SECONDS = (10, 20, 30, 60, 120, 300, 600, 1800, 3600, 7200)
_MOST_ROWS, _MOST_POINTS = 14, 400
_LETTER = 6.6
_QUIET = 'font-size="11" fill="var(--quiet)"'


def time_line(report: StreamReport) -> str:
    """Rows of equal length: what is on, what is said, and how likely that is."""
    drawing = _TimeLine(report)
    rows = [part for row in range(drawing.rows) for part in drawing.row(row)]
    height = drawing.rows * drawing.row_height + 4
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="What is said over time" '
        f'font-family="system-ui, sans-serif">{"".join(rows)}</svg>'
    )


def legend(report: StreamReport) -> str:
    """The colour of each class, and how long it is said."""
    seconds = _seconds_said(report)
    colours = _colours(report)
    items = [
        f'<li><span style="background: var(--c{colour})"></span>{escape(name)}, {_how_long(seconds, name)}</li>'
        for name, colour in colours.items()
        if colour < _COLOURS
    ]
    if any(colour >= _COLOURS for colour in colours.values()):
        items.append(f'<li><span style="background: var(--c{_OTHERS})"></span>others</li>')
    return f'<ul class="legend">{"".join(items)}</ul>'


class _TimeLine:
    """Draws a report's rows."""

    def __init__(self, report: StreamReport) -> None:
        self._report = report
        self._colours = _colours(report)
        self._has_truth = any(video.label is not None for video in report.videos)
        fitting = [each for each in _ROW_SECONDS if report.duration_s <= each * _MOST_ROWS]
        self._row_s = float(fitting[0] if fitting else -(-report.duration_s // _MOST_ROWS))
        if report.duration_s < self._row_s:
            self._row_s = max(1.0, float(-(-report.duration_s // 1)))
        self.rows = max(1, int(-(-report.duration_s // self._row_s)))
        self._top = _TRUTH + 3 if self._has_truth else 0
        self.row_height = self._top + _BAND + _PLOT + _GAP

    def row(self, row: int) -> Iterator[str]:
        start, end, y = row * self._row_s, (row + 1) * self._row_s, row * self.row_height + 2
        floor = y + self._top + _BAND + _PLOT
        yield f'<text x="{_LEFT - 8}" y="{y + self._top + 14}" {_QUIET} text-anchor="end">{clock(start)[:-2]}</text>'
        for part in range(11):
            seconds = start + part * self._row_s / 10
            if seconds > self._report.duration_s:
                break
            x = self._x(seconds, start)
            yield f'<line x1="{x:.1f}" y1="{y}" x2="{x:.1f}" y2="{floor}" stroke="var(--grid)"/>'
        if self._has_truth:
            yield from self._videos(start, end, y)
        yield from self._spans(start, end, y + self._top)
        yield from self._probabilities(start, end, floor)

    def _videos(self, start: float, end: float, y: int) -> Iterator[str]:
        for video in self._report.videos:
            if video.start_s < end and video.end_s > start:
                left, right = self._x(max(video.start_s, start), start), self._x(min(video.end_s, end), start)
                yield self._box(left, right, y, _TRUTH, video.label, f"{video.name}: {video.label or 'no label'}")

    def _spans(self, start: float, end: float, y: int) -> Iterator[str]:
        for begins, ends, label in self._report.spans:
            if begins >= end or ends <= start:
                continue
            left, right = self._x(max(begins, start), start), self._x(min(ends, end), start)
            name = label or "don't know"
            yield self._box(left, right, y, _BAND, label, f"{clock(begins)} to {clock(ends)}: {name}")
            if right - left > _LETTER * len(name) + 6:
                fill = "var(--page)" if label else "var(--quiet)"
                yield (
                    f'<text x="{left + 4:.1f}" y="{y + 14}" font-size="12" fill="{fill}" '
                    f'pointer-events="none">{escape(name)}</text>'
                )

    def _probabilities(self, start: float, end: float, floor: int) -> Iterator[str]:
        high = _PLOT - 6
        threshold = floor - high * self._report.policy.threshold
        last = self._x(min(end, self._report.duration_s), start)
        yield (
            f'<line x1="{_LEFT}" y1="{threshold:.1f}" x2="{last:.1f}" y2="{threshold:.1f}" stroke="var(--faint)" '
            f'stroke-dasharray="4 4"/>'
        )
        points = _thinned(self._between(start, min(end, self._report.duration_s)))
        drawn = " ".join(f"{self._x(at, start):.1f},{floor - high * share:.1f}" for at, share in points)
        yield f'<polyline points="{drawn}" fill="none" stroke="var(--ink)" stroke-width="1.3"/>'
        yield f'<line x1="{_LEFT}" y1="{floor}" x2="{last:.1f}" y2="{floor}" stroke="var(--faint)"/>'

    def _between(self, start: float, end: float) -> list[tuple[float, float]]:
        """The probabilities from one instant to another, and at both by those around them."""
        times = [answer.seconds for answer in self._report.answers]
        shares = [answer.probability for answer in self._report.answers]
        inside = [(at, share) for at, share in zip(times, shares, strict=True) if start < at < end]
        first = [(start, float(np.interp(start, times, shares)))] if times[0] <= start else []
        return [*first, *inside, (end, float(np.interp(end, times, shares)))]

    def _box(self, left: float, right: float, y: int, height: int, label: str | None, about: str) -> str:
        fill = f'fill="var(--c{self._colours[label]})"' if label else 'fill="var(--grid)"'
        return (
            f'<rect x="{left:.1f}" y="{y}" width="{max(0.8, right - left - 0.6):.1f}" height="{height}" {fill}>'
            f"<title>{escape(about)}</title></rect>"
        )

    def _x(self, seconds: float, row_start: float) -> float:
        return _LEFT + (seconds - row_start) / self._row_s * (_WIDTH - _LEFT - _RIGHT)


def _colours(report: StreamReport) -> dict[str, int]:
    """A colour for each class that is on or said: those that are said longest have their own."""
    seconds = _seconds_said(report)
    on = [video.label for video in report.videos if video.label is not None]
    names = [*sorted(seconds, key=lambda name: -seconds[name]), *(name for name in on if name not in seconds)]
    return {name: min(place, _OTHERS) for place, name in enumerate(dict.fromkeys(names))}


def _seconds_said(report: StreamReport) -> dict[str, float]:
    seconds: dict[str, float] = {}
    for start, end, label in report.spans:
        if label is not None:
            seconds[label] = seconds.get(label, 0.0) + end - start
    return seconds


def _how_long(seconds: dict[str, float], name: str) -> str:
    return f"said for {seconds[name]:.1f} s" if name in seconds else "never said"


def _thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """No more points than can be seen: the mean of each few neighbours."""
    size = -(-len(points) // _MOST_POINTS)
    if size <= 1:
        return list(points)
    groups = [points[at : at + size] for at in range(0, len(points), size)]
    return [tuple(np.mean(group, axis=0).tolist()) for group in groups]
