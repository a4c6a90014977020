"""What locating concludes from values alone: which operator answers to which, and what an error looks like."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dvfl_mobile.locating.causes import cause_of
from dvfl_mobile.locating.document import Cause, ValueStats
from dvfl_mobile.locating.matching import _by_need, longest_common
from dvfl_mobile.locating.measuring import segments
from dvfl_mobile.locating.reference import ReferenceGraph
from dvfl_mobile.locating.rounding import FLOAT, HALF, Noise, Rounding, rounding_of
from dvfl_mobile.parity.thresholds import thresholds_for
from dvfl_mobile.recipes import RECIPES
from dvfl_mobile.runners.tracing import Step, Trace


class Small(nn.Module):
    """A linear layer, GELU and a layer norm over `(T,3,H,W)`, wide enough for figures to mean something."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(16, 16)

    def forward(self, clip: Tensor) -> Tensor:
        return nn.functional.layer_norm(nn.functional.gelu(self.linear(clip)), (16,), eps=1e-5)


@pytest.fixture
def clip() -> Tensor:
    return torch.randn(4, 3, 8, 16, generator=torch.Generator().manual_seed(1))


def found(clip: Tensor, **changes: Any) -> dict[str, Any]:
    """The segments of an artifact of `Small` whose operators gave what `changes` makes of their values."""
    torch.manual_seed(0)
    form = Small().eval().requires_grad_(False)
    graph = ReferenceGraph(form, tuple(clip.shape), {})
    values, steps, before = clip, [], "clip"
    scale = changes.pop("scale", None)
    for kind, function in (
        ("linear", form.linear),
        ("gelu", nn.functional.gelu),
        ("layer_norm", lambda x: nn.functional.layer_norm(x, (16,), eps=changes.get("eps", 1e-5))),
    ):
        values = changes.get(kind, lambda x: x)(function(values))
        if kind == "gelu" and scale:
            integers = (values / scale).round().clamp(-128, 127)
            values = integers * scale
            steps.append(Step(kind, kind, kind, (before,), integers.to(torch.int8).numpy(), scale))
        else:
            steps.append(Step(kind, kind, kind, (before,), values.numpy()))
        before = kind
    trace = Trace(Step("round", "", "clip", (), clip.numpy()), tuple(steps), "layer_norm", False, False, "by hand")
    recipe = "static_wi8_ai8" if scale else "fp32"
    return {each.step.name: each for each in segments(trace, graph, rounding_of("tflite", recipe), clip)}


def test_nothing_is_beyond_tolerance_where_nothing_is_wrong(clip: Tensor) -> None:
    assert [segment.is_beyond for segment in found(clip).values()] == [False] * 3
    assert [segment.is_beyond for segment in found(clip, scale=0.02).values()] == [False] * 3


@pytest.mark.parametrize(
    ("changes", "place", "cause", "evidence"),
    [
        ({"linear": lambda x: x * 1.25}, "linear", Cause.FACTOR, "1.25 times"),
        ({"gelu": lambda x: x * torch.linspace(1, 2, 16)}, "gelu", Cause.FACTOR, "channels"),
        ({"gelu": lambda x: x + torch.linspace(1, 2, 16)}, "gelu", Cause.OFFSET, "from 1 to 2"),
        ({"linear": lambda x: x.permute(0, 2, 1, 3).reshape(x.shape)}, "linear", Cause.LAYOUT, "(0, 2, 1, 3)"),
        ({"gelu": lambda x: x.masked_fill(x > 0.5, torch.inf)}, "gelu", Cause.OVERFLOW, "infinite"),
        ({"gelu": lambda x: x.half().float()}, "gelu", Cause.ROUNDING, "bits"),
        ({"gelu": lambda x: torch.relu(x)}, "gelu", Cause.UNKNOWN, "No scale"),
        ({"eps": 0.05}, "layer_norm", Cause.EPSILON, "0.05 in place of 1e-05"),
        ({"scale": 0.004}, "gelu", Cause.SATURATED, "at -128 or 127"),
    ],
)
def test_an_error_is_recognised_by_what_it_looks_like(
    clip: Tensor, changes: dict[str, Any], place: str, cause: Cause, evidence: str
) -> None:
    segments_ = found(clip, **changes)
    assert [name for name, segment in segments_.items() if segment.is_beyond] == [place], "and nothing after it"
    finding = cause_of(segments_[place])
    assert finding.cause is cause, finding
    assert evidence in finding.evidence


class Squared(nn.Module):
    """A factor whose square stands for an epsilon, and one that is nothing but a factor."""

    def forward(self, clip: Tensor) -> Tensor:
        root = clip * 0.5
        return root * root * 4.0


@pytest.mark.parametrize(
    ("factors", "place", "cause", "evidence"),
    [
        ((0.6, 4.0), 0, Cause.EPSILON, "An epsilon of 0.36 in place of 0.25"),
        ((0.5, 5.0), 2, Cause.FACTOR, "1.25 times"),
    ],
)
def test_a_factor_that_is_squared_is_the_root_of_an_epsilon(
    clip: Tensor, factors: tuple[float, float], place: int, cause: Cause, evidence: str
) -> None:
    graph = ReferenceGraph(Squared(), tuple(clip.shape), {})
    root = clip * factors[0]
    values = [root, root * root, root * root * factors[1]]
    reads = [("clip",), ("mul0", "mul0"), ("mul1",)]
    steps = [Step("mul", "mul", f"mul{k}", reads[k], values[k].numpy()) for k in range(3)]
    trace = Trace(Step("round", "", "clip", (), clip.numpy()), tuple(steps), "mul2", False, False, "by hand")
    segments_ = list(segments(trace, graph, rounding_of("tflite", "fp32"), clip))
    assert [each.is_beyond for each in segments_] == [index == place for index in range(3)]
    finding = cause_of(segments_[place])
    assert finding.cause is cause, finding
    assert evidence in finding.evidence


def test_the_longest_common_sequence_skips_what_only_one_has() -> None:
    assert longest_common("abcde", "xbcye") == [(1, 1), (2, 2), (4, 4)]
    assert longest_common("aa", "aaa") == [(0, 0), (1, 1)]
    assert longest_common("ab", "") == []


def test_an_order_by_need_is_that_of_who_reads_what() -> None:
    reads = {"sum": ["left", "right"], "left": ["clip"], "right": ["left", "clip"], "clip": [], "unread": ["sum"]}
    for names in (list(reads), list(reversed(reads))):
        order = _by_need("sum", {name: reads[name] for name in names}.__getitem__)
        assert order == ["clip", "left", "right", "sum"]


def test_every_recipe_that_is_judged_has_a_tolerance() -> None:
    for recipe in RECIPES.values():
        assert thresholds_for(recipe.name).recipe == recipe.name
        for target in recipe.meaning:
            rounding = rounding_of(target, recipe.name)
            assert rounding.reason
            assert rounding.least_db > 0
            assert (rounding.step == HALF) is (recipe.computes_in(target) == "float16")


def test_these_alone_compute_in_half_what_a_recipe_leaves_in_float32() -> None:
    in_half = {
        (target, recipe.name)
        for recipe in RECIPES.values()
        for target in recipe.meaning
        if recipe.computes_in(target) == "float16"
    }
    assert in_half == {
        ("coreai", "fp16"),
        *(("executorch", recipe) for recipe in ("fp16", "static_wi8_ai8", "auto")),
        *(("executorch-coreml", recipe) for recipe in ("fp16", "static_wi8_ai8", "auto")),
        *(("coreml", recipe) for recipe in ("fp16", "static_wi8_ai8", "auto", "palettized_wi4_afp16")),
        *(("qualcomm", recipe) for recipe in ("fp16", "static_wi8_ai8", "auto")),
    }
    assert rounding_of("coreml", "auto") == Rounding(HALF, "float16", False, 30, "as static int8; float16 arithmetic")
    assert rounding_of("coreml", "fp16").least_db == 50
    assert rounding_of("coreml", "palettized_wi4_afp16").weights == "lut4"
    assert rounding_of("tflite", "auto") == Rounding(FLOAT, "float32", False, 30, "as static int8")


def test_noise_is_as_large_as_the_rounding_that_it_stands_for() -> None:
    noise = Noise(rounding_of("tflite", "weight_only_wi8_afp32"))
    weight = torch.randn(32, 64, generator=torch.Generator().manual_seed(2))
    step = weight.abs().amax(1, keepdim=True) / 127
    rounded = (weight / step).round() * step
    drawn = float((noise.constant(0, weight) - weight).square().mean())
    assert drawn == pytest.approx(float((rounded - weight).square().mean()), rel=0.1)
    assert float((noise.on_grid(weight, 0.1) - weight).square().mean()) == pytest.approx(0.01 / 12, rel=0.1)


@pytest.mark.parametrize("size", [1.0, 1e-4, 1e-6])
def test_noise_of_half_precision_is_no_less_where_its_numbers_lie_no_closer(size: float) -> None:
    """Below 2^-14 they are 2^-24 apart, so that a value of 1e-6 keeps 35 dB and not 70."""
    values = torch.rand(32, 64, generator=torch.Generator().manual_seed(2)) * size
    drawn = Noise(rounding_of("coreml", "fp16")).activation(values) - values
    rounded = values.half().float() - values
    # It is drawn for the number before the next power of two, which lies at most twice as far from its neighbour.
    assert 0.7 <= float(drawn.square().mean() / rounded.square().mean()) <= 5


def test_figures_of_values_leave_out_what_is_not_finite() -> None:
    stats = ValueStats.of(np.array([1.0, -3.0, np.inf, np.nan]))
    assert (stats.least, stats.greatest, stats.mean, stats.non_finite, stats.count) == (-3, 1, -1, 2, 4)
