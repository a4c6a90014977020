"""Scenes of a labelled stream, and what was said in each: how long it was right, and how soon."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dvfl_mobile.streaming.policy import NOTHING
from dvfl_mobile.streaming.reel import Piece

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]


@dataclass(frozen=True)
class Scene:
    """One recording: videos of one class and group that follow each other.

    Attributes:
        is_cut: whether what was on before is of another class; not for the first, before which nothing was.
    """

    start_s: float
    end_s: float
    label: int
    is_cut: bool


@dataclass(frozen=True, eq=False)
class Tally:
    """What P policies said in S scenes.

    Attributes:
        lengths: of the scenes, in seconds, `(S,)`.
        right, wrong: for how many seconds the label of the scene, or another, was said, `(P,S)`.
        changes: how often what was said changed, `(P,S)`.
        delays: seconds from a cut to the first right answer, `(P,S)`: infinite where there was none before the scene
            ended, NaN for a scene that doesn't begin with a cut.
    """

    lengths: Floats
    right: Floats
    wrong: Floats
    changes: Floats
    delays: Floats


def scenes_of(pieces: Sequence[Piece]) -> list[Scene]:
    """The scenes of what was played; none where a video has no label."""
    scenes: list[Scene] = []
    before: Piece | None = None
    for piece in pieces:
        label, start_s, end_s = piece.ref.label, piece.start_us / 1e6, piece.end_us / 1e6
        if label is None:
            return []
        same_class = before is not None and before.ref.label == label
        if same_class and before is not None and before.ref.group is not None and before.ref.group == piece.ref.group:
            last = scenes.pop()
            scenes.append(Scene(last.start_s, end_s, label, last.is_cut))
        else:
            scenes.append(Scene(start_s, end_s, label, is_cut=before is not None and not same_class))
        before = piece
    return scenes


def tally(scenes: Sequence[Scene], seconds: Floats, said: Whole) -> Tally:
    """Count what was said, scene by scene; before the first answer nothing is said.

    Args:
        seconds: when each of N answers came, `(N,)`.
        said: the label that each policy said then, or `NOTHING`, `(P,N)`.
    """
    starts = np.array([scene.start_s for scene in scenes])
    ends = np.array([scene.end_s for scene in scenes])
    labels = np.array([scene.label for scene in scenes])
    edges = np.unique(np.concatenate([starts, ends[-1:], seconds[seconds < ends[-1]]]))
    lengths = np.diff(edges)
    scene = np.searchsorted(starts, edges[:-1], "right") - 1
    answer = np.searchsorted(seconds, edges[:-1], "right") - 1
    heard = np.where(answer < 0, NOTHING, said[:, answer])
    is_right = heard == labels[scene]
    first = np.searchsorted(edges[:-1], starts)
    right = np.add.reduceat(is_right * lengths, first, axis=1)
    wrong = np.add.reduceat((~is_right & (heard != NOTHING)) * lengths, first, axis=1)
    return Tally(ends - starts, right, wrong, _changes(scenes, seconds, said), _delays(scenes, seconds, said))


def _changes(scenes: Sequence[Scene], seconds: Floats, said: Whole) -> Floats:
    so_far = np.zeros(said.shape)
    so_far[:, 1:] = np.cumsum(said[:, 1:] != said[:, :-1], axis=1)
    so_far = np.concatenate([np.zeros((len(said), 1)), so_far], axis=1)
    bounds = np.searchsorted(seconds, [*(scene.start_s for scene in scenes), np.inf])
    bounds[0] = 0
    return np.diff(so_far[:, bounds], axis=1)


def _delays(scenes: Sequence[Scene], seconds: Floats, said: Whole) -> Floats:
    delays = np.full((len(said), len(scenes)), np.nan)
    for place, scene in enumerate(scenes):
        if not scene.is_cut:
            continue
        low, high = np.searchsorted(seconds, [scene.start_s, scene.end_s])
        hits = said[:, low:high] == scene.label
        after = np.append(seconds[low:high] - scene.start_s, np.inf)
        delays[:, place] = after[np.where(hits.any(1), hits.argmax(1), -1)] if high > low else np.inf
    return delays
