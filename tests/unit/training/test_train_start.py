"""Where a network begins: what is taken of a checkpoint of its own kind, of another depth, or of pictures."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from dvfl_mobile.errors import CheckpointError
from dvfl_mobile.model.architecture import Architecture
from dvfl_mobile.model.build import build_network
from dvfl_mobile.model.default import seeded_student
from dvfl_mobile.model.student import save_student
from dvfl_mobile.training.initial_weights import initial_weights, seeded_weights

NET = Architecture(
    embed_dim=16, img_size=32, num_frames=4, num_classes=3, depths=(1, 2), focal_levels=(2, 2), focal_windows=(3, 3)
)
CLASSES = ("a", "b", "c")


def marked(architecture: Architecture) -> dict[str, Tensor]:
    """Weights of which each tells its place: every key another number."""
    weights = seeded_weights(architecture, 0)
    return {key: torch.full_like(value, 1 + index) for index, (key, value) in enumerate(weights.items())}


def for_pictures(architecture: Architecture) -> dict[str, Tensor]:
    """A FocalNet's: the same names, without a temporal branch."""
    weights = {key: value for key, value in marked(architecture).items() if "_temporal" not in key}
    stem = weights["patch_embed.proj.weight"]
    return {**weights, "patch_embed.proj.weight": stem.mean(2) if stem.ndim == 5 else stem}


def saved(path: Path, weights: Any) -> Path:
    torch.save({"model": weights}, path)
    return path


def test_the_seed_alone_fixes_the_start_and_leaves_the_generator_as_it_was() -> None:
    before = torch.random.get_rng_state()
    one, start = initial_weights(NET, 5)
    other, _ = initial_weights(NET, 5)
    assert all(one[key].equal(other[key]) for key in one)
    assert not one["head.weight"].equal(initial_weights(NET, 6)[0]["head.weight"])
    assert torch.random.get_rng_state().equal(before)
    assert (start.taken, start.kind, len(start.seeded)) == ((), "seed", len(one))


def test_a_focalnet_for_pictures_gives_all_but_head_and_temporal_branch(tmp_path: Path) -> None:
    source = for_pictures(NET.model_copy(update={"num_classes": 1000}))
    weights, start = initial_weights(NET, 0, saved(tmp_path / "focalnet_tiny_srf.pth", source), classes=CLASSES)
    seeded = seeded_weights(NET, 0)
    assert start.kind == "image"
    assert set(start.seeded) == {key for key in seeded if "_temporal" in key or key.startswith("head.")}
    assert all(weights[key].equal(source[key]) for key in start.taken)
    assert all(weights[key].equal(seeded[key]) for key in start.seeded)
    assert set(start.unused) == {"head.weight", "head.bias"}
    assert "focalnet_tiny_srf.pth, a FocalNet for pictures" in start.sentence
    build_network(NET, weights)


def test_timms_names_are_the_same_network(tmp_path: Path) -> None:
    official = for_pictures(NET)
    timm = {}
    for key, value in official.items():
        name = re.sub(r"^layers\.(\d+)\.downsample", lambda found: f"layers.{int(found[1]) + 1}.downsample", key)
        name = name.replace("patch_embed.", "stem.").replace("head.", "head.fc.")
        timm[re.sub(r"^norm\.", "head.norm.", name)] = value
    assert timm.keys() != official.keys()
    one, start = initial_weights(NET, 0, saved(tmp_path / "timm.pth", timm))
    other, _ = initial_weights(NET, 0, saved(tmp_path / "official.pth", official))
    assert all(one[key].equal(other[key]) for key in one)
    assert start.unused == ("head.weight", "head.bias")


def test_a_stem_for_pictures_is_spread_over_tubelets(tmp_path: Path) -> None:
    tubes = NET.model_copy(update={"tubelet_size": 2})
    source = for_pictures(NET)
    weights, _ = initial_weights(tubes, 0, saved(tmp_path / "f.pth", source))
    stem = weights["patch_embed.proj.weight"]
    assert stem.shape == (16, 3, 2, 4, 4)
    # On two equal pictures it computes what the stem for one does.
    torch.testing.assert_close(stem.sum(2), source["patch_embed.proj.weight"])


@pytest.mark.parametrize(
    ("blocks", "expected"), [("first", ((0,), (0, 1))), ("spread", ((0,), (0, 5)))], ids=["first", "spread"]
)
def test_a_deeper_network_gives_some_of_its_blocks(tmp_path: Path, blocks: Any, expected: Any) -> None:
    deep = NET.model_copy(update={"depths": (2, 6)})
    source = marked(deep)
    weights, start = initial_weights(NET, 0, saved(tmp_path / "deep.pth", source), blocks=blocks)
    assert start.blocks == expected
    for stage, chosen in enumerate(expected):
        for place, number in enumerate(chosen):
            for key in ("modulation.f.weight", "modulation.h_temporal.bias", "mlp.fc2.weight", "norm1.weight"):
                taken = weights[f"layers.{stage}.blocks.{place}.{key}"]
                assert taken.equal(source[f"layers.{stage}.blocks.{number}.{key}"])
    assert not start.seeded
    assert all(re.match(r"layers\.\d\.blocks\.", key) for key in start.unused)


@pytest.mark.parametrize("blocks", ["first", "spread"])
def test_blocks_beyond_a_shallower_network_stay_at_their_seed(tmp_path: Path, blocks: Any) -> None:
    source = marked(NET)
    deep = NET.model_copy(update={"depths": (3, 3)})
    weights, start = initial_weights(deep, 0, saved(tmp_path / "shallow.pth", source), blocks=blocks)
    assert start.blocks == ((0,), (0, 1))
    beyond = {"layers.0.blocks.1.", "layers.0.blocks.2.", "layers.1.blocks.2."}
    assert {re.match(r"layers\.\d\.blocks\.\d\.", key)[0] for key in start.seeded} == beyond  # type: ignore[index]
    seeded = seeded_weights(deep, 0)
    assert all(weights[key].equal(seeded[key]) for key in start.seeded)


def test_the_head_is_taken_for_the_same_classes_alone(tmp_path: Path) -> None:
    path = tmp_path / "student.safetensors"
    save_student(seeded_student(NET, CLASSES), path)
    assert "head.weight" in initial_weights(NET, 0, path, classes=CLASSES)[1].taken
    assert "head.weight" in initial_weights(NET, 0, path, classes=("a", "c", "b"))[1].seeded
    more = NET.model_copy(update={"num_classes": 4})
    assert "head.bias" in initial_weights(more, 0, path, classes=("a", "b", "c", "d"))[1].seeded


def test_a_network_of_another_width_gives_nothing_and_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "wide.pth", marked(NET.model_copy(update={"embed_dim": 24})))
    with pytest.raises(CheckpointError, match=r"width 16 .*patch_embed"):
        initial_weights(NET, 0, path)


def test_a_hostile_start_is_refused_and_not_run(tmp_path: Path) -> None:
    path, trace = tmp_path / "hostile.pth", tmp_path / "ran"

    class Hostile:
        def __reduce__(self) -> Any:
            return Path.touch, (trace,)

    torch.save({"model": Hostile()}, path)
    with pytest.raises(CheckpointError, match="refused"):
        initial_weights(NET, 0, path)
    assert not trace.exists()
