"""The deploy form in half precision: it stays near float32, and every value has room to grow."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from dvfl_mobile import load_checkpoint
from dvfl_mobile.data.clips import ClipSpec
from dvfl_mobile.locating.reference import kind_of, operator_of
from dvfl_mobile.model import deploy
from dvfl_mobile.model.architecture import Architecture
from dvfl_mobile.model.default import default_student
from dvfl_mobile.model.deploy import SHRINK, SHRUNK, DeployForm
from dvfl_mobile.model.lean.rounding import in_memory_order
from dvfl_mobile.model.network import VideoFocalNet
from dvfl_mobile.model.rewrites import Normalizer
from dvfl_mobile.model.student import Student
from dvfl_mobile.parity.thresholds import thresholds_for
from dvfl_mobile.quantization.graph.forms import deploy_form
from dvfl_mobile.runners.tracing import MOVE
from dvfl_mobile.targets import TemporalConvolution
from tests import exports
from tests.golden_cases import GOLDEN_CASES, GoldenCase
from tests.threads import threads
from tests.unit.model.test_deploy import each_case, each_small_case, golden_network, logits, spec_of

NORMALIZERS: tuple[Normalizer, ...] = ("products", "means", "native")
IN_HALF: tuple[Normalizer, ...] = ("half_products", "half_means")  # of what is computed in half on a CPU
PROMISED_DB = 55.0
LARGEST_HALF = 65504.0
ROOM = 16  # how many times larger each value may grow
LARGEST_PRODUCT = 27_000.0  # of query and modulators, in the nano
# Four times the power, for roundings aren't alike: those of sums that all later layers read reach further than others.
# And of a few logits (the base has 7, on two clips) either figure is off by some decibels by chance.
UNLIKE_DB = 6.0

COMPUTING = {"linear", "conv2d", "layer_norm", "gelu", "add", "sub", "mul", "mean", "rsqrt", "abs"}

each_temporal = pytest.mark.parametrize("temporal", ["direct", "toom-cook"])
each_normalizer = pytest.mark.parametrize("normalizer", NORMALIZERS)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with threads(1):
        yield


@each_normalizer
@each_case
def test_a_golden_case_in_half_precision(case: GoldenCase, normalizer: Normalizer) -> None:
    if case.parameters > 1e7 and normalizer != "products":
        pytest.skip("half precision is slow here: the large cases in one layout only")
    spec, clips = spec_of(case.architecture, pixels="normalized"), clips_of(case)
    form = DeployForm(case.network(), spec, normalizer)
    expected = logits_of_each(form, clips)
    promised = promised_db(form, clips, expected, operators_of(case, normalizer))
    assert in_half_db(form, clips, expected) >= promised


@each_normalizer
@each_small_case
def test_a_golden_case_of_large_products_in_half_precision(case: GoldenCase, normalizer: Normalizer) -> None:
    """As large as the nano's are on real clips: random weights alone leave them small."""
    spec, clips = spec_of(case.architecture, pixels="normalized"), clips_of(case)
    form = DeployForm(grown(case.network(), spec, clips), spec, normalizer)
    expected = logits_of_each(form, clips)
    promised = promised_db(form, clips, expected, operators_of(case, normalizer))
    assert in_half_db(form, clips, expected) >= promised


@each_normalizer
def test_the_pico_in_half_precision_on_real_clips(ucf8: Path, normalizer: Normalizer) -> None:
    student = default_student()
    assert in_half_db(form_of(student, normalizer), real_clips(student, ucf8, 4)) >= PROMISED_DB


@pytest.mark.parametrize("normalizer", IN_HALF)
def test_what_is_computed_in_half_on_a_cpu_keeps_as_much(ucf8: Path, normalizer: Normalizer) -> None:
    student = default_student()
    assert in_half_db(form_of(student, normalizer), real_clips(student, ucf8, 1)) >= PROMISED_DB


@each_temporal
def test_the_nano_in_half_precision_on_real_clips(
    ucf8: Path, real_checkpoint: Path, temporal: TemporalConvolution
) -> None:
    student = nano(real_checkpoint)
    assert in_half_db(form_of(student, "products", temporal), real_clips(student, ucf8, 2)) >= PROMISED_DB


def test_a_per_token_scaled_form_in_half_precision(ucf8: Path) -> None:
    """All layers that may be scaled per token; some of their tokens are nearly empty."""
    student = default_student()
    scaled = [f"stage{s}.block0.modulation.{name}" for s in range(4) for name in ("proj", "h", "h_temporal")]
    assert in_half_db(deploy_form(student, scaled), real_clips(student, ucf8, 2)) >= PROMISED_DB


@each_case
def test_no_value_of_a_golden_case_leaves_half_precision_by_growing(case: GoldenCase) -> None:
    if case.parameters > 6e7:
        pytest.skip("more blocks of the same widths and kinds as those that are looked at")
    spec, clip = spec_of(case.architecture, pixels="normalized"), case.clips()[:1]
    assert beyond(DeployForm(grown(case.network(), spec, clip), spec), clip) == {}


@pytest.mark.parametrize("normalizer", [*NORMALIZERS, *IN_HALF])
def test_no_value_of_the_pico_leaves_half_precision_by_growing(ucf8: Path, normalizer: Normalizer) -> None:
    student = default_student()
    assert beyond(form_of(student, normalizer), real_clips(student, ucf8, 8)) == {}


@each_temporal
def test_no_value_of_the_nano_leaves_half_precision_by_growing(
    ucf8: Path, real_checkpoint: Path, temporal: TemporalConvolution
) -> None:
    student = nano(real_checkpoint)
    assert beyond(form_of(student, "products", temporal), real_clips(student, ucf8, 4)) == {}


@pytest.mark.parametrize("value", [0, 128, 255])
def test_a_clip_of_one_grey_is_finite_in_half_precision(value: int) -> None:
    """And near enough for parity; more is promised of real clips alone."""
    student = default_student()
    clips = torch.full((1, *student.clip.shape), float(value))
    assert in_half_db(form_of(student, "products"), clips) >= thresholds_for("fp16").min_sqnr_db


@pytest.mark.parametrize("normalizer", [*NORMALIZERS, *IN_HALF])
def test_equal_channels_are_finite_in_half_precision(normalizer: Normalizer) -> None:
    """A network of seeds alone gives tokens without any variance for a clip of zeros; eps alone keeps them finite."""
    case = GOLDEN_CASES[0]
    network = case.network()
    for name, values in network.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.zeros_(values)
    form = DeployForm(network, spec_of(case.architecture, pixels="normalized"), normalizer).half()
    assert logits(form, torch.zeros(case.clips()[0].shape).half()).isfinite().all()


@each_small_case
def test_shrinking_leaves_the_float_network_as_it_is(case: GoldenCase, monkeypatch: pytest.MonkeyPatch) -> None:
    """In double precision, since networks of random weights enlarge what float32 rounds."""
    spec, clip = spec_of(case.architecture, pixels="normalized"), case.clips()[0].double()
    shrunk = logits(DeployForm(case.network(), spec).double(), clip)
    monkeypatch.setattr(deploy, "SHRINK", 1.0)
    assert in_db(logits(DeployForm(case.network(), spec).double(), clip), shrunk) >= 200


def test_the_parameters_that_hold_the_shrinking_are_those_that_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    case = GOLDEN_CASES[0]
    shrunk = DeployForm(case.network(), spec_of(case.architecture)).state_dict()
    monkeypatch.setattr(deploy, "SHRINK", 1.0)
    plain = DeployForm(case.network(), spec_of(case.architecture)).state_dict()
    for name, values in plain.items():
        assert torch.equal(shrunk[name], values * (SHRINK if name.endswith(SHRUNK) else 1)), name


def test_operators_that_compute_are_as_many_as_in_the_graph() -> None:
    architecture = Architecture(
        embed_dim=16, num_classes=5, img_size=64, use_postln=True, use_postln_in_modulation=True
    )
    spec = spec_of(architecture, pixels="normalized")
    form = DeployForm(golden_network(architecture), spec, "native")
    computing = [node for node in exports.exported(form, spec.shape).graph.nodes if kind_of(node) != MOVE]
    assert {operator_of(node) for node in computing} == COMPUTING
    assert len(computing) == _operators_of(architecture, "native")


def clips_of(case: GoldenCase) -> Tensor:
    """The golden clips, and for small networks six more: what rounding does to a few logits of one clip is chance."""
    clips = case.clips()
    if case.parameters > 1e7:
        return clips
    drawn = np.random.RandomState(12).standard_normal((6, *clips.shape[1:]))
    return torch.cat((clips, torch.from_numpy(drawn.astype(np.float32))))


def form_of(student: Student, normalizer: Normalizer, temporal: TemporalConvolution = "direct") -> DeployForm:
    return student.form(normalizer, temporal)


def grown(network: VideoFocalNet, spec: ClipSpec, clips: Tensor) -> VideoFocalNet:
    """The network with modulators of the last block so large that its product reaches `LARGEST_PRODUCT`."""
    form, read = DeployForm(network, spec), []
    stage = [name for name, _ in form.named_children() if name.startswith("stage")][-1]
    blocks = [block for name, block in form.get_submodule(stage).named_children() if name.startswith("block")]
    modulation: Any = blocks[-1].modulation
    last = modulation.proj if isinstance(modulation.standardize_out, nn.Identity) else modulation.standardize_out
    last.register_forward_pre_hook(lambda _, inputs: read.append(float(inputs[0].abs().max()) / SHRINK))
    for clip in clips:
        logits(form, clip)
    stages: Any = network.layers
    theirs = stages[-1].blocks[-1].modulation
    for layer in (theirs.h, theirs.h_temporal):
        for values in layer.parameters():
            values.data *= (LARGEST_PRODUCT / max(read)) ** 0.5
    return network


def operators_of(case: GoldenCase, normalizer: Normalizer) -> int:
    """How many operators compute in its form."""
    # Of whatever widths, sides and weights the layers are, they are as many.
    sizes = {"embed_dim": 16, "num_classes": 5, "img_size": 64, "num_frames": 8}
    return _operators_of(case.architecture.model_copy(update=sizes), normalizer)


@cache
def _operators_of(architecture: Architecture, normalizer: Normalizer) -> int:
    spec = spec_of(architecture, pixels="normalized")
    form = DeployForm(golden_network(architecture), spec, normalizer)
    with _Count() as count:
        logits(form, torch.zeros(spec.shape))
    return sum(count.called[name] for name in COMPUTING)


def promised_db(form: DeployForm, clips: Tensor, expected: Tensor, operators: int) -> float:
    """55 dB, or less where the network itself enlarges rounding, as random weights and norms behind blocks do.

    What rounding the weights alone to half precision leaves shows how much: that is one rounding a layer. Besides, each
    operator rounds what it gives: as many times the power as there are operators to a layer, if roundings were alike.

    Args:
        expected: the form's logits in float32.
        operators: how many compute in it.
    """
    by_weights = in_db(expected, logits_of_each(copy.deepcopy(form).half().float(), clips))
    layers = sum(
        isinstance(layer, nn.Linear | nn.Conv2d) and not name.endswith(".mean") for name, layer in form.named_modules()
    )
    return min(PROMISED_DB, by_weights - float(10 * np.log10(1 + operators / layers)) - UNLIKE_DB)


def real_clips(student: Student, folder: Path, count: int) -> Tensor:
    """Views of videos of as many classes, `(N,T,3,H,W)`, raw pixels."""
    return _gathered(folder, student.clip, tuple(student.classes), count)


@cache
def _gathered(folder: Path, spec: ClipSpec, classes: tuple[str, ...], count: int) -> Tensor:
    from dvfl_mobile.data.gather import gather_clips
    from dvfl_mobile.progress import silent

    return torch.from_numpy(gather_clips(folder, spec, classes, silent, count).pixels).float()


@cache
def nano(checkpoint: Path) -> Student:
    return load_checkpoint(checkpoint)


def in_half_db(form: DeployForm, clips: Tensor, expected: Tensor | None = None) -> float:
    """SQNR of the form that is cast to half precision as a whole against itself in float32; it stays cast.

    Args:
        expected: its logits in float32, where they are known.
    """
    if expected is None:
        expected = logits_of_each(form, clips)
    return in_db(expected, logits_of_each(form.half(), clips.half()))


def logits_of_each(form: nn.Module, clips: Tensor) -> Tensor:
    return torch.cat([logits(form, clip) for clip in clips])


def in_db(expected: Tensor, found: Tensor) -> float:
    error = (expected.double() - found.double()).square().sum()
    return float(10 * torch.log10(expected.double().square().sum() / error))


def beyond(form: DeployForm, clips: Tensor) -> dict[str, float]:
    """Operators whose largest value, 16 times, is beyond half precision; with that value."""
    largest: dict[str, float] = {}
    for clip in clips:
        with _Audit() as audit:
            logits(form, clip)
        largest = {name: max(value, largest.get(name, 0.0)) for name, value in audit.largest.items()}
    return {name: value for name, value in largest.items() if not value * ROOM <= LARGEST_HALF}


class _Audit(TorchDispatchMode):
    """Keeps the largest absolute value of all that operators give, by a number and the operator's name."""

    def __init__(self) -> None:
        super().__init__()
        self.largest: dict[str, float] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = func(*args, **(kwargs or {}))
        for value in tree_leaves(given):
            # In the order of memory: twice as fast as to write absolute values first, where tensors are permuted ones.
            least, greatest = torch.aminmax(in_memory_order(value))
            largest = max(-float(least), float(greatest)) if not greatest.isnan() else np.inf
            self.largest[f"{len(self.largest)}: {func}"] = largest
        return given


class _Count(TorchFunctionMode):
    """Counts what is called of torch, by name."""

    def __init__(self) -> None:
        super().__init__()
        self.called = Counter[str]()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.called[func.__name__] += 1
        return func(*args, **(kwargs or {}))
