"""Plotting helpers: matplotlib figures, colours, and saving to files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dvfl_mobile.errors import needs
from dvfl_mobile.files import atomic_file

INK, FAINT, MARK = "#1f2430", "#9aa1ad", "#c81e1e"


def new_figure(width: float, height: float) -> Any:
    """An empty figure of so many inches; of its own, not pyplot's: no window, and nothing that stays behind.

    Raises:
        MissingDependencyError: matplotlib isn't installed.
    """
    with needs("matplotlib", extra="plots", why="it draws the plot"):
        from matplotlib.figure import Figure
    return Figure(figsize=(width, height), dpi=130, facecolor="white")


def rgb(colour: str) -> tuple[float, float, float]:
    """Red, green and blue, each 0 to 1, of a colour by name or in hexadecimal digits."""
    from matplotlib.colors import to_rgb

    return to_rgb(colour)


def write(figure: Any, path: Path) -> None:
    """Write a figure as PNG, whole or not at all.

    Raises:
        OutputError: the place can't be written.
    """
    with atomic_file(path) as partial:
        figure.savefig(partial, format="png")
