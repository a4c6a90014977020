"""Figures along the depth of a network, from its first operator to its last: by block, as a line of text, as a plot."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from dvfl_mobile.report.formats import plots

_BARS = "▁▂▃▄▅▆▇█"
_WIDTH = 64


def block_of(module: str) -> str:
    """`stage2.block1` of `stage2.block1.mlp.fc1`; the first step of what lies in no stage."""
    steps = module.split(".")
    return ".".join(steps[:2]) if steps[0].startswith("stage") else steps[0] or "between blocks"


def sparkline(values: Sequence[float], of_several: Callable[[Iterable[float]], float] = min) -> str:
    """Values as bars, at most 64 of them; one that stands for several shows their least, or `of_several`."""
    step = max(1.0, len(values) / _WIDTH)
    chunks = [values[int(start * step) : int((start + 1) * step)] for start in range(int(len(values) / step))]
    shown = [of_several(chunk) for chunk in chunks if chunk]
    least, span = min(shown), (max(shown) - min(shown)) or 1.0
    return "".join(_BARS[int((value - least) / span * (len(_BARS) - 1))] for value in shown)


def draw_blocks(axes: Any, modules: Sequence[str]) -> None:
    """A line where each block begins, and its name below, for operators at 0, 1, 2, … of these modules."""
    starts: list[tuple[int, str]] = []
    for index, module in enumerate(modules):
        block = block_of(module)
        if not starts or starts[-1][1] != block:
            starts.append((index, block))
    for index, _ in starts:
        axes.axvline(index - 0.5, color="#e3e6ea", linewidth=0.8, zorder=0)
    axes.set_xticks([index for index, _ in starts], [block for _, block in starts], rotation=45, ha="right")


def plain_axes(axes: Any, count: int) -> None:
    """The frame of a plot over so many operators."""
    axes.set_xlim(-1, count)
    axes.grid(axis="y", color="#eceef1", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8, color=plots.FAINT)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
