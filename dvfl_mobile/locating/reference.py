"""The reference graph of an artifact: the nodes that its converter lowered, computable one by one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node
from torch.fx.node import map_arg

from dvfl_mobile.delegation import module_path
from dvfl_mobile.quantization.graph import traces
from dvfl_mobile.quantization.graph.forms import deploy_form
from dvfl_mobile.quantization.lowerable import Lowerable
from dvfl_mobile.runners.tracing import MOVE
from dvfl_mobile.targets import Target, TemporalConvolution

_aten = torch.ops.aten
_KINDS: Mapping[Any, str] = {
    _aten.linear.default: "linear",
    _aten.conv2d.default: "conv",
    _aten.conv2d.padding: "conv",
    _aten.gelu.default: "gelu",
    _aten.add.Tensor: "add",
    _aten.sub.Tensor: "sub",
    _aten.mul.Tensor: "mul",
    _aten.mean.dim: "mean",
    _aten.rsqrt.default: "rsqrt",
    _aten.layer_norm.default: "layer_norm",
    _aten.abs.default: "abs",
}
_INHERITING = ("sub", "mean", "gelu")
TO_PICTURES, TO_TOKENS = [0, 3, 1, 2], [0, 2, 3, 1]


class ReferenceGraph:
    """The deploy form in a target's layout, node by node.

    Attributes:
        clip: the node of the input.
        nodes: all that compute or move, in order.
        by_token: the products that read tokens each quantized by its own range.
        logits: the last of them.
    """

    def __init__(
        self, form: nn.Module, shape: tuple[int, ...], floats: Mapping[str, Tensor], by_token: Sequence[str] = ()
    ) -> None:
        """Take a form apart.

        Args:
            form: with the weights that the artifact should have: rounded ones, where its recipe rounds them.
            floats: the student's own parameters of the same form, by name.
            by_token: paths of the products for which the runtime quantizes each token by its own range.
        """
        graph = traces.exported(form, shape)
        self.nodes: tuple[Node, ...] = tuple(node for node in graph.graph.nodes if node.op == "call_function")
        self.by_token = frozenset(node for node in self.nodes if module_path(node) in by_token)
        self.clip: Node = next(node for node in graph.graph.nodes if node.op == "placeholder")
        self.logits: Node = self.nodes[-1]
        self.constants: Mapping[Node, Tensor] = {
            node: _attribute(graph, str(node.target)) for node in graph.graph.nodes if node.op == "get_attr"
        }
        self.floats: Mapping[Node, Tensor] = {
            node: floats.get(str(node.target), value) for node, value in self.constants.items()
        }

    @cached_property
    def last_use(self) -> Mapping[Node, Node]:
        """The last node that reads each."""
        return {source: node for node in self.nodes for source in node.all_input_nodes}

    @cached_property
    def in_pictures(self) -> frozenset[Node]:
        """Nodes that hold pictures `(N,C,H,W)`, which runtimes of channels-last tensors hold as `(N,H,W,C)`."""
        found: set[Node] = set()
        for node in self.nodes:
            source = node.args[0]
            is_turned = node.target == _aten.permute.default and node.args[1] == TO_PICTURES
            inherits = kind_of(node) in _INHERITING and source in found
            if kind_of(node) == "conv" or is_turned or inherits:
                found.add(node)
        return frozenset(found)

    def in_layout(self, node: Node, values: Tensor, *, channels_last: bool) -> Tensor | None:
        """What a runtime holds for a node, in the node's own layout; None: it can't be that node's."""
        shape = tuple(node.meta["val"].shape)
        if values.numel() != node.meta["val"].numel():
            return None
        if channels_last and node in self.in_pictures:
            turned = [shape[axis] for axis in TO_TOKENS]
            return values.reshape(turned).permute(TO_PICTURES)
        return values.reshape(shape)


def reference_graph(
    model: Lowerable, target: Target, recipe: str, temporal: TemporalConvolution = "direct"
) -> ReferenceGraph:
    """The graph that a target's artifact of a model, by a recipe, has to compute.

    Args:
        temporal: how it computes temporal convolutions; another way than `direct` only of a float student.
    """
    student, quantization, normalizer = model.student, model.quantization, target.normalizer_of(recipe)
    floats: dict[str, nn.Parameter] = {}
    if quantization is not None:
        plain = deploy_form(student, quantization.per_token_scaled, normalizer, target.token_scaling)
        floats = dict(plain.named_parameters())
    form = model.form_for(target, recipe) if temporal == "direct" else student.form(normalizer, temporal)
    return ReferenceGraph(form, student.raw_clip.shape, floats, model.by_token(target.token_scaling))


def kind_of(node: Node) -> str:
    """The node's operator, in the words of `Step.kind`."""
    return _KINDS.get(node.target, MOVE)


def operator_of(node: Node) -> str:
    """`linear` of `aten.linear.default`."""
    return str(node.target).split(".")[1] if "." in str(node.target) else str(node.target)


def module_of(node: Node) -> str:
    """The module that a node belongs to; empty for what the network itself does."""
    return module_path(node)


def compute(node: Node, read: Callable[[Node], Tensor]) -> Tensor:
    """A node's value, from those of the nodes that it reads."""
    arguments, options = map_arg((node.args, node.kwargs), read)
    assert callable(node.target)
    result: Tensor = node.target(*arguments, **options)
    return result


def _attribute(graph: GraphModule, path: str) -> Tensor:
    owner, _, name = path.rpartition(".")
    value: Tensor = getattr(graph.get_submodule(owner) if owner else graph, name)
    return value.detach()
