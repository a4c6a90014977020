"""Render the confusion matrix as a picture, and its worst pairs as rows of a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dvfl_mobile.evaluation.confusion import Confused
from dvfl_mobile.report.formats import plots

PICTURE_NAME = "confusion.png"
COLUMNS = ("class", "taken for", "videos")
# More names than this can't be read, and more counts than this don't fit in their cells.
_MOST_NAMES, _MOST_COUNTS = 60, 20
_MOST_ROWS = 10


def rows(confused: Sequence[Confused]) -> list[tuple[str, ...]]:
    """The pairs that were confused most, a row each."""
    return [(pair.label, pair.answer, f"{pair.videos} of {pair.of}") for pair in confused[:_MOST_ROWS]]


def draw(matrix: NDArray[np.int64], classes: Sequence[str], title: str, path: Path) -> None:
    """Draw a confusion matrix: each row is a class, its colours are shares of that class's videos.

    Args:
        matrix: `(K,K)`, videos by class and answer.

    Raises:
        MissingDependencyError: matplotlib isn't installed.
        OutputError: the place can't be written.
    """
    count = len(classes)
    named = count <= _MOST_NAMES
    side = min(14.0, 3.5 + (0.28 if named else 0.02) * count)
    figure = plots.new_figure(side + 1.2, side)
    axes = figure.subplots()
    totals = matrix.sum(axis=1, keepdims=True)
    shares = np.divide(matrix, totals, out=np.zeros(matrix.shape), where=totals > 0)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    if count <= _MOST_COUNTS:
        for label, answer in zip(*np.nonzero(matrix), strict=True):
            ink = "white" if shares[label, answer] > 0.5 else plots.INK
            axes.text(answer, label, str(matrix[label, answer]), ha="center", va="center", color=ink, fontsize=8)
    size = 8 if count <= _MOST_COUNTS else 5.5
    places = range(count) if named else []
    # $ would begin a formula.
    names = [name.replace("$", r"\$") for name in classes] if named else []
    axes.set_xticks(places, names, rotation=90, fontsize=size)
    axes.set_yticks(places, names, fontsize=size)
    axes.set_xlabel("answer")
    axes.set_ylabel("class")
    axes.set_title(title.replace("$", r"\$"), fontsize=9, color=plots.INK)
    figure.colorbar(image, ax=axes, fraction=0.046, pad=0.03).set_label("share of the class's videos")
    figure.tight_layout()
    plots.write(figure, path)
