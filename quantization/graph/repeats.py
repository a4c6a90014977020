"""Leave out of a graph that only runs what it would do to a tensor a second time."""

from __future__ import annotations

from torch.fx import GraphModule, Node
from torchao.quantization.pt2e.fake_quantize import FakeQuantizeBase
from torchao.quantization.pt2e.observer import ObserverBase

from dvfl_mobile.quantization.graph.annotate import PASSING


def without_repeats(graph: GraphModule) -> GraphModule:
    """A graph to run: no value is watched, or rounded, that was by the same observer or edge already.

    Converters want a quantize before and after each reshape. Run as it stands, a graph would watch and round the same
    numbers up to three times, which changes nothing but the time. The graph itself is changed.
    """
    for node in list(graph.graph.nodes):
        if _watcher(graph, node) is not None and _was_seen(graph, node):
            node.replace_all_uses_with(node.args[0])
            graph.graph.erase_node(node)
    graph.recompile()
    return graph


def _was_seen(graph: GraphModule, node: Node) -> bool:
    source = node.all_input_nodes[0]
    while source.target in PASSING:
        source = source.all_input_nodes[0]
    return _watcher(graph, source) is _watcher(graph, node)


def _watcher(graph: GraphModule, node: Node) -> FakeQuantizeBase | ObserverBase | None:
    module = graph.get_submodule(str(node.target)) if node.op == "call_module" else None
    return module if isinstance(module, FakeQuantizeBase | ObserverBase) else None
