"""Forward passes of two clips at once."""

from __future__ import annotations

from collections import Counter
from threading import Barrier, get_ident

import pytest
import torch

from dvfl_mobile.model.lean.at_once import AT_ONCE, each
from tests.threads import threads


@pytest.mark.parametrize("count", [1, 2, 5])
def test_results_come_in_the_order_of_the_clips(count: int) -> None:
    turns = Counter[str]()
    with threads(count):
        assert each(lambda clip: clip * 10, iter(range(7)), lambda: turns.update(["clip"])) == [*range(0, 70, 10)]
        assert torch.get_num_threads() == count
    assert turns["clip"] == 7


def test_two_are_at_work_at_once_by_half_of_the_threads_each() -> None:
    meeting = Barrier(AT_ONCE, timeout=30)

    def run(_clip: int) -> tuple[int, int, bool]:
        meeting.wait()  # one alone would wait in vain
        return get_ident(), torch.get_num_threads(), torch.is_grad_enabled()

    with threads(4):
        seen = each(run, range(4))
    assert len({thread for thread, _, _ in seen}) == AT_ONCE
    assert {(count, graded) for _, count, graded in seen} == {(2, False)}


@pytest.mark.parametrize(("count", "in_turn"), [(1, False), (4, True)])
def test_one_thread_or_what_goes_by_turns_runs_one_after_the_other(count: int, in_turn: bool) -> None:
    def run(_clip: int) -> tuple[int, int, bool]:
        return get_ident(), torch.get_num_threads(), torch.is_grad_enabled()

    with threads(count):
        assert set(each(run, range(3), in_turn=in_turn)) == {(get_ident(), count, False)}


def test_an_error_ends_it_and_what_threads_there_were_are_there_again() -> None:
    begun = []

    def run(clip: int) -> None:
        begun.append(clip)
        if clip == 1:
            raise ValueError("clip 1")

    with threads(2):
        with pytest.raises(ValueError, match="clip 1"):
            each(run, range(100))
        assert torch.get_num_threads() == 2
    assert len(begun) < 10
