"""The quantizer for focal modulation: which tensors of the deploy form are int8, and which stay float, and why.

It walks an exported graph once and annotates it for torchao's PT2E. What it knows of the block:

- **Products** (linear layers and convolutions) take int8, hold int8 weights by channel, and give int8.
- **GELU** between two products stays in int8: 256 values in, 256 values out, a table on every runtime.
- **Reshapes and permutes** pass the scale on: the integers stay as they are.
- **The product of query and modulators** is int8 where all of its factors are. Where the projection that reads it is
  scaled per token (`rewrites.PerTokenScaledLinear`), it stays float until its tokens are of one size, or up to the
  projection where the runtime quantizes each token by its own range.
- **Sums of gated contexts** requantize once, where the next product reads them, not at each addend: gates reach
  both signs and the addends differ in size, so a shared scale would be that of the largest.
- What stays float stands in `FLOAT_PARTS`, each with its reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Protocol

import torch
from torch.fx import GraphModule, Node
from torchao.quantization.pt2e.quantizer import (
    QuantizationAnnotation,
    QuantizationSpec,
    QuantizationSpecBase,
    Quantizer,
    SharedQuantizationSpec,
)

from dvfl_mobile.delegation import module_path
from dvfl_mobile.quantization.floats import FLOAT_PARTS

_aten = torch.ops.aten
PRODUCTS = (_aten.linear.default, _aten.conv2d.default)
PASSING = (
    _aten.view.default,
    _aten.reshape.default,
    _aten.permute.default,
    _aten.unsqueeze.default,
    _aten.squeeze.dim,
)
_ANNOTATION = "quantization_annotation"


class SpecMaker(Protocol):
    """Says how a tensor is to be watched, or rounded."""

    def activation(self, key: str, *, is_pixels: bool) -> QuantizationSpec:
        """For the edge of that name; `is_pixels` is the network's input in raw pixels."""

    def weight(self, key: str) -> QuantizationSpec:
        """For the weight of that name, by output channel."""


@dataclass(frozen=True)
class Product:
    """An int8 product as it was annotated: its module's path, and the keys of what it reads and gives."""

    path: str
    reads: str
    gives: str


class FocalModulationQuantizer(Quantizer):  # type: ignore[misc]
    """Annotates an exported deploy form.

    Args:
        specs: makes the spec of each edge.
        keep: patterns of module paths (`stage3.*`, `*.modulation.proj`) whose products stay float too.
        by_token: of the linear layers that quantize each token by its own range, and give floats: by their paths, the
            spec of what they read; None leaves them float.

    Attributes:
        products: those that were annotated, in order; filled by `annotate`.
    """

    def __init__(
        self,
        specs: SpecMaker,
        keep: Sequence[str] = (),
        by_token: Mapping[str, QuantizationSpec | None] = MappingProxyType({}),
    ) -> None:
        super().__init__()
        self._specs, self._by_token = specs, by_token
        self._float = (*(part.modules for part in FLOAT_PARTS if part.is_product), *keep)
        self._keys: dict[Node, str] = {}
        self._readers: dict[Node, Node] = {}
        self._multiplications: dict[str, int] = {}
        self.products: list[Product] = []

    def annotate(self, model: GraphModule) -> GraphModule:
        """Annotate each node once, in order, so that what a node reads was decided before it."""
        for node in model.graph.nodes:
            if node.op != "call_function":
                continue
            if node.target in PRODUCTS:
                self._product(node)
            elif node.target in PASSING:
                self._passing(node)
            elif node.target == _aten.gelu.default:
                self._gelu(node)
            elif node.target == _aten.mul.Tensor:
                self._multiplication(node)
        return model

    def validate(self, model: GraphModule) -> None:
        """Nothing: what isn't annotated stays float."""

    def _product(self, node: Node) -> None:
        path = module_path(node)
        if any(fnmatchcase(path, pattern) for pattern in self._float):
            self._pixels(node)
            return
        source, weight = node.all_input_nodes[:2]
        if path in self._by_token:
            by_token = self._by_token[path]
            if by_token is not None:
                qspecs = {source: by_token, weight: self._specs.weight(path)}
                node.meta[_ANNOTATION] = QuantizationAnnotation(input_qspec_map=qspecs, _annotated=True)
            return
        spec, reads = self._input(source, node)
        gives = f"{path}:out"
        inputs = {source: spec, weight: self._specs.weight(path)}
        self._set(node, inputs, self._specs.activation(gives, is_pixels=False), gives)
        self.products.append(Product(path, reads, gives))

    def _pixels(self, node: Node) -> None:
        """Raw pixels are integers whatever reads them: a float product that reads the network's input reads int8."""
        source = node.all_input_nodes[0]
        if source.op == "placeholder":
            key = f"{module_path(node)}:in"
            spec = self._specs.activation(key, is_pixels=True)
            node.meta[_ANNOTATION] = QuantizationAnnotation(input_qspec_map={source: spec}, _annotated=True)

    def _input(self, source: Node, reader: Node) -> tuple[QuantizationSpecBase, str]:
        """How a product reads `source`: with its own scale where it is int8, else all of its int8 readers share one."""
        if source in self._keys:
            return SharedQuantizationSpec(source), self._keys[source]
        first = self._readers.setdefault(source, reader)
        key = f"{module_path(first)}:in"
        if first is not reader:
            return SharedQuantizationSpec((source, first)), key
        return self._specs.activation(key, is_pixels=source.op == "placeholder"), key

    def _passing(self, node: Node) -> None:
        source = node.all_input_nodes[0]
        if source in self._keys:
            shared = SharedQuantizationSpec(source)
            self._set(node, {source: shared}, shared, self._keys[source])

    def _gelu(self, node: Node) -> None:
        source = node.all_input_nodes[0]
        if source in self._keys:
            key = f"{self._keys[source].removesuffix(':out')}:gelu"
            output = self._specs.activation(key, is_pixels=False)
            self._set(node, {source: SharedQuantizationSpec(source)}, output, key)

    def _multiplication(self, node: Node) -> None:
        factors = node.all_input_nodes
        if len(factors) != 2 or any(factor not in self._keys for factor in factors):
            return
        if self._is_scaled_per_token(node):
            return
        path = module_path(node)
        index = self._multiplications[path] = self._multiplications.get(path, -1) + 1
        key = f"{path}:mul{index}"
        inputs: dict[Node, QuantizationSpecBase] = {factor: SharedQuantizationSpec(factor) for factor in factors}
        self._set(node, inputs, self._specs.activation(key, is_pixels=False), key)

    def _is_scaled_per_token(self, node: Node) -> bool:
        """Whether a per-token scaled layer reads it, at once or through further factors: int8 would come too early."""
        return any(
            user.target == _aten.abs.default
            or (user.target in PRODUCTS and module_path(user) in self._by_token)
            or (user.target == _aten.mul.Tensor and self._is_scaled_per_token(user))
            for user in node.users
        )

    def _set(
        self, node: Node, inputs: dict[Node, QuantizationSpecBase], output: QuantizationSpecBase, key: str
    ) -> None:
        node.meta[_ANNOTATION] = QuantizationAnnotation(
            input_qspec_map=dict(inputs), output_qspec=output, _annotated=True
        )
        self._keys[node] = key
