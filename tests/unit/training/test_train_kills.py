"""Trainings that are killed: one at any step leaves no trace in the weights, and what is left goes with no other."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from dvfl_mobile.errors import CheckpointError
from dvfl_mobile.training import loop
from dvfl_mobile.training import state as training_state
from dvfl_mobile.training.journal import read_journal
from dvfl_mobile.training.settings import TrainSettings
from dvfl_mobile.training.validation import Score
from tests.threads import threads
from tests.training import QUICK, Killed, distilling, killed_after, same, trained, whole

STEPS = 6  # of QUICK: three epochs of eleven clips in steps of five


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(training_state, "_SAVE_EVERY_S", 0.0)
    with threads(1):
        yield


def copied_after_each(folder: Path, copies: Path) -> Callable[..., Any]:
    """A `step` that copies the training's folder after each step, to `1`, `2` and so on."""
    done = 0

    @contextmanager
    def step(name: str, _total: int | None = None, /) -> Iterator[Callable[[], None]]:
        def advance() -> None:
            nonlocal done
            if name.startswith("epoch"):
                done += 1
                shutil.copytree(folder, copies / str(done))

        yield advance

    return step


@pytest.mark.parametrize(
    "settings",
    [QUICK, distilling(QUICK.model_copy(update={"optimizer": "adamw", "learning_rate": 0.1, "average": 0.0}))],
    ids=["sgd", "distil, adamw"],
)
def test_a_kill_after_any_step_leaves_no_trace(tmp_path: Path, settings: TrainSettings) -> None:
    # What a kill leaves is what is in the folder then: a copy of each moment is taken of one training.
    alive = tmp_path / "alive"
    unbroken = trained(settings, alive, copied_after_each(alive, tmp_path))
    for steps in range(1, STEPS + 1):
        folder = tmp_path / str(steps)
        assert (folder / "state.safetensors").is_file()
        went_on = trained(settings, folder)
        assert same(went_on.weights, unbroken.weights), f"killed after step {steps}"
        assert (went_on.best_epoch, went_on.best) == (unbroken.best_epoch, unbroken.best)
        journal = read_journal(folder / "log.jsonl")
        assert [line["step"] for line in journal if line["event"] == "step"] == list(range(1, STEPS + 1))
        assert [line["epoch"] for line in journal if line["event"] == "epoch"] == [1, 2, 3]


def test_a_kill_in_every_step_leaves_no_trace(tmp_path: Path) -> None:
    kills = 0
    while True:
        try:
            outcome = trained(QUICK, tmp_path, killed_after(2))
        except Killed:
            kills += 1
            continue
        break
    assert kills == 3  # the state is of the step before, but for the second, which ends an epoch
    assert same(outcome.weights, whole().weights)


def test_only_a_minutes_work_is_lost_where_the_state_is_written_less_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_state, "_SAVE_EVERY_S", 60.0)
    with pytest.raises(Killed):
        trained(QUICK, tmp_path, killed_after(3))
    stored = training_state.load_safetensors(tmp_path / "state.safetensors")
    assert int(stored["steps_done"]) == 2  # the first epoch's end
    assert same(trained(QUICK, tmp_path).weights, whole().weights)


@pytest.mark.parametrize("change", [{"seed": 1}, {"learning_rate": 1.0}, {"micro_batch": 4}, {"epochs": 4}])
def test_the_state_of_another_training_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    with pytest.raises(Killed):
        trained(QUICK, tmp_path, killed_after(1))
    with pytest.raises(CheckpointError, match="another training"):
        trained(QUICK.model_copy(update=change), tmp_path)


def test_patience_ends_it_and_a_kill_at_the_end_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = iter([4, 3, 3, 3, 3, 3])
    monkeypatch.setattr(loop, "count_right", lambda *_: Score(6, next(right), 4, 1.0))
    patient = QUICK.model_copy(update={"epochs": 9, "patience": 2})
    first = trained(patient, tmp_path)
    assert (first.epochs, first.best_epoch) == (3, 1)
    again = trained(patient, tmp_path)  # the state is there still: as after a kill before the result was written
    assert (again.epochs, again.best_epoch) == (3, 1)
    assert same(first.weights, again.weights)


def test_a_journal_cut_short_by_a_kill_is_gone_on_with(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        trained(QUICK, tmp_path, killed_after(4))
    with (tmp_path / "log.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"event": "step", "step": 5})[:-4])
    trained(QUICK, tmp_path)
    assert [line["step"] for line in read_journal(tmp_path / "log.jsonl") if line["event"] == "step"] == [*range(1, 7)]
