"""The deploy form: the reference form's function, in a graph that phones run whole."""

from __future__ import annotations

import copy
import itertools
import re
import warnings
from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.fx import Node

from dvfl_mobile.data import clips
from dvfl_mobile.data.clips import ClipSpec
from dvfl_mobile.model import toom_cook
from dvfl_mobile.model.architecture import Architecture
from dvfl_mobile.model.build import build_network, sha256_of_weights
from dvfl_mobile.model.deploy import DeployForm
from dvfl_mobile.model.network import VideoFocalNet
from dvfl_mobile.targets import Normalizer
from tests.golden_cases import GOLDEN_CASES, GoldenCase, golden_weights
from tests.threads import threads

# What the project promises: the L2 norm of the difference of the logits, over that of the reference's. The
# reference computes in double precision here. In float32 its own rounding is as large as the deploy form's (random
# weights: 4e-7 after the pico's 5 blocks, 7e-6 after the base's 24), and would be blamed on the deploy form.
PROMISED = 1e-5

NORMALIZERS: tuple[Normalizer, ...] = ("products", "half_products", "split_products", "means", "half_means", "native")
SMALL = [case for case in GOLDEN_CASES if case.architecture.embed_dim == 16]

# One case after the other, not one test: the weights of a large one take seconds to make.
each_case = pytest.mark.parametrize("case", GOLDEN_CASES, ids=lambda case: case.name, scope="module")
each_small_case = pytest.mark.parametrize("case", SMALL, ids=lambda case: case.name)
both_normalizers = pytest.mark.parametrize("normalizer", NORMALIZERS)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with threads(1):
        yield


@each_case
def test_it_equals_the_reference_on_normalized_clips(case: GoldenCase) -> None:
    network, clips = case.network(), few_clips(case)
    expected = exact_logits_of(case)
    spec, off = spec_of(case.architecture, pixels="normalized"), {}
    for normalizer in NORMALIZERS:
        form = DeployForm(network, spec, normalizer)
        off[normalizer] = distance(torch.cat([logits(form, clip) for clip in clips]), expected)
    assert max(off.values()) < PROMISED, off


@each_case
def test_it_equals_the_reference_by_toom_cook(case: GoldenCase, monkeypatch: pytest.MonkeyPatch) -> None:
    # Every temporal convolution that there are points for.
    monkeypatch.setattr(toom_cook, "LEAST_CHANNELS", 1)
    monkeypatch.setattr(toom_cook, "LEAST_PLACES", 1)
    network, clips = case.network(), few_clips(case)
    form = DeployForm(network, spec_of(case.architecture, pixels="normalized"), "products", "toom-cook")
    assert any(isinstance(module, toom_cook.ToomCookConvolution) for module in form.modules())
    off = distance(torch.cat([logits(form, clip) for clip in clips]), exact_logits_of(case))
    assert off < PROMISED


@both_normalizers
@each_small_case
def test_it_equals_the_reference_on_raw_pixels(case: GoldenCase, normalizer: Normalizer) -> None:
    assert off_on_raw_pixels(case.architecture, normalizer) < PROMISED


@pytest.mark.parametrize(
    "options",
    [
        # 18, 9, 4 and 2 tokens a side: one of nine is left out.
        {"img_size": 72},
        # 18, 9, 5 and 3: an overlapping patch embedding rounds up.
        {"img_size": 72, "use_conv_embed": True},
        {"img_size": 72, "tubelet_size": 2},
        # Sides that the patches of the stem don't divide.
        {"img_size": 70},
        {"img_size": 32},
        {"patch_size": 8, "depths": (1, 1), "focal_levels": (2, 2), "focal_windows": (3, 3)},
        {"num_frames": 16},
        {"num_frames": 16, "tubelet_size": 4},
        {"num_frames": 3},
        {"num_frames": 1},
        {"focal_levels": (1, 1, 1, 1)},
        {"focal_levels": (4, 1, 3, 2), "focal_windows": (1, 9, 3, 5), "focal_factor": 4},
        {"focal_factor": 0},
        {"use_conv_embed": True},
        {"patch_norm": False},
        {"mlp_ratio": 1.5},
        {"use_layerscale": True},
        {"use_postln": True},
        {"use_postln": True, "use_layerscale": True},
        {"use_postln_in_modulation": True},
        {"normalize_modulator": True},
        {"depths": (1,), "focal_levels": (2,), "focal_windows": (3,)},
    ],
    ids=lambda options: ",".join(f"{name}={value}" for name, value in options.items()),
)
def test_it_equals_the_reference_for_every_option(options: dict[str, Any]) -> None:
    architecture = Architecture(**{"embed_dim": 16, "num_classes": 6, "img_size": 64, "num_frames": 4, **options})
    # A layer norm of small values enlarges what came before it: in double precision only a difference can show.
    assert off_on_raw_pixels(architecture, "products", torch.float64) < PROMISED


@pytest.mark.parametrize(
    ("options", "sides"),
    [({}, [18, 9, 4, 2]), ({"use_conv_embed": True}, [18, 9, 5, 3])],
    ids=["patches", "conv_embed"],
)
def test_odd_sides_are_counted_as_in_the_reference(options: dict[str, Any], sides: list[int]) -> None:
    architecture = Architecture(embed_dim=16, num_classes=6, img_size=72, num_frames=4, **options)
    network = golden_network(architecture)
    form = DeployForm(network, spec_of(architecture))
    seen: list[int] = []
    for stage in network.layers:
        stage.blocks[0].register_forward_hook(lambda _, __, tokens: seen.append(tokens.shape[2]))
    logits(network, torch.zeros(1, 4, 3, 72, 72))
    assert seen == sides
    found = [form.stem.side, *(form.get_submodule(f"stage{stage}.downsample").side for stage in range(3))]
    assert found == sides


def test_only_the_statistics_depend_on_the_normalizer() -> None:
    # Two stages have every kind of norm.
    architecture = Architecture(
        embed_dim=16, num_classes=6, img_size=32, depths=(1, 2), focal_levels=(2, 2), focal_windows=(3, 3)
    )
    graphs = {name: exported_form(golden_network(architecture), spec_of(architecture), name) for name in NORMALIZERS}
    operators = {name: Counter(str(node.target) for node in calls(graph)) for name, graph in graphs.items()}
    found = {name: set(counted) for name, counted in operators.items()}
    assert found["native"] - found["products"] == {"aten.layer_norm.default"}
    # Per-token scaled norms are spelled out in all.
    assert found["products"] - found["native"] == set()
    norms = operators["native"]["aten.layer_norm.default"]
    for name, each in (("aten.rsqrt.default", 1), ("aten.sub.Tensor", 1), ("aten.mul.Tensor", 2)):
        assert operators["products"][name] - operators["native"][name] == each * norms


@each_small_case
def test_no_tensor_has_more_than_four_dimensions(case: GoldenCase) -> None:
    assert {f"{node}: {tuple(value.shape)}" for node, value in tensors(graph(case.name)) if value.ndim > 4} == set()


@each_small_case
def test_no_shape_is_symbolic(case: GoldenCase) -> None:
    program = graph(case.name)
    assert not program.range_constraints
    symbolic = {str(node) for node, value in tensors(program) if any(type(side) is not int for side in value.shape)}
    assert symbolic == set()


@each_small_case
def test_every_tensor_is_float32(case: GoldenCase) -> None:
    assert {value.dtype for _, value in tensors(graph(case.name))} == {torch.float32}


@each_small_case
def test_tokens_are_turned_only_where_pictures_begin_and_end(case: GoldenCase) -> None:
    operators = calls(graph(case.name))
    turns = Counter(tuple(node.args[1]) for node in operators if node.target is aten.permute.default)
    pictures = sum(node.target in (aten.conv2d.default, aten.mean.dim) for node in operators)
    # The stem's pictures come as such, and the head's end in plain logits. All others are tokens before and after,
    # channels last: any other turn would move memory.
    assert turns == Counter({(0, 3, 1, 2): pictures - 1, (0, 2, 3, 1): pictures - 1})


@each_small_case
def test_it_exports_without_a_word_about_assigned_attributes(case: GoldenCase) -> None:
    said = " ".join(export_warnings(case.name))
    assert not re.search("attribute|assign|buffer", said), said


@each_small_case
def test_forward_assigns_nothing(case: GoldenCase) -> None:
    form = DeployForm(case.network(), spec_of(case.architecture))
    before = attributes(form)
    logits(form, case.clips()[0])
    after = attributes(form)
    assert before.keys() == after.keys()
    assert [name for name in before if before[name] is not after[name]] == []


@each_small_case
def test_it_shares_no_memory_with_the_reference(case: GoldenCase) -> None:
    network = case.network()
    form = DeployForm(network, spec_of(case.architecture, pixels="normalized"), "native")
    assert storages(form).isdisjoint(storages(network))


@both_normalizers
@each_small_case
def test_making_it_leaves_the_reference_as_it_was(case: GoldenCase, normalizer: Normalizer) -> None:
    network = case.network().train().requires_grad_(True)
    before = sha256_of_weights(copy.deepcopy(network.state_dict()))
    attributes_before = attributes(network)
    logits(DeployForm(network, spec_of(case.architecture), normalizer), case.clips()[0])
    assert sha256_of_weights(network.state_dict()) == before
    assert attributes(network) == attributes_before
    assert all(module.training for module in network.modules())
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_it_wants_no_gradients_and_draws_no_chance() -> None:
    architecture = SMALL[0].architecture.model_copy(update={"drop_rate": 0.5, "drop_path_rate": 0.5})
    form = DeployForm(VideoFocalNet(architecture).train(), spec_of(architecture))
    clip = SMALL[0].clips()[0]
    assert not any(parameter.requires_grad for parameter in form.parameters())
    assert not any(module.training for module in form.modules())
    assert torch.equal(form(clip), form(clip))
    assert not form(clip).requires_grad


def test_every_layer_has_a_name_of_its_own_at_each_step_of_its_path() -> None:
    form = DeployForm(SMALL[0].network(), spec_of(SMALL[0].architecture))
    paths = [path for path, _ in form.named_modules()]
    assert {"stem.proj", "stage2.block1.modulation.focal1", "stage0.downsample.proj", "head.head"} < set(paths)
    assert "stage0.block0.modulation.focal_temporal0" in paths
    assert [path for path in paths if any(step.isdigit() for step in path.split("."))] == []


aten = torch.ops.aten


@cache
def exported(name: str) -> tuple[ExportedProgram, list[str]]:
    """The exported deploy form of a golden case, raw pixels in, and what was warned of meanwhile."""
    case = next(case for case in GOLDEN_CASES if case.name == name)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        program = exported_form(case.network(), spec_of(case.architecture), "products")
    return program, [str(warning.message) for warning in caught]


def exported_form(network: VideoFocalNet, spec: ClipSpec, normalizer: Normalizer) -> ExportedProgram:
    return torch.export.export(DeployForm(network, spec, normalizer), (torch.zeros(spec.shape),), strict=False)


def graph(name: str) -> ExportedProgram:
    return exported(name)[0]


def export_warnings(name: str) -> list[str]:
    return exported(name)[1]


def calls(program: ExportedProgram) -> list[Node]:
    return [node for node in program.graph.nodes if node.op == "call_function"]


def tensors(program: ExportedProgram) -> Iterator[tuple[Node, Tensor]]:
    """Every tensor that a node of the graph stands for: parameters, inputs, and what each call returns."""
    for node in program.graph.nodes:
        values = node.meta.get("val")
        each = values if isinstance(values, list | tuple) else [values]
        yield from ((node, value) for value in each if isinstance(value, Tensor))


def off_on_raw_pixels(
    architecture: Architecture, normalizer: Normalizer, precision: torch.dtype = torch.float32
) -> float:
    """How far the deploy form on raw pixels is from the reference form on normalized ones."""
    network, spec = golden_network(architecture), spec_of(architecture)
    raw = np.random.RandomState(5).randint(0, 256, spec.shape, dtype=np.uint8)
    expected = exact_logits(network, torch.from_numpy(clips.normalize(raw, spec))[None])
    form = DeployForm(network, spec, normalizer).to(precision)
    return distance(logits(form, torch.from_numpy(raw).to(precision)), expected)


def few_clips(case: GoldenCase) -> Tensor:
    """The golden clips; of a large network the first: each takes seconds, and goes through the same layers."""
    return case.clips()[:1] if case.parameters > 1e7 else case.clips()


def spec_of(architecture: Architecture, **fields: Any) -> ClipSpec:
    return ClipSpec(frames=architecture.num_frames, size=architecture.img_size, **fields)


def golden_network(architecture: Architecture) -> VideoFocalNet:
    return build_network(architecture, golden_weights(architecture))


def logits(network: nn.Module, clips: Tensor) -> Tensor:
    """A clip of the deploy form, `(T,3,H,W)`, lies channels last, as where the product runs it: twice as fast."""
    with torch.no_grad():
        return network(clips.contiguous(memory_format=torch.channels_last) if clips.dim() == 4 else clips)


def exact_logits(network: VideoFocalNet, clips: Tensor) -> Tensor:
    """The reference form's logits in double precision; its float32 weights come through unchanged."""
    computed = logits(network.double(), clips.double())
    network.float()
    return computed


@cache
def exact_logits_of(case: GoldenCase) -> Tensor:
    """Those of a golden case for its few clips."""
    return logits(case.network().double(), few_clips(case).double())


def distance(got: Tensor, expected: Tensor) -> float:
    assert got.shape == expected.shape
    return float((got - expected).norm() / expected.norm())


def attributes(network: nn.Module) -> dict[tuple[str, ...], Any]:
    """What every module holds, by path and name: its own attributes, and the entries of those that are dicts."""
    held: dict[tuple[str, ...], Any] = {}
    for path, module in network.named_modules():
        for name, value in vars(module).items():
            entries = value.items() if isinstance(value, dict) else [("", value)]
            held |= {(path, name, str(key)): entry for key, entry in entries}
    return held


def storages(network: nn.Module) -> set[int]:
    values = itertools.chain(network.parameters(), network.buffers())
    return {value.untyped_storage().data_ptr() for value in values}
