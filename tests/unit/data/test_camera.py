"""Frames of a camera become clips by their times, whatever the camera's rate."""

from __future__ import annotations

import numpy as np
import pytest

from dvfl_mobile.data.camera import Camera, Due, Ticks, clip_ticks, is_due, is_needed
from dvfl_mobile.data.clips import ClipSpec

SPEC = ClipSpec()


def clips(times_us: list[int], every: int, spec: ClipSpec = SPEC) -> tuple[list[Due[int]], list[int]]:
    """The clips of these frames, by the frames' numbers, and which frames were kept."""
    kept: list[int] = []

    def keep(frame: int) -> int:
        kept.append(frame)
        return frame

    camera = Camera(spec, every, keep)
    due = [each for frame, time in enumerate(times_us) for each in camera.add(time, frame)]
    return due + camera.end(), kept


def even(per_s: float, seconds: float, start_us: int = 0) -> list[int]:
    return [start_us + round(number * 1e6 / per_s) for number in range(int(per_s * seconds))]


def test_thirty_a_second_are_the_ticks_themselves() -> None:
    due, kept = clips(even(30, 2, start_us=123_456_789), 8)
    assert [each.tick for each in due] == [28, 36, 44, 52]
    assert due[0].frames == (0, 4, 8, 12, 16, 20, 24, 28)
    assert due[1].frames == (8, 12, 16, 20, 24, 28, 32, 36)
    assert due[0].seconds == 28 / 30
    assert kept == list(range(0, 57, 4))


@pytest.mark.parametrize(("per_s", "first"), [(60, (0, 8, 16, 24, 32, 40, 48, 56)), (15, (0, 2, 4, 6, 8, 10, 12, 14))])
def test_other_rates_cover_the_same_time(per_s: int, first: tuple[int, ...]) -> None:
    due, _ = clips(even(per_s, 1.9), 30)
    assert [each.frames for each in due] == [first]


def test_a_frame_is_kept_once_however_many_ticks_it_stands_for() -> None:
    _, kept = clips(even(5, 4), 1)
    assert kept == list(range(20))


def test_a_tick_takes_the_nearest_frame_and_the_earlier_of_two() -> None:
    ticks = Ticks()
    given = [ticks.add(time) for time in (0, 200_000, 250_000)]
    # The middle of the first two is tick 3 exactly, which stays with the earlier.
    assert (given, ticks.end()) == ([range(0), range(4), range(4, 7)], range(7, 9))


def test_it_is_the_nearest_frame_for_times_of_any_kind() -> None:
    chance = np.random.default_rng(0)
    for _ in range(50):
        times = [int(each) for each in np.cumsum(chance.integers(1, 120_000, 120))]
        ticks = Ticks()
        found = [-1] * 100_000
        for frame, time in enumerate(times):
            for tick in ticks.add(time) or ():
                found[tick] = frame - 1
        found = found[: found.index(-1)]
        since = np.asarray(times) - times[0]
        nearest = [int(np.argmin(abs(30 * since - 1_000_000 * tick))) for tick in range(len(found))]
        assert found == nearest


def test_frames_that_are_not_later_do_not_count() -> None:
    times = even(30, 2)
    doubled = [time for each in times for time in (each, each, each - 50_000)]
    assert [each.tick for each in clips(doubled, 8)[0]] == [each.tick for each in clips(times, 8)[0]]


def test_no_frame_and_one() -> None:
    assert clips([], 8) == ([], [])
    one = ClipSpec(frames=1)
    assert [each.frames for each in clips([5], 8, one)[0]] == [(0,)]


@pytest.mark.parametrize("every", [1, 3, 4, 8, 50])
def test_what_is_needed_is_what_some_clip_takes(every: int) -> None:
    taken = {tick for last in range(400) if is_due(last, SPEC, every) for tick in clip_ticks(last, SPEC)}
    needed = [tick for tick in range(300) if is_needed(tick, SPEC, every)]
    assert needed == [tick for tick in range(300) if tick in taken]
