"""Draw docs/images/peers-*.svg of the measured table in docs/benchmarks.md: our artifacts between limit and peers.

    python docs/scripts/plot_peers.py

The table is read as `benchmarks/peers.py` writes it, so that the figures stand in one place.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial

from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from plots import draw_both, section

_PRECISIONS = {"fp32": "float32", "int8": "static int8"}
# Of the bare products, of ours and of all others, on a light and on a dark page.
_COLOURS = {
    "light": {"bare": "#8c959f", "ours": "#00798c", "other": "#c2405a"},
    "dark": {"bare": "#6e7681", "ours": "#3cc5d9", "other": "#ff7b8a"},
}


@dataclass(frozen=True)
class Row:
    """A program; `kind` says by which colour it is drawn."""

    name: str
    kind: str
    precision: str
    median_ms: float


def rows(table: str) -> list[Row]:
    """The rows of the table of programs."""
    found = []
    for line in re.findall(r"^\| (.+ ms \|.+) \|$", table, re.MULTILINE):
        name, _, precision, median, *_ = (cell.strip() for cell in line.split("|"))
        kind = "ours" if name.startswith("**ours**") else "bare" if name.startswith("bare ") else "other"
        found.append(Row(name.replace("*", ""), kind, precision, float(median.removesuffix(" ms"))))
    return found


def draw(found: list[Row], look: str) -> Figure:
    """Float and int8 one above the other, the fastest program first."""
    parts = [[row for row in found if row.precision == precision] for precision in _PRECISIONS]
    figure, axes = pyplot.subplots(
        2, 1, figsize=(8.2, 6.0), sharex=True, layout="constrained", height_ratios=[len(part) for part in parts]
    )
    for place, part, title in zip(axes, parts, _PRECISIONS.values(), strict=True):
        _bars(place, sorted(part, key=lambda row: row.median_ms), look)
        place.set_title(title, fontsize=10, loc="left", fontweight="bold")
    axes[-1].set_xlabel("milliseconds a clip")
    axes[-1].set_xlim(0, 1.1 * max(row.median_ms for row in found))
    return figure


def _bars(axes: Axes, part: list[Row], look: str) -> None:
    """A bar for each program with its figure behind it."""
    for y, row in enumerate(part):
        axes.barh(y, row.median_ms, height=0.66, color=_COLOURS[look][row.kind], alpha=0.85)
        says = f"{row.median_ms:.0f}"
        axes.annotate(says, (row.median_ms, y), (4, 0), textcoords="offset points", va="center", fontsize=9)
    axes.set(yticks=range(len(part)), yticklabels=[row.name for row in part], ylim=(len(part) - 0.4, -0.6))
    for label, row in zip(axes.get_yticklabels(), part, strict=True):
        label.set_fontweight("bold" if row.kind == "ours" else "normal")


if __name__ == "__main__":
    draw_both("peers", partial(draw, rows(section("peers"))))
