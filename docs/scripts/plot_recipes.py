"""Draw docs/images/recipes-*.svg of the measured table in docs/benchmarks.md: what each recipe keeps, gains and saves.

    python docs/scripts/plot_recipes.py

The table is read as `benchmarks/quantization.py` writes it, so that the figures stand in one place.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from math import sqrt

from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from plots import INK, draw_both, section

_Z = 1.959964
_LABELS = {
    "dynamic_wi8_afp32": "dynamic int8",
    "static_wi8_ai8": "static int8",
    "static_wi8_ai8, QAT, 3 epochs": "static int8, QAT",
    "palettized_wi4_afp16": "4-bit tables",
}
# Of each target, on a light and on a dark page.
_COLOURS = {
    "light": {"executorch": "#c2405a", "tflite": "#00798c", "coreml": "#6a4c93"},
    "dark": {"executorch": "#ff7b8a", "tflite": "#3cc5d9", "coreml": "#b79ae0"},
}


@dataclass(frozen=True)
class Row:
    """A recipe on a target; `speed` is the ratio of float32's time to this one's, None where nothing was timed."""

    recipe: str
    target: str
    kept: int
    clips: int
    size_mb: float
    speed: float | None


def rows(table: str) -> list[Row]:
    """The rows of the table of recipes."""
    found = []
    for line in re.findall(r"^\| (?!recipe |---)(.+) \|$", table, re.MULTILINE):
        recipe, target, _, kept, _, size, *speed = (cell.strip(" *") for cell in line.split("|"))
        same, clips = map(int, re.match(r"(\d+) of (\d+)", kept).groups())  # type: ignore[union-attr]
        ratio = float(speed[0].split()[0]) if speed and speed[0] else None
        found.append(Row(recipe, target, same, clips, float(size.split()[0]), ratio))
    return found


def wilson(right: int, total: int) -> tuple[float, float]:
    """Wilson's two-sided 95 % interval of a share."""
    share, square = right / total, _Z**2
    middle, half = share + square / (2 * total), _Z * sqrt(share * (1 - share) / total + square / (4 * total**2))
    return (middle - half) / (1 + square / total), (middle + half) / (1 + square / total)


def draw(found: list[Row], look: str) -> Figure:
    """A line for each recipe and target, and what it keeps, gains and saves side by side."""
    _, faint = INK[look]
    figure, axes = pyplot.subplots(1, 3, figsize=(9.4, 4.4), sharey=True, layout="constrained", width_ratios=(4, 3, 3))
    places = _places(found)
    for row, y in zip(found, places, strict=True):
        colour = _COLOURS[look][row.target]
        low, high = wilson(row.kept, row.clips)
        axes[0].plot([100 * low, 100 * high], [y, y], color=colour, alpha=0.4, linewidth=2.5, solid_capstyle="round")
        axes[0].plot(100 * row.kept / row.clips, y, "o", color=colour, markersize=6.5)
        _bar(axes[1], y, row.speed, "{:.2f}", colour)
        _bar(axes[2], y, row.size_mb, "{:.1f}", colour)
    axes[0].set_title("the same answer as float, of 112 clips", fontsize=10, loc="left")
    axes[0].set(xlim=(89, 100.8), yticks=places, yticklabels=[row.target for row in found])
    axes[0].xaxis.set_major_formatter(lambda value, _: f"{value:.0f} %")
    axes[0].grid(axis="x", color=faint, alpha=0.25)
    for label, row in zip(axes[0].get_yticklabels(), found, strict=True):
        label.set_color(_COLOURS[look][row.target])
    for recipe in dict.fromkeys(row.recipe for row in found):
        first = min(y for row, y in zip(found, places, strict=True) if row.recipe == recipe)
        axes[0].annotate(
            _LABELS.get(recipe, recipe), (0, first), (-78, 0), ("axes fraction", "data"), "offset points",
            ha="right", va="center", fontweight="bold",
        )  # fmt: skip
    axes[1].set_title("times as fast as fp32", fontsize=10, loc="left")
    axes[1].set(xlim=(0, 3.2), xticks=(0, 1, 2, 3))
    axes[2].set_title("size, MB", fontsize=10, loc="left")
    axes[2].set(xlim=(0, 105), ylim=(max(places) + 0.7, -0.7))
    return figure


def _places(found: list[Row]) -> list[float]:
    """Where each row's line lies, with a gap between recipes."""
    places: list[float] = []
    for before, row in zip([None, *found], found, strict=False):
        step = 0.0 if before is None else 1.0 if before.recipe == row.recipe else 1.45
        places.append((places[-1] if places else 0.0) + step)
    return places


def _bar(axes: Axes, y: float, value: float | None, form: str, colour: str) -> None:
    """A bar with its figure behind it, or a word where nothing was measured."""
    if value is None:
        axes.annotate("not timed", (0, y), (3, 0), textcoords="offset points", va="center", fontsize=9, alpha=0.7)
        return
    axes.barh(y, value, height=0.62, color=colour, alpha=0.85)
    axes.annotate(form.format(value), (value, y), (4, 0), textcoords="offset points", va="center", fontsize=9)


if __name__ == "__main__":
    draw_both("recipes", partial(draw, rows(section("quantization"))))
