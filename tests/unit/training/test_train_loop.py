"""The training loop: what it learns, and what it keeps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dvfl_mobile.errors import DvflMobileError, UsageError
from dvfl_mobile.model.build import build_network
from dvfl_mobile.training import loop
from dvfl_mobile.training import state as training_state
from dvfl_mobile.training.drop_path import SeededDropPath, SeededDropPaths
from dvfl_mobile.training.initial_weights import seeded_weights
from dvfl_mobile.training.journal import read_journal
from dvfl_mobile.training.optimization import update
from dvfl_mobile.training.settings import Augmentation, TrainSettings
from dvfl_mobile.training.validation import Score
from tests.threads import threads
from tests.training import (
    QUICK,
    TINY,
    Drawn,
    Killed,
    architecture,
    distilling,
    killed_after,
    same,
    trained,
    whole,
)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(training_state, "_SAVE_EVERY_S", 0.0)
    with threads(1):
        yield


def plain(**changes: Any) -> TrainSettings:
    """Without anything that makes learning slower than need be on so few clips."""
    still = {"augmentation": Augmentation.none(), "drop_path": 0.0, "average": 0.0, "global_batch": 11}
    return QUICK.model_copy(update={**still, "micro_batch": 11, "epochs": 25, **changes})


def losses(folder: Path, kind: str = "loss") -> list[float]:
    return [line[kind] for line in read_journal(folder / "log.jsonl") if line["event"] == "step"]


@pytest.mark.parametrize(
    "settings",
    [
        {"epochs": 45},
        {"optimizer": "adamw", "epochs": 30, "learning_rate": 0.3, "warmup_learning_rate": 0.0},
    ],
    ids=["sgd", "adamw"],
)
def test_it_learns_the_labels_of_clips(tmp_path: Path, settings: dict[str, Any]) -> None:
    outcome = trained(plain(**settings), tmp_path, test=Drawn())
    assert losses(tmp_path)[-1] < 0.5 * losses(tmp_path)[0]
    assert outcome.best is not None
    assert outcome.best.right >= 8, "of 11; chance would be 3"


@pytest.mark.parametrize("loss", ["forward_kl", "official"])
def test_it_follows_a_teacher_without_any_label(tmp_path: Path, loss: str) -> None:
    settings = distilling(plain(), weight=1.0, temperature=2.0, loss=loss)
    trained(settings, tmp_path, samples=Drawn(labelled=False), test=None)
    following = losses(tmp_path, "teacher_loss")
    if loss == "forward_kl":
        assert following[-1] < 0.3 * following[0]
    else:
        assert following[-1] < following[0]
    assert losses(tmp_path, "label_loss") == [0.0] * 25


def test_alpha_is_the_teachers_share_and_labels_have_the_rest(tmp_path: Path) -> None:
    trained(distilling(plain(epochs=2), weight=0.3), tmp_path, test=None)
    for line in read_journal(tmp_path / "log.jsonl"):
        expected = 0.3 * line["teacher_loss"] + 0.7 * line["label_loss"]
        assert line["loss"] == pytest.approx(expected, rel=1e-5)


def test_the_same_seed_gives_the_same_to_the_bit_whatever_the_number_of_threads_that_decode() -> None:
    assert same(whole().weights, trained(workers=4).weights)


def test_another_seed_gives_other_weights() -> None:
    assert not same(whole().weights, trained(QUICK.model_copy(update={"seed": 1})).weights)


def test_the_pieces_a_batch_is_cut_in_hardly_change_the_result() -> None:
    still = QUICK.model_copy(update={"augmentation": Augmentation.none()})
    one = trained(still.model_copy(update={"micro_batch": 5})).weights
    other = trained(still.model_copy(update={"micro_batch": 1})).weights
    # Products over other shapes round otherwise: a few last bits of weights up to 1, carried through six steps.
    for name, values in one.items():
        torch.testing.assert_close(values, other[name], rtol=1e-4, atol=1e-5)


def test_the_best_weights_are_those_of_the_best_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = iter([Score(6, 2, 4, 1.0), Score(6, 5, 6, 0.9), Score(6, 3, 6, 0.8)])
    monkeypatch.setattr(loop, "count_right", lambda *_: next(scores))
    kept: list[Any] = []
    outcome = trained(best=kept.append)
    assert len(kept) == 2
    assert outcome.best_epoch == 2
    assert outcome.best == Score(6, 5, 6, 0.9)
    assert not same(kept[-1], outcome.weights)


def test_of_equal_scores_the_later_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "count_right", lambda *_: Score(6, 2, 4, 1.0))
    assert trained().best_epoch == 3


def test_without_validation_the_last_weights_are_the_best() -> None:
    kept: list[Any] = []
    outcome = trained(best=kept.append, test=None)
    assert len(kept) == 1
    assert same(kept[0], outcome.weights)
    assert outcome.best is None


def test_the_moving_average_is_what_is_kept() -> None:
    """By hand: after one step from w to v, it is half of each."""
    settings = QUICK.model_copy(update={"epochs": 1, "warmup_epochs": 0, "global_batch": 11})
    before = seeded_weights(architecture(settings), 0)
    averaged = trained(settings).weights
    after = trained(settings.model_copy(update={"average": 0.0})).weights
    for name, values in averaged.items():
        torch.testing.assert_close(values, (before[name] + after[name]) / 2, rtol=1e-6, atol=1e-7)


def test_gradients_are_clipped_together(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths: list[float] = []
    step = torch.optim.SGD.step

    def watched(self: Any) -> None:
        gradients = [values.grad for group in self.param_groups for values in group["params"]]
        lengths.append(float(torch.stack([gradient.norm() for gradient in gradients]).norm()))
        step(self)

    monkeypatch.setattr(torch.optim.SGD, "step", watched)
    trained(QUICK.model_copy(update={"epochs": 2, "clip_gradient": 0.01}))
    assert lengths == pytest.approx([0.01] * 4, rel=1e-3)


def test_biases_and_norms_dont_decay() -> None:
    """With gradients clipped to next to nothing, decay is all that is left."""
    settings = QUICK.model_copy(
        update={"epochs": 2, "weight_decay": 0.5, "clip_gradient": 1e-20, "average": 0.0, "momentum": 0.0}
    )
    before, after = seeded_weights(architecture(settings), 0), trained(settings).weights
    for name, values in before.items():
        if values.ndim > 1:
            assert float(after[name].norm()) < 0.999 * float(values.norm()), name
        else:
            torch.testing.assert_close(after[name], values, rtol=0, atol=1e-20)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_learns_too(tmp_path: Path, precision: str) -> None:
    settings = plain(precision=precision, epochs=30, global_batch=4, micro_batch=4)
    outcome = trained(settings, tmp_path, samples=Drawn(4), test=None)
    assert outcome.precision == precision
    done = [loss for loss in losses(tmp_path) if loss is not None]
    assert done[-1] < 0.6 * done[0]
    assert all(values.dtype is torch.float32 for values in outcome.weights.values())


def test_float16_leaves_a_step_out_that_overflows_and_a_kill_changes_nothing(tmp_path: Path) -> None:
    half = QUICK.model_copy(update={"precision": "float16"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(update, "_FIRST_SCALE", 2.0**40)
        unbroken = trained(half, tmp_path / "whole")
        assert losses(tmp_path / "whole")[0] is None
        with pytest.raises(Killed):
            trained(half, tmp_path / "killed", killed_after(2))
        assert same(trained(half, tmp_path / "killed").weights, unbroken.weights)


def test_a_loss_that_is_no_number_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "label_loss", lambda logits, _: logits.sum(-1) * np.nan)
    with pytest.raises(DvflMobileError, match="step 1: the loss"):
        trained()


def test_nothing_to_train_on_is_refused() -> None:
    with pytest.raises(UsageError):
        trained(samples=Drawn(0))


def test_every_weight_gets_a_gradient(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        trained(QUICK, tmp_path, killed_after(1))
    stored = training_state.load_safetensors(tmp_path / "state.safetensors")
    momentum = {name: values for name, values in stored.items() if name.startswith("momentum_buffer/")}
    assert len(momentum) == len(seeded_weights(TINY, 0))
    assert [name for name, values in momentum.items() if not values.any()] == []


def test_drop_path_has_the_rates_it_should_and_the_state_dict_stays() -> None:
    network = build_network(TINY.model_copy(update={"drop_path_rate": 0.4}), seeded_weights(TINY, 0))
    keys = list(network.state_dict())
    drop_path = SeededDropPaths(network, seed=0)
    assert list(network.state_dict()) == keys
    first, last = (module for module in network.modules() if isinstance(module, SeededDropPath))
    assert (first.rate, last.rate) == (0.0, pytest.approx(0.4))
    drop_path.draw(range(500), 0, torch.device("cpu"))
    kept = torch.stack(last.kept)
    assert kept.shape == (2, 500, 4)
    assert float(kept.float().mean()) == pytest.approx(0.6, abs=0.03)  # 4000 draws: 4 standard deviations
    assert bool(torch.stack(first.kept).all())
    last.train()
    tokens = torch.ones(500, 4, 1, 1, 2)
    assert float(last(tokens).mean()) == pytest.approx(1, abs=0.05)
    assert last.eval()(tokens).equal(tokens)


def test_a_clip_drops_the_same_branches_in_any_company() -> None:
    network = build_network(TINY.model_copy(update={"drop_path_rate": 0.5}), seeded_weights(TINY, 0))
    drop_path = SeededDropPaths(network, seed=3)
    last = [module for module in network.modules() if isinstance(module, SeededDropPath)][-1]
    drop_path.draw([4, 9], 1, torch.device("cpu"))
    together = last.kept[0][1]
    drop_path.draw([9], 1, torch.device("cpu"))
    assert last.kept[0][0].equal(together)
