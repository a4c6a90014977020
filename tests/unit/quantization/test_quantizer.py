"""The quantizer for focal modulation: what is int8, what stays float, and one model in every layout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from torchao.quantization.pt2e.fake_quantize import FakeQuantizeBase

from dvfl_mobile.delegation import module_path
from dvfl_mobile.metrics import sqnr_db
from dvfl_mobile.model.default import seeded_student
from dvfl_mobile.model.deploy import DeployForm
from dvfl_mobile.progress import silent
from dvfl_mobile.quantization.calibrate import ptq, token_scaling
from dvfl_mobile.quantization.calibrate.observers import BY_ORDER, OBSERVERS, observer_named
from dvfl_mobile.quantization.calibrate.token_scaling import layers_to_scale
from dvfl_mobile.quantization.graph import graphs, traces
from dvfl_mobile.quantization.graph.edges import PerChannelWeightEdge, TokenEdge, weight_scales
from dvfl_mobile.quantization.graph.forms import deploy_form
from dvfl_mobile.quantization.graph.repeats import without_repeats
from dvfl_mobile.quantization.scales import RAW_PIXELS, scale_of_range
from tests import exports
from tests.checkpoints import SMALL
from tests.quantized import drawn, facts, small_form, small_student

pytestmark = pytest.mark.usefixtures("remembered_exports")

aten = torch.ops.aten
QUANTIZE = torch.ops.quantized_decomposed.quantize_per_tensor.default
DEQUANTIZE = torch.ops.quantized_decomposed.dequantize_per_tensor.default
PASSING = (aten.view.default, aten.reshape.default, aten.permute.default)


@pytest.fixture(scope="module")
def graph() -> Any:
    """The small form with quantize and dequantize operators."""
    return graphs.converted(small_form().graph(), fold=True)


def nodes(graph: Any, *targets: Any) -> list[Any]:
    return [node for node in graph.graph.nodes if node.op == "call_function" and node.target in targets]


def test_every_product_is_int8_but_for_those_that_stay_float_for_a_reason(graph: Any) -> None:
    floats = set()
    for node in nodes(graph, aten.linear.default, aten.conv2d.default):
        if "dequantize_per_channel" in str(node.args[1].target):
            assert node.args[0].target == DEQUANTIZE, "an int8 product reads int8"
            assert [user.target for user in node.users] == [QUANTIZE], "an int8 product gives int8"
        else:
            floats.add(module_path(node).removeprefix("stem.").rpartition(".")[2])
    assert floats == {"gates", "mean", "mean_temporal", "head", "proj"}, "the last one is the stem's"


def test_gelu_between_products_reads_and_gives_int8(graph: Any) -> None:
    inside = [node for node in nodes(graph, aten.gelu.default) if node.args[0].target == DEQUANTIZE]
    outside = [node for node in nodes(graph, aten.gelu.default) if node not in inside]
    blocks = sum(SMALL.depths)
    assert len(inside) == blocks * 5, "four focal levels and the feed-forward network of each block"
    assert all([user.target for user in node.users] == [QUANTIZE] for node in inside)
    assert len(outside) == blocks * 2, "the pooled context of both branches"


def test_reshapes_and_permutes_pass_the_scale_on(graph: Any) -> None:
    passed = [node for node in nodes(graph, *PASSING) if node.args[0].target == DEQUANTIZE]
    assert passed
    for node in passed:
        [after] = node.users
        if after.target == QUANTIZE:
            assert after.args[1:3] == node.args[0].args[1:3], f"{node} would be rounded twice"


def test_the_product_of_query_and_modulators_is_int8_unless_it_is_scaled_per_token() -> None:
    student = small_student()
    path = "stage0.block0.modulation"
    for per_token_scaled, expected in (((), 2), ((f"{path}.proj",), 0)):
        form = deploy_form(student, per_token_scaled)
        watched, _, _ = graphs.watched(form, student.raw_clip.shape, "minmax", (), 1)
        graphs.run_clips(watched, drawn()[:1])
        keys = graphs.converted(watched, fold=True)
        int8 = [
            node
            for node in nodes(keys, aten.mul.Tensor)
            if module_path(node) == path
            and all(arg.target == DEQUANTIZE for arg in node.args)
            and [user.target for user in node.users] == [QUANTIZE]
        ]
        assert len(int8) == expected


def test_tokens_are_rounded_each_by_its_own_range() -> None:
    form = small_form()
    path = "stage0.downsample.proj.linear"
    assert path in form.by_token("runtime")
    assert form.by_token("written") == ()
    graph = form.graph(token_scaling="runtime")
    edges = [module for module in graph.modules() if isinstance(module, TokenEdge)]
    assert len(edges) == len(form.by_token("runtime"))
    # 0 to 255, and -2 to 253: a step of one, and zero on an integer. A thousandth of it: a step of a thousandth.
    token = torch.tensor([0.0, 0.4, 0.6, 254.6, 255.0])
    tokens = torch.stack((token, token - 2, token / 1000))
    rounded = torch.tensor([0.0, 0.0, 1.0, 255.0, 255.0])
    expected = torch.stack((rounded, rounded - 2, rounded / 1000))
    assert (edges[0](tokens) - expected).abs().max() < 1e-4
    assert torch.equal(edges[0](torch.zeros(1, 5)), torch.zeros(1, 5))


def test_a_runtime_that_scales_per_token_is_given_no_scaling() -> None:
    form = small_form()
    counts = {}
    for scaling in ("written", "runtime"):
        graph = form.graph(token_scaling=scaling)
        counts[scaling] = len(nodes(graph, aten.abs.default))
    scaled = len(form.by_token("runtime"))
    assert scaled > 0
    assert counts["written"] - counts["runtime"] == scaled
    clips = drawn(4, 7)
    exact = graphs.run_clips(deploy_form(form.student, ()), clips).double().numpy()
    # Each token's own range is no coarser than its mean magnitude on a scale for all; 1 dB is chance on four clips.
    by_runtime, written = (
        sqnr_db(exact, graphs.run_clips(form.graph(token_scaling=scaling), clips).double().numpy())
        for scaling in ("runtime", "written")
    )
    assert by_runtime > written - 1


@pytest.mark.parametrize("scaling", ["written", "runtime"])
def test_a_layer_that_is_scaled_per_token_may_be_kept_float(scaling: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then what it reads, the product of query and modulators, is float too, and has no scale to be rounded to."""
    path = "stage0.block0.modulation.proj"
    monkeypatch.setattr(ptq, "layers_to_scale", lambda *_: (path,))
    form = ptq.quantize(small_student(), "auto", drawn()[:1], facts(drawn()[:1], "minmax"), (f"{path}*",))
    assert form.by_token("runtime") == ()
    assert not any(key.startswith("stage0.block0.modulation:mul") for key in form.settings.scales)
    logits = graphs.run_clips(form.graph(token_scaling=scaling), drawn()[:1])
    assert logits.isfinite().all()


def test_raw_pixels_are_held_exactly() -> None:
    form = small_form()
    assert form.settings.scales["stem.proj:in"] == RAW_PIXELS
    pixels = torch.arange(256.0)
    edge = graphs.edges_of(form.graph())["stem.proj:in"]
    assert torch.equal(edge(pixels), pixels)
    assert "stem.proj" not in form.settings.products, "what reads them is float"


def test_weights_are_rounded_by_output_channel() -> None:
    form = small_form()
    floats = dict(deploy_form(form.student, form.settings.per_token_scaled).named_parameters())
    for path, integers in form.integers.items():
        weight, scale = floats[f"{path}.weight"], form.weight_scales[path]
        assert scale.shape == weight.shape[:1]
        rows = scale.view(-1, *[1] * (weight.dim() - 1))
        assert (integers.float() * rows - weight).abs().max() <= scale.max() / 2 * 1.0001
        assert int(integers.abs().flatten(1).amax(1).min()) == 127, "each channel's largest weight is at the end"


def test_biases_stand_on_the_grid_of_the_sums() -> None:
    form = small_form()
    for path, reads in form.settings.products.items():
        bias = form.floats.get(f"{path}.bias")
        if bias is not None:
            steps = bias.double() / (form.weight_scales[path].double() * form.settings.scales[reads].scale)
            # float32 holds 24 bits of a number of steps.
            assert (steps - steps.round()).abs().max() <= steps.abs().max() * 2**-24


def test_every_layout_has_the_same_edges_and_computes_the_same() -> None:
    form = small_form()
    made = [form.graph(layout) for layout in ("products", "means", "native")]
    assert all(graphs.edges_of(graph).keys() == form.settings.scales.keys() for graph in made)
    # In float32 means that are summed in another order round to the next integer now and then; not in float64.
    logits, *others = (graphs.run_clips(graphs.in_double(graph), drawn(4, 1)).numpy() for graph in made)
    assert min(sqnr_db(logits, other) for other in others) > 200


def test_the_quantized_form_is_near_float() -> None:
    form = small_form()
    expected = graphs.run_clips(deploy_form(form.student, ()), drawn(4, 1)).double().numpy()
    found = graphs.run_clips(form.graph(), drawn(4, 1)).double().numpy()
    assert 20 < sqnr_db(expected, found) < 60


@pytest.mark.parametrize("observer", OBSERVERS)
def test_every_observer_finds_a_range_for_every_edge(observer: str) -> None:
    form, clips = small_form(observer), drawn(16, 1)
    found = graphs.run_clips(form.graph(), clips).double().numpy()
    expected = graphs.run_clips(deploy_form(form.student, ()), clips).double().numpy()
    # On two clips the moving average gives 14.9 to 15.1 dB, as a processor's kernels round; on 16, 17.3 dB.
    assert sqnr_db(expected, found) > 15


@pytest.mark.parametrize("observer", [name for name in OBSERVERS if name not in BY_ORDER])
def test_a_range_is_the_same_whichever_of_two_clips_is_faster(observer: str) -> None:
    clips = [torch.randn(1, 8, 20, 30, generator=torch.Generator().manual_seed(seed)) * (1 + seed) for seed in range(4)]
    assert reach(observer, clips) == reach(observer, [clips[index] for index in (1, 0, 3, 2)])


@pytest.mark.parametrize(("observer", "in_turn"), [("percentile", False), ("moving_average", True), ("mse", True)])
def test_clips_pass_in_turn_where_their_order_makes_a_difference(observer: str, in_turn: bool) -> None:
    with mock.patch.object(graphs, "run_clips", wraps=graphs.run_clips) as run_clips:
        ptq._find(small_student(), drawn(1, 1), observer, (), silent)
    assert run_clips.call_args.kwargs == {"in_turn": in_turn}


def reach(name: str, clips: Sequence[torch.Tensor]) -> tuple[float, float]:
    """The range that an observer chooses."""
    least, most = -128, 127
    observer = observer_named(name, len(clips))(
        dtype=torch.int8, qscheme=torch.per_tensor_affine, quant_min=least, quant_max=most
    )
    for clip in clips:
        assert observer(clip) is clip
    scale, zero_point = map(float, observer.calculate_qparams())
    return scale * (least - zero_point), scale * (most - zero_point)


def test_percentile_leaves_a_rare_value_out_and_minmax_does_not() -> None:
    values = torch.cat([torch.linspace(-1, 1, 1_000_000), torch.tensor([100.0])])
    assert reach("minmax", [values])[1] > 99
    assert 0.9 < reach("percentile", [values])[1] < 1.2


def test_percentile_is_exact_over_all_clips() -> None:
    # Of 3 million numbers 15 are cut off at each end; the clips differ in size, and pictures lie channels last.
    stream = torch.Generator().manual_seed(0)
    clips = [torch.randn(1, 8, 250, 500, generator=stream) * size for size in (1, 3, 2)]
    clips[1] = clips[1].to(memory_format=torch.channels_last)
    values = torch.cat([clip.flatten() for clip in clips]).sort().values
    low, high = float(values[15]), float(values[-16])
    # The zero point is an integer, so that the range moves by up to half a step.
    step = (high - low) / 255
    assert reach("percentile", clips) == pytest.approx((low, high), abs=0.51 * step)
    assert reach("percentile", clips)[1] - reach("percentile", clips)[0] == pytest.approx(high - low, rel=1e-5)


def test_percentile_of_few_values_is_all_that_was_seen() -> None:
    clips = [torch.tensor([[-1.0, 0.5]]), torch.tensor([[0.0, 3.0]])]
    assert reach("percentile", clips) == pytest.approx(reach("minmax", clips))


def test_rounding_is_torch_s_own_to_the_bit() -> None:
    edge = graphs.edges_of(small_form().graph())["stage0.block0.mlp.fc1:out"]
    values = torch.randn(1, 8, 30, 2000, generator=torch.Generator().manual_seed(0)) * 40 * edge.scale
    values[0, 0, 0, :3] = torch.tensor([torch.inf, -torch.inf, 0.5 * float(edge.scale)])
    for laid in (values, values.to(memory_format=torch.channels_last), values[:, ::2], values[..., 1:]):
        expected = torch.fake_quantize_per_tensor_affine(laid, edge.scale, edge.zero_point, -128, 127)
        with torch.no_grad():
            assert torch.equal(edge(laid), expected)


def test_no_value_is_rounded_or_watched_twice() -> None:
    form = small_form()
    clip = torch.from_numpy(drawn()[0]).float()
    graph = form.graph()
    with torch.no_grad():
        expected = graph(clip)
    before, tensors = len(watchers(graph)), len(graphs.edges_of(graph)) + len(form.integers)
    once = without_repeats(graph)
    with torch.no_grad():
        assert torch.equal(once(clip), expected)
    assert before > tensors == len(watchers(once))


def watchers(graph: Any) -> list[Any]:
    """The nodes that watch or round a value."""
    modules = [node for node in graph.graph.nodes if node.op == "call_module"]
    return [node for node in modules if isinstance(graph.get_submodule(node.target), FakeQuantizeBase)]


def test_modules_that_are_kept_stay_float() -> None:
    form = small_form(keep=("stage3.*", "*.fc1"))
    assert not any(path.startswith("stage3.") or path.endswith(".fc1") for path in form.integers)
    assert "stage0.block0.mlp.fc2" in form.integers
    assert form.floats["stage0.block0.mlp.fc1.weight"].dtype == torch.float32


def test_the_same_clips_give_the_same_form(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces, "exported", exports.exported)
    again = ptq.quantize(small_student(), "static_wi8_ai8", drawn(), facts(drawn()))
    assert again.settings == small_form().settings
    assert all(torch.equal(again.integers[path], integers) for path, integers in small_form().integers.items())


def test_scales_are_kept_by_content(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("DVFL_MOBILE_CACHE", str(tmp_path))
    found: list[int] = []
    find = ptq._find
    monkeypatch.setattr(ptq, "_find", lambda *arguments: found.append(1) or find(*arguments))
    few = drawn(1)
    for clips in (few, few, drawn(1, 5)):
        ptq.quantize(small_student(), "static_wi8_ai8", clips, facts(clips))
    assert len(found) == 2, "the second time they were remembered; other clips are another matter"
    [first, _] = sorted(tmp_path.glob("scales/*.json"))
    first.write_text("{}")
    ptq.quantize(small_student(), "static_wi8_ai8", few, facts(few))
    assert len(found) <= 3, "what can't be read is found again"


def test_a_per_token_scaled_layer_computes_the_same_in_float() -> None:
    student = small_student()
    form = DeployForm(student.network, student.raw_clip)
    paths = [name for name, _ in form.named_modules() if name.endswith((".proj", ".h", ".h_temporal"))]
    paths = [name for name in paths if "modulation" in name or "downsample" in name]
    clip = torch.from_numpy(drawn()[0]).float()
    for layout in ("products", "means", "native"):
        plain, scaled = deploy_form(student, (), layout)(clip), deploy_form(student, paths, layout)(clip)
        assert sqnr_db(plain.double().numpy(), scaled.double().numpy()) > 110


def test_layers_are_scaled_per_token_where_one_scale_would_starve_most_tokens() -> None:
    student = seeded_student(SMALL, seed=3)
    form = DeployForm(student.network, student.raw_clip)
    # Tokens of one size need nothing, but in the last stage, where the bar is higher.
    assert all(name.startswith("stage3.") for name in layers_to_scale(form, drawn()[:2]))
    with torch.no_grad():
        # Every modulator is a hundred times larger on few tokens: a gate opened wide there.
        spiky = form.get_submodule("stage1.block0.modulation.query")
        spiky.weight.mul_(torch.logspace(0, 4, spiky.weight.shape[0])[:, None])
    assert "stage1.block0.modulation.proj" in layers_to_scale(form, drawn()[:2])


def test_patches_that_become_a_stage_s_tokens_are_scaled_too(monkeypatch: pytest.MonkeyPatch) -> None:
    overlapping = SMALL.model_copy(update={"use_conv_embed": True})
    every = {f"stage{index}.downsample.proj" for index in range(3)}
    # The last of them would be left with 41 dB, the others with 38.
    for architecture, least, expected in (
        (SMALL, 200.0, every),
        (SMALL, 39.5, every - {"stage2.downsample.proj"}),
        (SMALL, 30.0, set()),
        (overlapping, 200.0, set()),
    ):
        monkeypatch.setattr(token_scaling, "LEAST_DB_OF_PATCHES", least)
        student = seeded_student(architecture)
        found = layers_to_scale(DeployForm(student.network, student.raw_clip), drawn()[:1])
        assert {path for path in found if "downsample" in path} == expected


def test_per_token_scaling_is_worth_decibels_where_tokens_differ() -> None:
    torch.manual_seed(0)
    tokens = torch.randn(1, 64, 32) * torch.logspace(-2, 2, 64)[None, :, None]
    scale = scale_of_range(float(tokens.min()), float(tokens.max()))
    sizes = tokens.abs().mean(-1, keepdim=True)
    even = tokens / sizes
    even_scale = scale_of_range(float(even.min()), float(even.max()))

    def rounded(values: torch.Tensor, by: Any) -> torch.Tensor:
        return torch.fake_quantize_per_tensor_affine(values, by.scale, by.zero_point, -128, 127)

    def median_db(found: torch.Tensor) -> float:
        noise = (found - tokens).square().sum(-1)
        return float(10 * torch.log10(tokens.square().sum(-1) / noise.clamp_min(1e-30)).median())

    assert median_db(rounded(even, even_scale) * sizes) > median_db(rounded(tokens, scale)) + 20


def test_a_weight_edge_follows_its_weight_and_its_cache_too() -> None:
    edge = PerChannelWeightEdge("w", torch.int8, torch.per_channel_symmetric)
    weight = torch.nn.Parameter(torch.randn(4, 8))
    with torch.no_grad():
        first = edge(weight)
        weight.mul_(3)
        assert torch.allclose(edge(weight), first * 3, atol=1e-6)
    assert torch.equal(edge.scale, weight_scales(weight))


@pytest.mark.parametrize(("low", "high"), [(-1.0, 1.0), (0.5, 2.0), (-3.0, -1.0), (0.0, 0.0), (-1e-9, 1e9)])
def test_a_scale_holds_its_range_and_zero_exactly(low: float, high: float) -> None:
    found = scale_of_range(low, high)
    assert -128 <= found.zero_point <= 127
    assert (0 / found.scale) + found.zero_point == found.zero_point
    slack = found.scale
    assert (127 - found.zero_point) * found.scale >= max(high, 0) - slack
    assert (-128 - found.zero_point) * found.scale <= min(low, 0) + slack
    assert np.isfinite(found.scale)
