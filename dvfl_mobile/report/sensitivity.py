"""Render quantization sensitivity and mixed precision: terminal, Markdown and plot."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.text import Text

from dvfl_mobile.report.formats import markdown as md
from dvfl_mobile.report.formats import plots
from dvfl_mobile.report.formats.terminal import grid, paragraph
from dvfl_mobile.wording import decibels, percent, plural

if TYPE_CHECKING:
    from dvfl_mobile.quantization.mixed.choose import Mixed
    from dvfl_mobile.quantization.mixed.sensitivity import Figures, Sensitivity, UnitCost
    from dvfl_mobile.quantization.mixed.units import Unit

_UNIT_COLUMNS = ("SQNR", "top-1", "KL (nats)", "multiply-adds")
_KEPT_COLUMNS = ("stays float", "multiply-adds", "weights, int8", "weights, float")
_COST_COLUMNS = ("", "all int8", "auto")
_RIGHT = (1, 2, 3, 4)
_WORST = 12

Latency = tuple[float, tuple[float, float] | None]
"""How many times as long the mixed artifact takes as the uniform one, and the interval of that: least and most."""


def terminal(sensitivity: Sensitivity) -> RenderableType:
    """The network as a whole, its blocks, and the operators that cost most."""
    blocks, worst = sensitivity.blocks, _worst(sensitivity)
    return Group(
        Text(_title(sensitivity), "bold"),
        Text(),
        grid(("block, int8 alone", *_UNIT_COLUMNS), _rows(sensitivity, blocks, whole=True), names={0}, right=_RIGHT),
        Text(),
        grid((_worst_title(sensitivity), *_UNIT_COLUMNS), _rows(sensitivity, worst), names={0}, right=_RIGHT),
        *paragraph(sensitivity.notes),
    )


def markdown(sensitivity: Sensitivity) -> str:
    """The same, for the summary of a CI job."""
    return md.document(
        [
            "### Sensitivity",
            md.escape(_title(sensitivity)),
            md.table(("block, int8 alone", *_UNIT_COLUMNS), _rows(sensitivity, sensitivity.blocks, whole=True)),
            md.table((_worst_title(sensitivity), *_UNIT_COLUMNS), _rows(sensitivity, _worst(sensitivity))),
            md.bullets(sensitivity.notes),
        ]
    )


def kept_terminal(
    mixed: Mixed, *, latency: Latency | None = None, sizes: tuple[int, int] | None = None
) -> RenderableType:
    """What `auto` keeps float, and what that costs.

    Args:
        latency: of mixed against uniform, as measured; None: it wasn't.
        sizes: bytes of the uniform artifact, and of the mixed one.
    """
    parts: list[RenderableType] = [Text(_kept_title(mixed), "bold")]
    if mixed.kept:
        parts += [Text(), grid(_KEPT_COLUMNS, _kept_rows(mixed), names={0}, right={1, 2, 3})]
    parts += [Text(), grid(_COST_COLUMNS, _cost_rows(mixed, latency, sizes), right={1, 2})]
    return Group(*parts, *paragraph(mixed.notes))


def _title(sensitivity: Sensitivity) -> str:
    return (
        f"What quantizing each part alone costs, against the float network on {plural(sensitivity.clips, 'clip')} "
        f"({sensitivity.method})"
    )


def _worst(sensitivity: Sensitivity) -> list[UnitCost]:
    return sorted(sensitivity.operators, key=lambda cost: cost.figures.sqnr_db)[:_WORST]


def _worst_title(sensitivity: Sensitivity) -> str:
    shown, count = len(_worst(sensitivity)), len(sensitivity.operators)
    return "operator, int8 alone" if shown == count else f"the {shown} of {count} operators that cost most"


def _rows(sensitivity: Sensitivity, costs: Iterable[UnitCost], *, whole: bool = False) -> list[tuple[str, ...]]:
    clips = sensitivity.clips
    rows: list[tuple[str, ...]] = [
        (cost.unit.name, *_cells(cost.figures, clips), f"{sensitivity.share(cost.unit):.1%}".replace("%", " %"))
        for cost in costs
    ]
    return [*rows, ("all int8", *_cells(sensitivity.whole, clips), "100 %")] if whole else rows


def _cells(figures: Figures, clips: int) -> tuple[str, str, str]:
    return (decibels(figures.sqnr_db), f"{figures.agreeing} of {clips}", f"{figures.kl_nats:.2g}")


def _kept_title(mixed: Mixed) -> str:
    if not mixed.kept:
        return f"Nothing has to stay float for {mixed.promise} on {plural(mixed.clips, 'clip')}."
    return (
        f"{plural(len(mixed.kept), 'product')} with {percent(mixed.kept_share)} of the int8 multiply-adds "
        f"{'stays' if len(mixed.kept) == 1 else 'stay'} float for {mixed.promise} on {plural(mixed.clips, 'clip')}."
    )


def _kept_rows(mixed: Mixed) -> list[tuple[str, ...]]:
    return [
        (
            unit.name,
            f"{unit.multiply_adds / mixed.multiply_adds:.1%}".replace("%", " %"),
            _bytes(unit.int8_bytes),
            _bytes(unit.float_bytes),
        )
        for unit in mixed.units
    ]


def _cost_rows(mixed: Mixed, latency: Latency | None, sizes: tuple[int, int] | None) -> list[tuple[str, str, str]]:
    before, after = (_cells(figures, mixed.clips) for figures in (mixed.uniform, mixed.reached))
    rows = [
        (name, *cells) for name, *cells in zip(("SQNR", "top-1 agreement", "KL (nats)"), before, after, strict=True)
    ]
    rows += [
        ("multiply-adds kept float", "0 %", percent(mixed.kept_share)),
        ("tensors quantized or dequantized", str(mixed.uniform_boundaries), str(mixed.boundaries)),
        ("weights", "", f"+{_bytes(mixed.bytes_added)}"),
    ]
    if sizes is not None:
        rows.append(("size", f"{sizes[0] / 1e6:.2f} MB", f"{sizes[1] / 1e6:.2f} MB"))
    times = "not measured" if latency is None else f"{latency[0]:.3f} times"
    rows.append(("latency", "1", times))
    if latency is not None and latency[1] is not None:
        low, high = latency[1]
        rows.append(("  interval", "", f"{low:.3f} to {high:.3f}"))
    return [(name, one, other) for name, one, other in rows]


def _bytes(count: int) -> str:
    return f"{count / 1e6:.2f} MB" if count >= 10_000 else f"{count / 1e3:.1f} kB"


# The plot. One hue for each stage, and shades of it for the stage's blocks: colours tell depth without a legend.
_HUES = ("#6b7280", "#2563a8", "#12897b", "#c2740c", "#b23a5e", "#6d4bb0")


def plot(sensitivity: Sensitivity, path: Path, mixed: Mixed | None = None) -> None:
    """Write a PNG: every operator in the network's order, its SQNR when int8 alone, and its multiply-adds.

    Args:
        mixed: what stays float, which is marked, and its promise, a line where that is an SQNR.

    Raises:
        MissingDependencyError: matplotlib isn't installed.
        OutputError: the place can't be written.
    """
    costs = sensitivity.operators
    figure = plots.new_figure(11, 2.2 + 0.2 * len(costs))
    top, bottom = 1 - 1.25 / figure.get_figheight(), 0.62 / figure.get_figheight()
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 1.15))
    figure.subplots_adjust(left=0.285, right=0.975, top=top, bottom=bottom, wspace=0.05)
    kept = frozenset(mixed.kept if mixed is not None else ())
    _draw_sqnr(left, sensitivity, mixed, kept)
    _draw_work(right, sensitivity, kept)
    _draw_blocks((left, right), costs)
    _draw_words(figure, sensitivity, mixed)
    plots.write(figure, path)


def _draw_sqnr(axes: Any, sensitivity: Sensitivity, mixed: Mixed | None, kept: frozenset[str]) -> None:
    costs = sensitivity.operators
    values = [cost.figures.sqnr_db for cost in costs]
    promise = mixed.promise.min_sqnr_db if mixed is not None else None
    lines = [("all int8", sensitivity.whole.sqnr_db, plots.INK, "--")]
    if promise is not None:
        lines.append(("promised", promise, plots.MARK, "-"))
    finite = [value for value in (*values, *(line[1] for line in lines)) if abs(value) != float("inf")]
    least, most = min([0.0, *finite]), max([*finite, 10.0]) * 1.13
    places = range(len(costs))
    shown = [min(max(value, least), most) for value in values]
    bars = axes.barh(places, shown, height=0.72, color=_colours(costs))
    for place, cost, bar, value in zip(places, costs, bars, values, strict=True):
        is_kept = cost.unit.name in kept
        if is_kept:
            bar.set(hatch="////", edgecolor="white", linewidth=0)
        inside = value >= most
        label = f"{value:.1f}" if abs(value) != float("inf") else "identical" if value > 0 else "not finite"
        axes.annotate(
            f"{label}   float" if is_kept else label,
            (bar.get_width(), place),
            xytext=(-4 if inside else 4, 0),
            textcoords="offset points",
            ha="right" if inside else "left",
            va="center",
            fontsize=7.5,
            color="white" if inside else plots.MARK if is_kept else plots.INK,
            weight="bold" if is_kept else "normal",
            bbox=None if inside else {"facecolor": "white", "edgecolor": "none", "pad": 0.6},
        )
    for name, value, colour, style in lines:
        if abs(value) != float("inf"):
            axes.axvline(value, color=colour, linestyle=style, linewidth=1.3, zorder=3)
            axes.annotate(
                f"{name} {value:.1f} dB",
                (value, 1),
                xycoords=("data", "axes fraction"),
                xytext=(0, 5 if name == "all int8" else 17),
                textcoords="offset points",
                ha="center",
                fontsize=8,
                color=colour,
            )
    axes.set_xlim(least, most)
    axes.set_ylim(len(costs) - 0.4, -0.6)
    axes.set_yticks(places, [_short(cost.unit) for cost in costs], fontsize=8)
    for label, cost in zip(axes.get_yticklabels(), costs, strict=True):
        if cost.unit.name in kept:
            label.set(color=plots.MARK, weight="bold")
    axes.set_xlabel(
        "SQNR of the logits with this operator alone in int8 (dB): the shorter, the more it costs", fontsize=8.5
    )
    _plain(axes)


def _draw_work(axes: Any, sensitivity: Sensitivity, kept: frozenset[str]) -> None:
    costs = sensitivity.operators
    shares = [100 * sensitivity.share(cost.unit) for cost in costs]
    bars = axes.barh(range(len(costs)), shares, height=0.72, color=_colours(costs))
    for cost, bar in zip(costs, bars, strict=True):
        if cost.unit.name in kept:
            bar.set(hatch="////", edgecolor="white", linewidth=0)
    axes.tick_params(labelleft=False)
    axes.set_xlim(0, max([*shares, 1.0]) * 1.05)
    axes.set_xlabel("multiply-adds (% of all int8)", fontsize=8.5)
    _plain(axes)


def _draw_blocks(panels: Sequence[Any], costs: Sequence[UnitCost]) -> None:
    """Names of blocks at the left, each beside its operators, with a line between."""
    rows: dict[str, list[int]] = {}
    for place, cost in enumerate(costs):
        rows.setdefault(cost.unit.block, []).append(place)
    colours = dict(zip((cost.unit.block for cost in costs), _colours(costs), strict=True))
    left = panels[0]
    for block, places in rows.items():
        middle = (places[0] + places[-1]) / 2
        where = {"xycoords": ("axes fraction", "data"), "annotation_clip": False}
        left.annotate(
            block, (-0.262, middle), va="center", ha="right", fontsize=8.5, weight="bold", color=colours[block], **where
        )
        left.plot(
            [-0.245] * 2,
            [places[0] - 0.36, places[-1] + 0.36],
            transform=left.get_yaxis_transform(),
            color=colours[block],
            linewidth=3,
            solid_capstyle="butt",
            clip_on=False,
        )
        if places[0]:
            for axes in panels:
                axes.axhline(places[0] - 0.5, color="#e3e6ea", linewidth=0.8, zorder=0)


def _draw_words(figure: Any, sensitivity: Sensitivity, mixed: Mixed | None) -> None:
    inches = figure.get_figheight()
    figure.text(
        0.02, 1 - 0.34 / inches, "What quantizing each operator costs", fontsize=14, weight="bold", color=plots.INK
    )
    against = f"Against the float network on {plural(sensitivity.clips, 'clip')}. All int8: "
    against += f"{decibels(sensitivity.whole.sqnr_db)}, top-1 agrees on {sensitivity.whole.agreeing}."
    figure.text(0.02, 1 - 0.6 / inches, against, fontsize=9, color=plots.INK)
    if mixed is not None:
        figure.text(0.02, 1 - 0.8 / inches, _kept_title(mixed), fontsize=9, color=plots.MARK)


def _short(unit: Unit) -> str:
    """An operator's name within its block: `context_temporal`, `fc1`."""
    inside = unit.name.removeprefix(f"{unit.block}.")
    return inside.removeprefix("modulation.").removeprefix("mlp.")


def _colours(costs: Sequence[UnitCost]) -> list[Any]:
    """A hue for each stage; within it, later blocks are lighter."""
    stages: dict[str, dict[str, int]] = {}
    for cost in costs:
        blocks = stages.setdefault(cost.unit.block.split(".")[0], {})
        blocks.setdefault(cost.unit.block, len(blocks))
    hues = {stage: plots.rgb(_HUES[index % len(_HUES)]) for index, stage in enumerate(stages)}
    colours = []
    for cost in costs:
        stage = cost.unit.block.split(".")[0]
        light = 0.45 * stages[stage][cost.unit.block] / max(len(stages[stage]), 2)
        colours.append(tuple(part + (1 - part) * light for part in hues[stage]))
    return colours


def _plain(axes: Any) -> None:
    """As little ink as will do."""
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(plots.FAINT)
    axes.tick_params(axis="x", labelsize=8, color=plots.FAINT)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color="#eceef1", linewidth=0.8, zorder=0)
    axes.set_axisbelow(True)
