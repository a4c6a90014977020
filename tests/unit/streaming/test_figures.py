"""Scenes, figures and sweeps by their definitions: counted by hand, and instant by instant."""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from dvfl_mobile.data.clips import ClipSpec
from dvfl_mobile.data.videos import VideoRef
from dvfl_mobile.streaming.figures import RESAMPLES, StreamFigures, assess, figures_of, measure, resampled
from dvfl_mobile.streaming.playlist import _alternating, _spread
from dvfl_mobile.streaming.policy import NOTHING, Policy, series
from dvfl_mobile.streaming.reel import Piece
from dvfl_mobile.streaming.scenes import Scene, scenes_of, tally
from dvfl_mobile.streaming.sweep import finest, grid, said_by, sweep, unbeaten
from dvfl_mobile.streaming.watch import Watched

SPEC = ClipSpec(frames=4, size=32, short_side=32, frame_interval=2)
POLICY = Policy()


def piece(label: int | None, group: int | None, start: int, end: int) -> Piece:
    ref = VideoRef(Path(f"{label}-{group}-{start}.mp4"), label=label, group=group)
    return Piece(ref, start * 1_000_000, end * 1_000_000)


def test_scenes_are_groups_and_cuts_are_other_classes() -> None:
    pieces = [piece(0, 1, 0, 3), piece(0, 1, 3, 5), piece(0, 2, 5, 6), piece(1, 2, 6, 9), piece(1, None, 9, 10)]
    assert scenes_of([*pieces, piece(1, None, 10, 11)]) == [
        Scene(0, 5, 0, is_cut=False),
        Scene(5, 6, 0, is_cut=False),
        Scene(6, 9, 1, is_cut=True),
        Scene(9, 10, 1, is_cut=False),
        Scene(10, 11, 1, is_cut=False),
    ]
    assert scenes_of([*pieces, piece(None, None, 11, 12)]) == []


def test_a_tally_by_hand() -> None:
    scenes = [Scene(0, 4, 0, is_cut=False), Scene(4, 8, 1, is_cut=True), Scene(8, 10, 2, is_cut=True)]
    seconds = np.array([1.0, 3.0, 5.0, 7.0, 9.0])
    said = np.array([[0, NOTHING, 0, 1, 1]])
    found = tally(scenes, seconds, said)
    assert found.lengths.tolist() == [4, 4, 2]
    assert found.right.tolist() == [[2, 1, 0]]
    assert found.wrong.tolist() == [[0, 2, 2]]
    assert found.changes.tolist() == [[1, 2, 0]]
    np.testing.assert_array_equal(found.delays, [[np.nan, 3, np.inf]])
    [figures] = figures_of([POLICY], found, assess(found, 0))
    assert (figures.right.value, figures.wrong.value) == (pytest.approx(0.3), pytest.approx(0.4))
    assert figures.changes_per_minute.value == pytest.approx(18)
    assert (figures.cuts, figures.undecided) == (2, 1)
    assert figures.decided_median_s is not None
    assert figures.decided_p90_s is not None
    assert (figures.decided_median_s.value, figures.decided_p90_s.value) == (3, None)
    assert figures.right.interval is None


def random_stream(seed: int) -> tuple[list[Scene], Watched]:
    chance = random.Random(seed)
    scenes, at = [], 0.0
    for _ in range(chance.randint(6, 12)):
        end, label = at + chance.uniform(0.3, 8), chance.randrange(4)
        scenes.append(Scene(at, end, label, is_cut=bool(scenes) and scenes[-1].label != label))
        at = end
    ticks = np.arange(28, int(at * 30), 4)
    labels = np.array([next(scene.label for scene in scenes if tick / 30 < scene.end_s) for tick in ticks])
    logits = np.random.RandomState(seed).normal(0, 1.5, (len(ticks), 4))
    logits[np.arange(len(ticks)), labels] += 2
    return scenes, Watched(ticks, logits.astype(np.float32))


@pytest.mark.parametrize("seed", range(20))
def test_a_tally_is_what_a_walk_through_time_gives(seed: int) -> None:
    scenes, watched = random_stream(seed)
    said = said_by([POLICY], watched)
    found = tally(scenes, watched.seconds, said)
    step = 1e-3
    for place, scene in enumerate(scenes):
        instants = np.arange(scene.start_s + step / 2, scene.end_s, step)
        answer = np.searchsorted(watched.seconds, instants, "right") - 1
        heard = np.where(answer < 0, NOTHING, said[0, answer])
        assert found.right[0, place] == pytest.approx((heard == scene.label).sum() * step, abs=0.02)
        wrong = (heard != scene.label) & (heard != NOTHING)
        assert found.wrong[0, place] == pytest.approx(wrong.sum() * step, abs=0.02)
        inside = (watched.seconds >= scene.start_s) & (watched.seconds < scene.end_s)
        hits = watched.seconds[inside & (said[0] == scene.label)] - scene.start_s
        if scene.is_cut:
            assert found.delays[0, place] == (hits[0] if len(hits) else np.inf)
    assert found.changes.sum() == (said[0, 1:] != said[0, :-1]).sum()


def test_intervals_are_of_whole_scenes() -> None:
    weights = resampled(9, seed=3)
    assert weights.shape == (RESAMPLES, 9)
    assert (weights.sum(1) == 9).all()
    scenes, watched = random_stream(1)
    found = tally(scenes, watched.seconds, said_by([POLICY], watched))
    drawn = measure(found, resampled(len(scenes), 0))
    [figures] = figures_of([POLICY], found, assess(found, 0))
    low, high = np.quantile(drawn.right[:, 0], [0.025, 0.975])
    assert figures.right.interval == (pytest.approx(low, abs=0.01), pytest.approx(high, abs=0.01))
    assert figures == figures_of([POLICY], found, assess(found, 0))[0]
    # A draw's median is that of its scenes, each as often as it was drawn.
    delays = np.repeat(found.delays[0], weights := resampled(len(scenes), 0)[0].astype(int))
    assert weights.sum() == len(delays)
    known = np.sort(delays[~np.isnan(delays)])
    assert drawn.median_s[0, 0] == known[-(-len(known) // 2) - 1]


@pytest.mark.parametrize("seed", range(20))
def test_many_policies_at_once_say_what_each_says(seed: int) -> None:
    _, watched = random_stream(seed)
    policies = [each for each in grid(POLICY.model_copy(update={"threshold": 0.6})) if each.every == 8]
    heard = watched.every(8)
    for policy, said in zip(policies, said_by(policies, heard), strict=True):
        answers = series(policy, heard.seconds.tolist(), heard.logits)
        assert said.tolist() == [NOTHING if answer.label is None else answer.label for answer in answers]


def test_a_sweep_holds_the_policy_itself_and_marks_what_nothing_beats() -> None:
    policy = Policy(every=8, half_life_s=0.3, hysteresis=0.05)
    scenes, watched = random_stream(5)
    policies = grid(policy)
    assert policy in policies
    assert all(each.every % finest(policy) == 0 for each in policies)
    assert finest(Policy(every=5)) == 5
    assert {each.every for each in grid(Policy(every=3000))} == {1500, 3000}
    rows = sweep(policies, watched, scenes, seed=0)
    assert {row.policy for row in rows} == set(policies)
    own = tally(scenes, watched.every(8).seconds, said_by([policy], watched.every(8)))
    assert next(row.figures for row in rows if row.policy == policy) == figures_of([policy], own, assess(own, 0))[0]

    def compared(figures: StreamFigures) -> tuple[float, ...]:
        median = figures.decided_median_s
        late = np.inf if median is None or median.value is None else round(median.value, 1)
        right, changes = figures.right.value or 0, figures.changes_per_minute.value or 0
        return (-round(right, 3), late, round(changes, 1), figures.clips_per_s)

    points = [compared(row.figures) for row in rows]
    for row, point in zip(rows, points, strict=True):
        is_beaten = any(all(x <= y for x, y in zip(rival, point, strict=True)) and rival != point for rival in points)
        assert row.is_unbeaten == (not is_beaten)
        assert row.unbeaten_share is not None
        assert 0 <= row.unbeaten_share <= 1


def test_of_equal_points_neither_is_beaten() -> None:
    points = np.array([[[1.0, 2.0], [1.0, 2.0], [2.0, 1.0], [2.0, 2.0], [np.inf, 0.0]]])
    assert unbeaten(points).tolist() == [[True, True, True, False, True]]


def groups(*labels: int) -> list[list[VideoRef]]:
    return [[VideoRef(Path(f"{place}.mp4"), label=label)] for place, label in enumerate(labels)]


@pytest.mark.parametrize("labels", [(0, 0, 0, 1, 1), (0, 1, 1, 1, 0), (2, 2, 0, 1, 2, 2, 1), (0, 1, 2, 2), (3, 3)])
def test_classes_alternate_where_they_can(labels: tuple[int, ...]) -> None:
    given = groups(*labels)
    order = _alternating(given)
    assert sorted(map(str, order)) == sorted(map(str, given))
    repeats = sum(a[0].label == b[0].label for a, b in pairwise(order))
    assert repeats == (1 if labels == (3, 3) else 0)


def test_a_few_groups_are_spread_over_the_classes() -> None:
    given = groups(0, 0, 0, 0, 1, 2, 2)
    assert [group[0].label for group in _spread(given, 3)] == [0, 1, 2]
    assert [group[0].label for group in _spread(given, 5)] == [0, 0, 1, 2, 2]
    assert _spread(given, None) == given
