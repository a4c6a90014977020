"""The confusion matrix: right and wrong answers by class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from dvfl_mobile.documents import Document, Line


class Confused(Document):
    """Videos of one class that were taken for another: `videos` of the `of` that the class has."""

    label: Line
    answer: Line
    videos: int
    of: int


def confusion_matrix(pairs: Iterable[tuple[int, int | None]], classes: int) -> NDArray[np.int64]:
    """`(K,K)`: videos by class (rows) and answer (columns); a video without an answer is in none.

    Args:
        pairs: label and answer of each video.
    """
    matrix = np.zeros((classes, classes), np.int64)
    for label, answer in pairs:
        if answer is not None:
            matrix[label, answer] += 1
    return matrix


def confused_classes(pairs: Sequence[tuple[int, int | None]], classes: Sequence[str]) -> tuple[Confused, ...]:
    """The pairs of classes that were confused, the most videos first, then in the order of the classes."""
    of_class = Counter(label for label, _ in pairs)
    wrong = Counter((label, answer) for label, answer in pairs if answer is not None and answer != label)
    return tuple(
        Confused(label=classes[label], answer=classes[answer], videos=count, of=of_class[label])
        for (label, answer), count in sorted(wrong.items(), key=lambda item: (-item[1], item[0]))
    )
