"""Units: the parts of a quantized form that may be float or int8 by themselves, and a way to run any choice of them.

Three sizes of unit:

- an **operator** is one int8 product;
- a **group** is a largest set of int8 products that are joined by int8 tensors alone, found by walking the annotated
  graph: where all of it is float, no tensor has to be quantized or dequantized that wasn't before;
- a **block** is what the network calls one: `stage2.block1`, `stage0.downsample`, `stem`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

import torch
from torch import Tensor
from torch.fx import GraphModule, Node
from torch.fx.node import map_arg
from torchao.quantization.pt2e.quantizer import QuantizationSpec, QuantizationSpecBase, SharedQuantizationSpec

from dvfl_mobile.delegation import module_path
from dvfl_mobile.documents import Document
from dvfl_mobile.model.lean.at_once import pixels_of
from dvfl_mobile.model.lean.rounding import rounded
from dvfl_mobile.quantization.graph import traces
from dvfl_mobile.quantization.graph.annotate import PRODUCTS, FocalModulationQuantizer, Product
from dvfl_mobile.quantization.graph.forms import LAYOUT, QuantizedForm, deploy_form
from dvfl_mobile.quantization.scales import ACTIVATION_RANGE, Scale

_ANNOTATION = "quantization_annotation"
_FLOAT_BYTES = 4


class Unit(Document):
    """A part that is int8, or kept float, as a whole.

    Attributes:
        name: the path of an operator or block; of a group, what its products have in common, then each.
        products: paths of its int8 products, in the network's order; exactly what `keep` takes.
        edges: names of the tensors that are no longer rounded once it is float.
        multiply_adds: of its products, for one clip.
        int8_bytes, float_bytes: its weights in int8, and in float32; without scales and biases.
    """

    kind: Literal["operator", "group", "block"]
    name: str
    products: tuple[str, ...]
    edges: tuple[str, ...]
    multiply_adds: int
    int8_bytes: int
    float_bytes: int

    @property
    def block(self) -> str:
        """The block that it lies in, or that it begins in."""
        return block_of(self.products[0])

    @property
    def weights(self) -> tuple[str, ...]:
        """Names of the weights that are no longer rounded once it is float."""
        return tuple(f"{path}.weight" for path in self.products)


@dataclass(frozen=True)
class Plan:
    """Which tensors are int8 for one choice of products that stay float.

    Attributes:
        products: the int8 products, in order.
        scales: of every tensor that is rounded, by the edge's name.
        quantizes: float tensors that are quantized for int8 readers.
        dequantizes: int8 tensors that are dequantized for float readers.
        outputs: nodes whose result is rounded, each with its scale; not those that pass integers on.
        inputs: (float source, int8 reader): what only that reader sees rounded.
        readers: the nodes of the int8 products.
        joined: int8 products by the int8 tensors that join them.
    """

    products: tuple[Product, ...]
    scales: Mapping[str, Scale]
    quantizes: int
    dequantizes: int
    outputs: Mapping[Node, Scale]
    inputs: Mapping[tuple[Node, Node], Scale]
    readers: frozenset[Node]
    joined: tuple[tuple[str, ...], ...]

    @property
    def boundaries(self) -> int:
        """Quantize and dequantize operators together; weights don't count."""
        return self.quantizes + self.dequantizes


class Parts:
    """A quantized form taken apart: any of its products can be float, and everything else stays as it is.

    A product that is made float gets the student's own weights back. For a form of quantization-aware training,
    whose weights are known in int8 alone, it keeps those, and only its activations are no longer rounded.
    """

    def __init__(self, form: QuantizedForm) -> None:
        self.form = form
        self.rounded: Mapping[str, Tensor] = dict(form.form(LAYOUT).named_parameters())
        student = deploy_form(form.student, form.settings.per_token_scaled)
        self.floats: Mapping[str, Tensor] = (
            self.rounded if form.settings.method == "qat" else dict(student.named_parameters())
        )
        self._graph = traces.exported(student, form.clip.shape)
        self._nodes: list[Node] = list(self._graph.graph.nodes)
        self._constants = {node: _attribute(self._graph, node) for node in self._nodes if node.op == "get_attr"}
        self._places = {node: index for index, node in enumerate(self._nodes)}
        self._last = {
            node: max((self._places[user] for user in node.users), default=-1)
            for node in self._nodes
            if node.op != "get_attr"
        }
        # What an edge is called depends on who reads it first: known by every name that it may come to have.
        known = form.settings.scales
        self._scales = {f"{path}:in": known[reads] for path, reads in form.settings.products.items()} | known
        self.all = self.plan(())

    def plan(self, kept: Collection[str]) -> Plan:
        """Annotate the network with `kept`, paths of products, float."""
        specs = _Naming()
        for node in self._nodes:
            node.meta.pop(_ANNOTATION, None)
        quantizer = FocalModulationQuantizer(specs, (*self.form.settings.keep, *kept))
        quantizer.annotate(self._graph)
        return _plan(self._nodes, quantizer.products, specs, self._scales)

    def alone(self, products: Collection[str]) -> Plan:
        """The plan in which only `products` are int8."""
        return self.plan([product.path for product in self.all.products if product.path not in products])

    def units(self, kind: Literal["operator", "group", "block"]) -> tuple[Unit, ...]:
        """All units of a kind, in the network's order."""
        paths = [product.path for product in self.all.products]
        if kind == "operator":
            named: dict[str, tuple[str, ...]] = {path: (path,) for path in paths}
        elif kind == "group":
            named = {_common_name(members): members for members in self.all.joined}
        else:
            named = {}
            for path in paths:
                named[block_of(path)] = (*named.get(block_of(path), ()), path)
        return tuple(self._unit(kind, name, products) for name, products in named.items())

    def _unit(self, kind: Literal["operator", "group", "block"], name: str, products: tuple[str, ...]) -> Unit:
        plan = self.plan(products)
        reads = {product.path: product.reads for product in self.all.products}
        left = {reads[product.path] for product in plan.products} | plan.scales.keys()
        work = self.multiply_adds
        size = sum(self.rounded[f"{path}.weight"].numel() for path in products)
        return Unit(
            kind=kind,
            name=name,
            products=products,
            edges=tuple(key for key in self.all.scales if key not in left),
            multiply_adds=sum(work[path] for path in products),
            int8_bytes=size,
            float_bytes=size * _FLOAT_BYTES,
        )

    @property
    def multiply_adds(self) -> Mapping[str, int]:
        """Of every int8 product, for one clip: outputs, times the inputs that each sums over."""
        return {
            module_path(node): node.meta["val"].numel() * prod(self._constants[node.all_input_nodes[1]].shape[1:])
            for node in self._nodes
            if node in self.all.readers
        }

    def start_of(self, plan: Plan) -> int:
        """The place of the first node that does anything else than in the float network."""
        touched = [*plan.outputs, *plan.readers, *(source for source, _ in plan.inputs)]
        return min((self._places[node] for node in touched), default=len(self._nodes))

    def logits(self, plan: Plan, clip: Any) -> Tensor:
        """Logits, `(1,K)`, of a clip `(T,3,H,W)` of 0-255 pixels."""
        return self.run(plan, self.begin(clip))

    def begin(self, clip: Any) -> Run:
        """A run that stands before the first node."""
        return Run(0, {next(n for n in self._nodes if n.op == "placeholder"): pixels_of(clip)})

    def run(self, plan: Plan, run: Run) -> Tensor:
        """Run to the end, from where `run` stands, which stays there."""
        last = self.advance(plan, run, len(self._nodes))
        (output,) = [node for node in self._nodes if node.op == "output"]
        return last.values[output]

    def advance(self, plan: Plan, run: Run, place: int) -> Run:
        """Another run of the same clip, further on: before the node at `place`."""
        values = dict(run.values)
        with torch.no_grad():
            for index in range(run.place, max(place, run.place)):
                self._step(self._nodes[index], plan, values)
                for source in self._nodes[index].all_input_nodes:
                    if self._last.get(source) == index:
                        values.pop(source, None)
        return Run(max(place, run.place), values)

    def _step(self, node: Node, plan: Plan, values: dict[Node, Tensor]) -> None:
        if node.op == "output":
            (source,) = node.all_input_nodes
            values[node] = values[source]
        elif node.op == "placeholder":
            if node in plan.outputs:
                values[node] = _round(values[node], plan.outputs[node])
        elif node.op == "call_function":

            def read(source: Node) -> Tensor:
                if source.op == "get_attr":
                    return self._constant(source, is_rounded=node in plan.readers)
                scale = plan.inputs.get((source, node))
                return values[source] if scale is None else _round(values[source], scale)

            arguments, options = map_arg((node.args, node.kwargs), read)
            assert callable(node.target)
            result = node.target(*arguments, **options)
            values[node] = _round(result, plan.outputs[node]) if node in plan.outputs else result

    def _constant(self, node: Node, *, is_rounded: bool) -> Tensor:
        parameters = self.rounded if is_rounded else self.floats
        return parameters.get(str(node.target), self._constants[node])


@dataclass(frozen=True)
class Run:
    """How far a clip has come through the network: before the node at `place`, with the values still to be read."""

    place: int
    values: Mapping[Node, Tensor]


def block_of(path: str) -> str:
    """`stage2.block1` of `stage2.block1.mlp.fc1`; `stem` of `stem.proj`."""
    words = path.split(".")
    return ".".join(words[: 2 if words[0].startswith("stage") else 1])


class _Naming:
    """Makes specs that are good for nothing but to tell which edge each is of."""

    def __init__(self) -> None:
        self.edges: dict[int, str] = {}
        self._made: list[QuantizationSpec] = []

    def activation(self, key: str, *, is_pixels: bool) -> QuantizationSpec:  # noqa: ARG002 (all are known by name)
        spec = self.weight(key)
        self.edges[id(spec)] = key
        return spec

    def weight(self, key: str) -> QuantizationSpec:  # noqa: ARG002 (weights are known by their products)
        spec = QuantizationSpec(torch.int8, lambda: None)
        self._made.append(spec)  # an id is only good for as long as its object lives
        return spec

    def edge(self, spec: QuantizationSpecBase) -> str:
        """The edge that a spec stands for, or shares."""
        while isinstance(spec, SharedQuantizationSpec):
            shared: Any = spec.edge_or_node
            if isinstance(shared, Node):
                spec = shared.meta[_ANNOTATION].output_qspec
            else:
                source, reader = shared
                spec = reader.meta[_ANNOTATION].input_qspec_map[source]
        return self.edges[id(spec)]


def _plan(nodes: Sequence[Node], products: Sequence[Product], specs: _Naming, scales: Mapping[str, Scale]) -> Plan:
    """What an annotated graph comes to."""
    # What gives no int8 reads raw pixels, which rounding leaves as they are.
    known = {node: node.meta[_ANNOTATION] for node in nodes if _ANNOTATION in node.meta}
    annotated = {node: annotation for node, annotation in known.items() if annotation.output_qspec is not None}
    keys = {node: specs.edge(annotation.output_qspec) for node, annotation in annotated.items()}
    inputs = {
        (source, node): specs.edge(spec)
        for node, annotation in annotated.items()
        for source, spec in annotation.input_qspec_map.items()
        if source.op != "get_attr" and source not in keys
    }
    dequantized = {
        keys[node]
        for node in keys
        for user in node.users
        if user not in annotated or node not in annotated[user].input_qspec_map
    }
    return Plan(
        products=tuple(products),
        scales={key: scales[key] for key in specs.edges.values()},
        quantizes=len({source for source, _ in inputs}),
        dequantizes=len(dequantized),
        outputs={
            node: scales[key]
            for node, key in keys.items()
            if not isinstance(annotated[node].output_qspec, SharedQuantizationSpec)
        },
        inputs={pair: scales[key] for pair, key in inputs.items()},
        readers=frozenset(node for node in annotated if node.target in PRODUCTS),
        joined=_joined(list(annotated)),
    )


def _joined(nodes: Sequence[Node]) -> tuple[tuple[str, ...], ...]:
    """The paths of products, by the set of int8 nodes that read from one another; in order."""
    sets: dict[Node, list[Node]] = {node: [node] for node in nodes}
    for node in nodes:
        for source in node.all_input_nodes:
            if source in sets and sets[source] is not sets[node]:
                mine, other = sets[node], sets[source]
                other += mine
                for moved in mine:
                    sets[moved] = other
    order = {node: index for index, node in enumerate(nodes)}
    distinct: Iterable[list[Node]] = {id(members): members for members in sets.values()}.values()
    found = [
        tuple(module_path(node) for node in sorted(members, key=order.__getitem__) if node.target in PRODUCTS)
        for members in distinct
    ]
    places = {module_path(node): order[node] for node in nodes if node.target in PRODUCTS}
    return tuple(sorted(found, key=lambda members: places[members[0]]))


def _common_name(products: Sequence[str]) -> str:
    """`stage0.block0.mlp.fc1+fc2` of two products there."""
    if len(products) == 1:
        return products[0]
    split = [path.split(".") for path in products]
    common = 0
    while len({tuple(words[: common + 1]) for words in split}) == 1:
        common += 1
    return ".".join((*split[0][:common], "+".join(".".join(words[common:]) for words in split)))


def _attribute(graph: GraphModule, node: Node) -> Tensor:
    parent, _, name = str(node.target).rpartition(".")
    value: Tensor = getattr(graph.get_submodule(parent), name)
    return value


def _round(values: Tensor, scale: Scale) -> Tensor:
    return rounded(values, scale.scale, scale.zero_point, *ACTIVATION_RANGE)
