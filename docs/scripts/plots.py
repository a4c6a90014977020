"""What the plots of docs/benchmarks.md have in common: where their figures stand, how they look, and how they are kept.

Importing it lets matplotlib draw SVG, without a window.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot
from matplotlib.figure import Figure

DOCS = Path(__file__).parents[1]
# Text, and lines that only help, on a light and on a dark page.
INK = {"light": ("#1f2328", "#8c959f"), "dark": ("#e6edf3", "#6e7681")}


def section(name: str) -> str:
    """What the benchmark of that name wrote into the page."""
    page = (DOCS / "benchmarks.md").read_text(encoding="utf-8")
    return page.partition(f"<!-- benchmark:{name} -->")[2].partition("<!-- /benchmark -->")[0]


def style(name: str, look: str) -> dict[str, Any]:
    """Settings of matplotlib for a plot on a page of that look; the same plot gives the same bytes."""
    ink, faint = INK[look]
    return {
        "svg.fonttype": "none",
        "svg.hashsalt": name,
        "font.family": "sans-serif",
        "font.sans-serif": ["Helvetica", "Arial", "DejaVu Sans", "sans-serif"],
        "font.size": 10,
        "axes.spines.left": False,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": faint,
        "ytick.left": False,
        **dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color"), ink),
    }


def draw_both(name: str, draw: Callable[[str], Figure]) -> None:
    """Keep the figures that `draw` makes for a light and for a dark page as docs/images/NAME-LOOK.svg."""
    for look in INK:
        path = DOCS / "images" / f"{name}-{look}.svg"
        with pyplot.rc_context(style(name, look)):
            figure = draw(look)
            figure.savefig(path, transparent=True, metadata={"Date": None, "Creator": None})
            pyplot.close(figure)
        path.write_text(re.sub(r"[ \t]+$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE), encoding="utf-8")
        print(path)
