"""Plots of a profile: histogram, time line, and time by block."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from dvfl_mobile.profiling.document import ArtifactProfile, DeviceProfile, Round, Sustained
from dvfl_mobile.report.formats import plots

_A, _B = "#2563a8", "#c2740c"
_GRID = "#eceef1"
_MOST_BARS = 20
_BINS = 30
_MOST_DOTS = 2000

STYLES = MappingProxyType(
    {plots.INK: "ink", plots.FAINT: "faint", plots.MARK: "mark", _A: "first", _B: "second", _GRID: "grid"}
)
"""Every colour that a plot has, with the name that a page may give another by."""


@dataclass(frozen=True)
class Plot:
    """A plot, as both kinds of file.

    Attributes:
        name: such as `distribution`.
        meaning: what it shows, in a sentence.
        svg: an element to stand in a page, in colours that the page sets by `STYLES`.
    """

    name: str
    meaning: str
    svg: str
    png: bytes


def draw(profile: DeviceProfile) -> list[Plot]:
    """Every plot that a profile has data for.

    Raises:
        MissingDependencyError: matplotlib isn't installed.
    """
    drawn = [
        _plot("distribution", "How many runs took how long; the line is the median.", 3.2, _distribution, profile),
        _plot(
            "time line",
            "Each run, without the pauses between rounds. Hollow: warm-up. Each band is a round.",
            3.4,
            _line,
            profile,
        ),
    ]
    if profile.sustained is not None:
        drawn.append(_plot("throttling", "The median of each window, as the device warms.", 3.2, _throttling, profile))
    if any(each.operators for each in profile.artifacts):
        bars = max(len(_bars(each)) for each in profile.artifacts)
        height = 1.1 + 0.24 * bars
        drawn.append(_plot("operators", "Where the time goes. Red: not delegated.", height, _operators, profile))
    return drawn


def _plot(
    name: str, meaning: str, height: float, fill: Callable[[Any, DeviceProfile], None], of: DeviceProfile
) -> Plot:
    figure = plots.new_figure(9, height)
    fill(figure, of)
    figure.tight_layout()
    return Plot(name, meaning, _svg(figure, name), _png(figure))


def _distribution(figure: Any, profile: DeviceProfile) -> None:
    axes = figure.subplots()
    runs = [_ms(each) for each in profile.artifacts]
    # All stragglers in the last bin, which would otherwise leave the others one bin among them.
    most = max(float(np.quantile(each, 0.99)) for each in runs)
    edges = np.linspace(min(float(each.min()) for each in runs), most, _BINS + 1)
    if edges[0] >= edges[-1]:
        edges = np.linspace(edges[0] * 0.99, edges[0] * 1.01 + 1e-9, _BINS + 1)
    for letter, colour, values in zip("AB", (_A, _B), runs, strict=False):
        axes.hist(np.clip(values, edges[0], edges[-1]), edges, color=colour, alpha=0.65, label=letter)
        axes.axvline(float(np.median(values)), color=colour, linewidth=1.6)
    axes.set_xlabel("ms; the last bar holds all that took longer")
    axes.set_ylabel("runs")
    axes.yaxis.get_major_locator().set_params(integer=True)
    _plain(axes)
    if len(runs) > 1:
        _legend(axes, *axes.get_legend_handles_labels())


def _line(figure: Any, profile: DeviceProfile) -> None:
    axes = figure.subplots()
    labels: dict[str, Any] = {}
    start = 0.0
    # So many dots can't be seen apart, and would be megabytes of page.
    many = sum(each.summary.runs for each in profile.artifacts) > _MOST_DOTS
    for index, (letter, each) in enumerate(_in_order(profile)):
        times = np.array([*each.warmup_ns, *each.duration_ns], np.float64)
        warm = len(each.warmup_ns)
        ends = start + np.cumsum(times) / 1e9
        if index % 2:
            axes.axvspan(start, ends[-1], color=_GRID, linewidth=0, zorder=0)
        colour = _A if letter == "A" else _B
        axes.plot(ends[:warm], times[:warm] / 1e6, "o", markersize=3.5, markerfacecolor="none", color=plots.FAINT)
        dots = {"markersize": 4, "color": colour, "rasterized": many}
        [labels[letter]] = axes.plot(ends[warm:], times[warm:] / 1e6, ".", **dots)
        start = float(ends[-1])
    # The last runs end with the last band: a dot on the very edge would be cut in half.
    axes.set_xlim(0, start * 1.015)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("seconds at work")
    axes.set_ylabel("ms")
    _plain(axes)
    if len(labels) > 1:
        _legend(axes, [labels[letter] for letter in sorted(labels)], sorted(labels))


def _throttling(figure: Any, profile: DeviceProfile) -> None:
    axes = figure.subplots()
    curve = profile.sustained
    assert curve is not None
    starts = [window.start_s for window in curve.windows]
    values = [window.median_ns / 1e6 for window in curve.windows]
    axes.step([*starts, starts[-1] + _length(curve)], [*values, values[-1]], where="post", color=_A, linewidth=1.6)
    if curve.steady_ns is not None and curve.steady_from_s is not None:
        axes.axhline(curve.steady_ns / 1e6, color=plots.MARK, linewidth=1.1, linestyle="--", label="steady")
        axes.axvline(curve.steady_from_s, color=plots.MARK, linewidth=1.1, linestyle=":")
    axes.set_ylim(0, max(values) * 1.15)
    axes.set_xlabel("seconds")
    axes.set_ylabel("ms")
    _plain(axes)
    if curve.steady_ns is not None:
        _legend(axes, *axes.get_legend_handles_labels())


def _operators(figure: Any, profile: DeviceProfile) -> None:
    profiled = [(letter, each) for letter, each in zip("AB", profile.artifacts, strict=False) if each.operators]
    columns = figure.subplots(1, len(profiled), squeeze=False)[0]
    for axes, (letter, each) in zip(columns, profiled, strict=True):
        bars = _bars(each)
        colours = [plots.MARK if undelegated else _A for _, _, undelegated in bars]
        axes.barh([name for name, _, _ in bars], [share * 100 for _, share, _ in bars], height=0.7, color=colours)
        axes.invert_yaxis()
        axes.set_xlabel("% of the operators' time" + (f" of {letter}" if profile.b is not None else ""))
        _plain(axes)


def _bars(profile: ArtifactProfile) -> list[tuple[str, float, bool]]:
    """A bar for each block, apart for what isn't delegated there: name, share, whether it is that."""
    sums: dict[tuple[str, bool], float] = {}
    for row in profile.operators:
        key = row.block or row.name, row.delegated is False
        sums[key] = sums.get(key, 0.0) + row.share
    ranked = sorted(sums.items(), key=lambda pair: (not pair[0][1], -pair[1]))
    return [(f"{name} (not delegated)" if off else name, share, off) for (name, off), share in ranked[:_MOST_BARS]]


def _in_order(profile: DeviceProfile) -> list[tuple[str, Round]]:
    """Each round as they ran, and whose it is."""
    rounds = [(letter, each) for letter, of in zip("AB", profile.artifacts, strict=False) for each in of.rounds]
    return sorted(rounds, key=lambda pair: pair[1].place)


def _ms(profile: ArtifactProfile) -> Any:
    return np.array([duration / 1e6 for each in profile.rounds for duration in each.duration_ns])


def _length(curve: Sustained) -> float:
    return curve.windows[1].start_s - curve.windows[0].start_s


def _plain(axes: Any) -> None:
    """As little ink as will do."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("bottom", "left"):
        axes.spines[side].set_color(plots.FAINT)
    axes.tick_params(labelsize=8, color=plots.FAINT, labelcolor=plots.INK)
    axes.xaxis.label.set(color=plots.INK, fontsize=8.5)
    axes.yaxis.label.set(color=plots.INK, fontsize=8.5)
    axes.grid(axis="both", color=_GRID, linewidth=0.8, zorder=0)
    axes.set_axisbelow(True)


def _legend(axes: Any, handles: Sequence[Any], labels: Sequence[str]) -> None:
    axes.legend(handles, labels, frameon=False, fontsize=8, labelcolor=plots.INK)


def _png(figure: Any) -> bytes:
    data = io.BytesIO()
    figure.savefig(data, format="png")
    return data.getvalue()


def _svg(figure: Any, name: str) -> str:
    data = io.BytesIO()
    figure.savefig(data, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = data.getvalue().decode("utf-8")
    text = text[text.index("<svg") :]
    for colour, style in STYLES.items():
        text = text.replace(colour, f"var(--{style})")
    # The page sets the width; several plots in one page must not share the names of their parts.
    text = re.sub(r'(<svg\b[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg\b[^>]*?) height="[^"]*"', r"\1", text, count=1)
    prefix = name.replace(" ", "-")
    text = re.sub(r'\bid="', f'id="{prefix}-', text)
    text = re.sub(r"url\(#", f"url(#{prefix}-", text)
    return re.sub(r'xlink:href="#', f'xlink:href="#{prefix}-', text)
