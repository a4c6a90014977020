"""Checkpoints to students: every kind of file, and everything that has to be inferred from it."""

from __future__ import annotations

import json
import sys
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from dvfl_mobile.data.clips import ClipSpec
from dvfl_mobile.errors import CheckpointError, LabelError
from dvfl_mobile.files import sha256_of
from dvfl_mobile.model.architecture import Architecture
from dvfl_mobile.model.checkpoint.load import load_checkpoint
from dvfl_mobile.model.default import seeded_student
from dvfl_mobile.model.student import METADATA_KEY, Student, save_student
from tests.checkpoints import SMALL, config_of, official, save_official, small_weights, yacs
from tests.golden_cases import GOLDEN_CASES, GoldenCase


def _same(student: Student, weights: dict[str, Tensor]) -> bool:
    held = student.network.state_dict()
    return list(held) == list(weights) and all(torch.equal(held[key], value) for key, value in weights.items())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "small.pth"


def test_the_real_checkpoint(real_checkpoint: Path) -> None:
    assert "yacs" not in sys.modules
    student = load_checkpoint(real_checkpoint)
    assert student.architecture.name == "nano"
    assert student.architecture == Architecture.variant("nano", 8).model_copy(update={"drop_path_rate": 0.2})
    assert student.clip == ClipSpec.official(8, 224)
    assert student.source.kind == "checkpoint"
    assert student.source.sha256 == sha256_of(real_checkpoint)
    assert student.source.size_bytes == 88_630_507
    assert student.classes == tuple(f"class_{index}" for index in range(8))
    assert student.notes == (
        "class names not in the checkpoint: class_0, class_1, ... assumed; give them with `labels=` "
        "(it was trained with labels/ucf_101_labels.csv)",
    )


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before torch 1.6"])
def test_official_training_checkpoint(path: Path, zipped: bool) -> None:
    save_official(path, config_of(), _use_new_zipfile_serialization=zipped)
    assert "yacs" not in sys.modules
    student = load_checkpoint(path)
    assert student.architecture == SMALL
    assert _same(student, small_weights())
    assert student.clip == ClipSpec.official(8, 64).model_copy(update={"frame_interval": 2})
    assert [note.partition(" not in")[0] for note in student.notes] == ["class names"]
    assert not student.network.training
    assert not any(parameter.requires_grad for parameter in student.network.parameters())


@pytest.mark.parametrize("prefix", ["", "module.", "model.", "_orig_mod.", "module._orig_mod."])
@pytest.mark.parametrize("wrapper", [None, "model", "state_dict", "model_state_dict"])
def test_bare_prefixed_and_wrapped_weights(path: Path, prefix: str, wrapper: str | None) -> None:
    weights = OrderedDict((prefix + key, value) for key, value in small_weights().items())
    torch.save(weights if wrapper is None else {wrapper: weights, "epoch": 3}, path)
    student = load_checkpoint(path, size=64)
    assert _same(student, small_weights())
    assert student.notes[0] == "frames not in the checkpoint: 8 assumed; say otherwise with `frames=`"
    assert "use_postln and normalize_modulator not in the checkpoint: off assumed, as published" in student.notes


def test_parameters_and_saved_without_checksums(path: Path) -> None:
    weights = {key: torch.nn.Parameter(value) for key, value in small_weights().items()}
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(weights, path)
    finally:
        torch.serialization.set_crc32_options(True)
    assert _same(load_checkpoint(path), small_weights())


def test_safetensors_of_others_whatever_their_name(path: Path) -> None:
    save_file({f"module.{key}": value for key, value in small_weights().items()}, path)
    student = load_checkpoint(path, size=64)
    assert _same(student, small_weights())
    assert student.source.sha256 == sha256_of(path)


@pytest.mark.parametrize("case", [case for case in GOLDEN_CASES if case.parameters < 3e7], ids=lambda case: case.name)
def test_every_architecture_is_inferred_from_its_weights(path: Path, case: GoldenCase) -> None:
    save_official(path, config_of(case.architecture), case.architecture)
    found = load_checkpoint(path)
    assert found.architecture == case.architecture.model_copy(update={"layerscale_value": 1e-4})
    with torch.no_grad():
        assert (found.network(case.clips()) - case.logits).abs().max() < 2e-5


@pytest.mark.parametrize(
    "changes",
    [
        {"depths": (2, 1), "focal_levels": (1, 3), "focal_windows": (5, 3), "focal_factor": 4},
        {"depths": (1,), "focal_levels": (2,), "focal_windows": (3,), "patch_size": 8},
        {"depths": (1,), "focal_levels": (2,), "focal_windows": (3,), "use_conv_embed": True},
        {"mlp_ratio": 2.5, "patch_norm": False, "use_layerscale": True},
        {"mlp_ratio": 33 / 16, "tubelet_size": 4, "patch_size": 2},
        {"use_postln_in_modulation": True, "focal_levels": (1, 1, 1, 1), "focal_windows": (3, 5, 7, 9)},
    ],
)
def test_every_option_that_shows_in_the_weights_is_inferred_from_them(path: Path, changes: dict[str, Any]) -> None:
    architecture = SMALL.model_copy(update=changes)
    torch.save(small_weights(architecture), path)
    assert load_checkpoint(path, size=64).architecture == architecture


def test_what_is_asked_goes_before_the_configuration(path: Path) -> None:
    save_official(path, config_of())
    student = load_checkpoint(path, frames=16, size=96)
    assert student.clip.shape == (16, 3, 96, 96)
    assert student.clip.short_side == 109
    assert student.clip.frame_interval == 2
    assert student.notes[:2] == (
        "frames: 16 as asked; it was trained with 8",
        "size: 96 pixels as asked; it was trained with 64",
    )


@pytest.mark.parametrize(
    ("section", "said", "found"),
    [
        ({"FOCAL": {"EMBED_DIM": 96}}, "MODEL.FOCAL.EMBED_DIM is 96", "embed_dim = 16"),
        ({"FOCAL": {"DEPTHS": [2, 2, 6, 2]}}, "MODEL.FOCAL.DEPTHS is (2, 2, 6, 2)", "depths = (1, 1, 2, 1)"),
        ({"FOCAL": {"USE_LAYERSCALE": True}}, "USE_LAYERSCALE is True", "use_layerscale = False"),
        ({"TUBELET_SIZE": 2}, "MODEL.TUBELET_SIZE is 2", "tubelet_size = 1"),
    ],
)
def test_configuration_and_weights_that_disagree(path: Path, section: dict[str, Any], said: str, found: str) -> None:
    save_official(path, {"MODEL": section})
    with pytest.raises(CheckpointError) as refused:
        load_checkpoint(path)
    assert said in refused.value.problem
    assert found in refused.value.problem


def test_labels(path: Path, tmp_path: Path) -> None:
    save_official(path, config_of())
    labels = tmp_path / "labels.csv"
    labels.write_text("id,name\n" + "".join(f"{index},action {index}\n" for index in range(5)))
    student = load_checkpoint(path, labels)
    assert student.classes == ("action 0", "action 1", "action 2", "action 3", "action 4")
    assert student.notes == ()
    labels.write_text("0,one\n")
    with pytest.raises(LabelError, match="names 1 classes where the network has 5"):
        load_checkpoint(path, labels)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floats_become_float32_aloud(path: Path, dtype: torch.dtype) -> None:
    weights = {key: value.to(dtype) for key, value in small_weights().items()}
    weights["norm.weight"] = weights["norm.weight"].float()
    torch.save(weights, path)
    student = load_checkpoint(path)
    assert _same(student, {key: value.float() for key, value in weights.items()})
    name = str(dtype).removeprefix("torch.")
    assert f"{len(weights) - 1} of {len(weights)} weights were {name}: converted to float32" in student.notes


def test_weights_in_another_memory_order_are_the_same_weights(path: Path) -> None:
    weights = small_weights()
    weights["head.weight"] = weights["head.weight"].t().contiguous().t()
    weights["patch_embed.proj.weight"] = weights["patch_embed.proj.weight"].to(memory_format=torch.channels_last)
    torch.save(weights, path)
    student = load_checkpoint(path)
    assert _same(student, small_weights())
    assert all(value.is_contiguous() for value in student.network.parameters())


def test_a_student_does_not_hang_on_its_file(path: Path) -> None:
    torch.save(small_weights(), path)
    student = load_checkpoint(path)
    with path.open("r+b") as file:
        file.write(b"\xff" * path.stat().st_size)
    assert _same(student, small_weights())


def test_a_stored_student_comes_back_equal(path: Path, tmp_path: Path) -> None:
    save_official(path, config_of(LABEL_LIST="labels/k400.csv"))
    student = load_checkpoint(path)
    save_student(student, tmp_path / "new" / "student.safetensors")
    again = load_checkpoint(tmp_path / "new" / "student.safetensors")
    assert _same(again, dict(student.network.state_dict()))
    for field in ("architecture", "classes", "clip", "source", "notes"):
        assert getattr(again, field) == getattr(student, field), field


def test_a_stored_seeded_student_is_still_not_trained(tmp_path: Path) -> None:
    student = seeded_student(SMALL, ["a", "b", "c", "d", "e"])
    save_student(student, tmp_path / "student.safetensors")
    again = load_checkpoint(tmp_path / "student.safetensors")
    assert again.source == student.source
    assert again.source.kind == "seeded"
    assert again.classes == ("a", "b", "c", "d", "e")


def test_a_stored_student_with_something_asked_anew(path: Path, tmp_path: Path) -> None:
    torch.save(small_weights(), path)
    stored, labels = tmp_path / "student.safetensors", tmp_path / "labels.txt"
    save_student(load_checkpoint(path, size=64), stored)
    labels.write_text("a\nb\nc\nd\ne\n")
    again = load_checkpoint(stored, labels, frames=4)
    assert again.clip == ClipSpec.official(4, 64)
    assert again.classes == ("a", "b", "c", "d", "e")
    assert again.notes == (
        "use_postln and normalize_modulator not in the checkpoint: off assumed, as published",
        "frames: 4 as asked; it was trained with 8",
    )


def test_a_stored_student_that_was_changed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "student.safetensors"
    save_student(seeded_student(SMALL), path)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="not those that it was saved with"):
        load_checkpoint(path)


def test_a_stored_student_of_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "student.safetensors"
    save_file(small_weights(), path, metadata={METADATA_KEY: json.dumps({"schema_version": 2})})
    with pytest.raises(CheckpointError, match="what it says of itself can't be read"):
        load_checkpoint(path)


def test_no_name_stays_known_to_torch_after_loading(path: Path) -> None:
    before = set(torch.serialization.get_safe_globals())
    with yacs():
        torch.save(official(config_of()), path)
    load_checkpoint(path)
    assert set(torch.serialization.get_safe_globals()) == before
