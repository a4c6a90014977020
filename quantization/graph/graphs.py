"""The deploy form as a graph: watched for calibration, rounded to known scales, and converted for lowering."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from threading import Lock
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e, prepare_qat_pt2e
from torchao.quantization.pt2e.quantizer import QuantizationSpec

from dvfl_mobile.model.lean.at_once import each, pixels_of
from dvfl_mobile.model.lean.exports import lean_exports
from dvfl_mobile.quantization.calibrate.observers import observer_named
from dvfl_mobile.quantization.graph import traces
from dvfl_mobile.quantization.graph.annotate import FocalModulationQuantizer, Product
from dvfl_mobile.quantization.graph.edges import Edge, PerChannelWeightEdge, TokenEdge
from dvfl_mobile.quantization.scales import ACTIVATION_RANGE, RAW_PIXELS, WEIGHT_RANGE, Scale


@lean_exports()
def watched(
    form: nn.Module, shape: Sequence[int], observer: str, keep: Sequence[str], clips: int
) -> tuple[GraphModule, Callable[[], dict[str, Scale]], tuple[Product, ...]]:
    """A graph that computes what `form` computes, and watches each tensor that is to become int8.

    Args:
        shape: (T, 3, H, W) of the input.
        observer: one of `OBSERVERS`.
        keep: patterns of modules that stay float.
        clips: how many will pass.

    Returns:
        The graph; a function that gives the scales, by the edges' names, once clips have passed; the int8 products.
    """
    watchers: dict[str, Any] = {}
    specs = _Watching(observer_named(observer, clips), watchers)
    quantizer = FocalModulationQuantizer(specs, keep)
    graph = prepare_pt2e(traces.exported(form, shape), quantizer)
    watching = {**edges_of(graph), **watchers}
    return graph, lambda: {key: _scale_of(watcher) for key, watcher in watching.items()}, tuple(quantizer.products)


@lean_exports()
def rounded(
    form: nn.Module,
    shape: Sequence[int],
    scales: Mapping[str, Scale],
    keep: Sequence[str],
    weight_scales: Mapping[str, Tensor],
    *,
    by_token: Collection[str] = (),
    is_by_token_later: bool = False,
    training: bool = False,
) -> GraphModule:
    """A graph of `form` in which each int8 tensor is rounded to its known scale: the fake-quantized graph.

    Args:
        scales: of every edge, by name.
        weight_scales: of the weights, by output channel, by their modules' paths; a weight without any is rounded by
            what it holds.
        by_token: the linear layers that quantize each token by its own range.
        is_by_token_later: leave these float: the converter makes them so in what it has written.
        training: prepare it for quantization-aware training.

    Raises:
        KeyError: an edge has no scale.
    """
    quantizer = FocalModulationQuantizer(
        _Rounding(scales, weight_scales),
        keep,
        {path: None if is_by_token_later else _token_spec() for path in by_token},
    )
    prepare = prepare_qat_pt2e if training else prepare_pt2e
    return prepare(traces.exported(form, shape), quantizer)


@lean_exports()
def converted(graph: GraphModule, *, fold: bool) -> GraphModule:
    """A `rounded` graph with quantize and dequantize operators, as converters take it.

    Args:
        fold: store weights as integers; LiteRT's converter wants them float, with the operators.
    """
    result = convert_pt2e(graph, fold_quantize=fold)
    read = {str(node.target) for node in result.graph.nodes if node.op == "get_attr"}
    for name, _ in list(result.named_parameters()):
        if name not in read:  # the float weights, of which only the integers are still read
            parent, _, attribute = name.rpartition(".")
            delattr(result.get_submodule(parent), attribute)
    return result


def in_double(graph: GraphModule) -> GraphModule:
    """The same rounded graph, computed in float64: sums of integers are exact then, as they are in int32 on a phone.

    In float32 PyTorch's own sums are off by a last bit here and there, which rounds to another integer now and then.
    """
    for module in graph.modules():
        if not isinstance(module, Edge | TokenEdge | PerChannelWeightEdge):
            for name, parameter in module.named_parameters(recurse=False):
                setattr(module, name, nn.Parameter(parameter.detach().double(), requires_grad=False))
    return graph


def edges_of(graph: GraphModule) -> dict[str, Edge]:
    """The rounded activations of a graph, by name."""
    return {module.key: module for module in graph.modules() if isinstance(module, Edge)}


def run_clips(
    graph: nn.Module, clips: Iterable[Any], advance: Callable[[], None] = lambda: None, *, in_turn: bool = False
) -> Tensor:
    """Logits, `(N,K)`, of clips `(T,3,H,W)` of 0-255 pixels, each by itself, in the graph's own numbers."""
    dtype = next(graph.parameters()).dtype
    return torch.cat(each(lambda clip: graph(pixels_of(clip, dtype)), clips, advance, in_turn=in_turn))


class _Watching:
    """Specs that put an observer of torchao's on each edge."""

    def __init__(self, observer: Any, watchers: dict[str, Any]) -> None:
        self._observer, self._watchers = observer, watchers

    def activation(self, key: str, *, is_pixels: bool) -> QuantizationSpec:
        if is_pixels:
            return _fixed(key, RAW_PIXELS)
        observer = self._observer

        class Watcher(observer):  # type: ignore[misc, valid-type]
            def __init__(self, **arguments: Any) -> None:
                super().__init__(**arguments)
                self._one_by_one = Lock()
                watchers[key] = self

            def forward(self, values: Tensor) -> Tensor:
                with self._one_by_one:  # clips pass two at once
                    watched: Tensor = super().forward(values)
                return watched

        watchers = self._watchers
        return _activation_spec(Watcher)

    def weight(self, key: str) -> QuantizationSpec:
        return weight_spec(key, None)


class _Rounding:
    """Specs that round each edge to its known scale."""

    def __init__(self, scales: Mapping[str, Scale], weight_scales: Mapping[str, Tensor]) -> None:
        self._scales, self._weight_scales = scales, weight_scales

    def activation(self, key: str, *, is_pixels: bool) -> QuantizationSpec:  # noqa: ARG002 (its scale is known too)
        return _fixed(key, self._scales[key])

    def weight(self, key: str) -> QuantizationSpec:
        return weight_spec(key, self._weight_scales.get(key))


def _fixed(key: str, scale: Scale) -> QuantizationSpec:
    return _activation_spec(Edge.with_args(key=key, scale=scale))


def _token_spec() -> QuantizationSpec:
    least, most = ACTIVATION_RANGE
    return QuantizationSpec(torch.int8, TokenEdge, least, most, torch.per_tensor_affine, is_dynamic=True)


def _activation_spec(maker: Any) -> QuantizationSpec:
    least, most = ACTIVATION_RANGE
    return QuantizationSpec(torch.int8, maker, least, most, torch.per_tensor_affine)


def weight_spec(key: str, scale: Tensor | None) -> QuantizationSpec:
    maker = PerChannelWeightEdge.with_args(key=key, scale=scale)
    least, most = WEIGHT_RANGE
    return QuantizationSpec(torch.int8, maker, least, most, torch.per_channel_symmetric, ch_axis=0)


def _scale_of(watcher: Any) -> Scale:
    scale, zero_point = watcher.calculate_qparams()
    return Scale(scale=float(scale), zero_point=int(zero_point))
