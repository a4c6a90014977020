"""The reference form against numbers of the official implementation."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dvfl_mobile.model.architecture import Architecture
from dvfl_mobile.model.build import weight_shapes
from dvfl_mobile.model.network import VideoFocalNet
from tests.golden_cases import GOLDEN_CASES, GoldenCase

each_case = pytest.mark.parametrize("case", GOLDEN_CASES, ids=lambda case: case.name)


def test_all_seven_configurations_are_here() -> None:
    assert [case.name.rpartition("-")[0] for case in GOLDEN_CASES] == [
        "pico",
        "nano",
        "tiny",
        "small",
        "base",
        "options",
        "tubelet2",
    ]


@each_case
def test_logits_and_stages_are_those_of_the_official_implementation(case: GoldenCase) -> None:
    network = case.network()
    stages: list[tuple[float, float]] = []
    for stage in network.layers:
        stage.register_forward_hook(lambda _, __, out: stages.append((out.mean().item(), out.std().item())))
    with torch.no_grad():
        logits = network(case.clips())
    assert (logits - case.logits).abs().max() < 2e-5
    assert np.abs(np.array(stages) - case.stages).max() < 1e-4


@each_case
def test_there_are_as_many_parameters_as_in_the_official_implementation(case: GoldenCase) -> None:
    shapes = weight_shapes(case.architecture)
    assert sum(int(np.prod(shape)) for shape in shapes.values()) == case.parameters
    assert len(shapes) == case.key_count


@pytest.mark.parametrize("case", [case for case in GOLDEN_CASES if case.keys], ids=lambda case: case.name)
def test_keys_are_the_official_ones_in_their_order(case: GoldenCase) -> None:
    assert case.keys is not None
    shapes = weight_shapes(case.architecture)
    assert list(shapes) == list(case.keys)
    assert {key: list(shape) for key, shape in shapes.items()} == case.keys


def test_a_fresh_network_can_be_trained() -> None:
    architecture = Architecture(embed_dim=8, depths=(1, 1), focal_levels=(1, 1), focal_windows=(3, 3), num_classes=3)
    architecture = architecture.model_copy(update={"img_size": 32, "num_frames": 2, "drop_path_rate": 0.5})
    network = VideoFocalNet(architecture).train()
    network(torch.randn(2, 2, 3, 32, 32)).sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    assert network.head.bias.abs().max() == 0
