"""A head that masks classes by a bias of -inf: read as a number, aloud; damage stays damage."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dvfl_mobile.errors import CheckpointError
from dvfl_mobile.model.checkpoint.load import load_checkpoint
from dvfl_mobile.model.checkpoint.masked import MASKED
from tests.checkpoints import small_weights


def test_a_masked_class_gets_a_finite_bias_and_a_note(tmp_path: Path) -> None:
    weights = small_weights()
    weights["head.bias"][2] = -torch.inf
    torch.save({"model": weights}, tmp_path / "a.pth")
    student = load_checkpoint(tmp_path / "a.pth")
    found = student.network.state_dict()["head.bias"]
    assert found[2] == MASKED
    left = torch.arange(len(found)) != 2
    assert torch.equal(found[left], weights["head.bias"][left])
    assert any("1 class masked by a bias of -inf: -10000 stands for it" in note for note in student.notes)
    assert torch.isfinite(found.half()).all()


@pytest.mark.parametrize("value", [torch.inf, torch.nan])
def test_another_number_that_is_none_is_damage(tmp_path: Path, value: float) -> None:
    weights = small_weights()
    weights["head.bias"][0], weights["head.bias"][1] = -torch.inf, value
    torch.save(weights, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=r"NaN or infinite: head\.bias"):
        load_checkpoint(tmp_path / "a.pth")


def test_a_bias_that_masks_every_class_is_damage(tmp_path: Path) -> None:
    weights = small_weights()
    weights["head.bias"][:] = -torch.inf
    torch.save(weights, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=r"NaN or infinite: head\.bias"):
        load_checkpoint(tmp_path / "a.pth")


def test_an_infinite_weight_elsewhere_is_damage(tmp_path: Path) -> None:
    weights = small_weights()
    weights["head.weight"][0, 0] = -torch.inf
    torch.save(weights, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=r"NaN or infinite: head\.weight"):
        load_checkpoint(tmp_path / "a.pth")
