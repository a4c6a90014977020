"""Drawings of a deploy's page, as SVG in the page's own colours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from dvfl_mobile.delegation import Delegation, OperatorRow
from dvfl_mobile.model.ranges import MOST_HALF, Ranges
from dvfl_mobile.pipeline.summary import DeployRow
from dvfl_mobile.report.formats.depth import block_of

_WIDTH, _LABEL, _LINE, _NAME = 760, 250, 24, 46
_MOST_DB, _STEP_DB = 140, 20
_TEXT = 'font-size="12" fill="var(--ink)"'
_QUIET = 'font-size="11" fill="var(--quiet)"'


def strips(rows: Sequence[DeployRow]) -> str:
    """The SQNR of each clip, a line for each artifact on each engine; a mark where the recipe's threshold is."""
    shown = [row for row in rows if row.by_clip]
    bottom = _LINE * len(shown) + 8
    parts = []
    for decibels in range(0, _MOST_DB + 1, _STEP_DB):
        x = _x(decibels)
        parts.append(f'<line x1="{x:.1f}" y1="4" x2="{x:.1f}" y2="{bottom}" stroke="var(--grid)"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 15}" {_QUIET} text-anchor="middle">{decibels}</text>')
    parts.append(f'<text x="{_LABEL - 12}" y="{bottom + 15}" {_QUIET} text-anchor="end">SQNR, dB</text>')
    for place, row in enumerate(shown):
        y = _LINE * place + 16
        parts.append(f'<text x="{_LABEL - 12}" y="{y + 4}" {_TEXT} text-anchor="end">{escape(row.place)}</text>')
        if row.least_sqnr_db is not None:
            x = _x(row.least_sqnr_db)
            parts.append(f'<line x1="{x:.1f}" y1="{y - 8}" x2="{x:.1f}" y2="{y + 8}" stroke="var(--mark)"/>')
        for clip in row.by_clip:
            colour = "first" if clip.agrees else "mark"
            said = "no number" if clip.sqnr_db is None else f"{clip.sqnr_db:.1f} dB"
            parts.append(
                f'<circle cx="{_x(clip.sqnr_db or 0):.1f}" cy="{y}" r="4" fill="var(--{colour})" fill-opacity=".55">'
                f"<title>{escape(clip.name)}: {said}</title></circle>"
            )
    return _svg(bottom + 22, parts, "SQNR of each clip")


def blocks(delegation: Delegation) -> str:
    """A bar for each block, as high as its share of the multiply-adds, and the operators outside as a number."""
    by_block: dict[str, list[OperatorRow]] = {}
    for row in delegation.rows:
        by_block.setdefault(block_of(row.module), []).append(row)
    shown = {name: rows for name, rows in by_block.items() if _work(rows) or _outside(rows)}
    total = delegation.multiply_adds or 1
    wide, high = _WIDTH / max(1, len(shown)), 90
    most = max(map(_work, shown.values()), default=1) or 1
    parts = []
    for place, (name, rows) in enumerate(shown.items()):
        y, x = float(high), place * wide
        for colour, kind in (("good", True), ("first", False), ("mark", None)):
            if kind is None:
                part = [row for row in rows if row.delegated is False]
            else:
                part = [row for row in rows if row.delegated is not False and bool(row.is_int8) is kind]
            height, share = high * _work(part) / most, _work(part) / total
            y -= height
            parts.append(
                f'<rect x="{x + 2:.1f}" y="{y:.1f}" width="{wide - 4:.1f}" height="{height:.1f}" '
                f'fill="var(--{colour})" fill-opacity=".75"><title>{escape(name)}: {share:.1%}</title></rect>'
            )
        outside = _outside(rows)
        middle = x + wide / 2
        parts.append(
            f'<text x="{middle:.1f}" y="{high + 13}" {_QUIET} text-anchor="end" '
            f'transform="rotate(-40 {middle:.1f} {high + 13})">{escape(name)}</text>'
        )
        if outside:
            parts.append(
                f'<text x="{middle:.1f}" y="{max(10.0, y - 4):.1f}" font-size="11" fill="var(--mark)" '
                f'text-anchor="middle">{outside}</text>'
            )
    return _svg(high + 104, parts, "Multiply-adds by block")


def depth(ranges: Ranges) -> str:
    """The largest value of each operator along the depth, by its logarithm, and where half precision ends."""
    logs = [max(-4.0, math.log10(row.largest or 1e-4)) for row in ranges.rows]
    low, top = min([*logs, -1.0]), max([*logs, math.log10(MOST_HALF)]) + 0.3
    high, left = 170, 58

    def y(log: float) -> float:
        return 8 + (top - log) / (top - low) * (high - 16)

    def x(place: int) -> float:
        return left + place / max(1, len(logs) - 1) * (_WIDTH - left - 6)

    parts = []
    for power in range(math.ceil(low), math.floor(top) + 1):
        parts.append(f'<line x1="{left}" y1="{y(power):.1f}" x2="{_WIDTH}" y2="{y(power):.1f}" stroke="var(--grid)"/>')
        parts.append(
            f'<text x="{left - 6}" y="{y(power) + 4:.1f}" {_QUIET} text-anchor="end">{10.0**power:,.10g}</text>'
        )
    end = y(math.log10(MOST_HALF))
    parts.append(
        f'<line x1="{left}" y1="{end:.1f}" x2="{_WIDTH}" y2="{end:.1f}" stroke="var(--mark)" stroke-dasharray="5 4"/>'
        f'<text x="{_WIDTH}" y="{end - 4:.1f}" font-size="11" fill="var(--mark)" text-anchor="end">'
        f"half precision ends at {MOST_HALF:,.0f}</text>"
    )
    points = " ".join(f"{x(place):.1f},{y(log):.1f}" for place, log in enumerate(logs))
    parts.append(f'<polyline points="{points}" fill="none" stroke="var(--first)" stroke-width="1.3"/>')
    last, free = "", 0.0
    for place, row in enumerate(ranges.rows):
        stage = row.module.split(".")[0]
        if stage and stage != last:
            last = stage
            if x(place) >= free:  # of two that begin side by side, the first is named
                parts.append(f'<text x="{x(place):.1f}" y="{high + 12}" {_QUIET}>{escape(stage)}</text>')
                free = x(place) + _NAME
            parts.append(f'<line x1="{x(place):.1f}" y1="8" x2="{x(place):.1f}" y2="{high}" stroke="var(--grid)"/>')
    return _svg(high + 20, parts, "Largest value of each operator")


def _work(rows: Sequence[OperatorRow]) -> int:
    return sum(row.multiply_adds for row in rows)


def _outside(rows: Sequence[OperatorRow]) -> int:
    return sum(row.count for row in rows if row.delegated is False)


def _x(decibels: float) -> float:
    return _LABEL + min(max(decibels, 0.0), float(_MOST_DB)) / _MOST_DB * (_WIDTH - _LABEL - 16)


def _svg(height: float, parts: Sequence[str], name: str) -> str:
    body = "".join(parts)
    return f'<svg viewBox="0 0 {_WIDTH} {height:.0f}" role="img" aria-label="{escape(name)}">{body}</svg>'
