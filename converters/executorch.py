"""ExecuTorch: one `.pte` for XNNPACK, on Android, iOS and any Linux."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dvfl_mobile.converters.base import Request, module_path
from dvfl_mobile.converters.xnnpack_graph import rewriting
from dvfl_mobile.delegation import Delegation, Operation

METADATA_METHOD = "dvfl_mobile_metadata"
"""The program's method that returns classes and ClipSpec as JSON; it takes nothing and runs nothing."""


def lower(request: Request, path: Path) -> Delegation:
    """Lower the deploy form to XNNPACK and write it to `path`."""
    import torch
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    program = torch.export.export(request.form, (torch.zeros(request.shape),))
    with rewriting(half=request.half):
        edge = to_edge_transform_and_lower(
            program,
            partitioner=[XnnpackPartitioner()],
            constant_methods={METADATA_METHOD: request.metadata},
        )
    operations = list(_operations(edge.exported_program().graph_module))
    with path.open("wb") as file:
        edge.to_executorch().write_to_file(file)
    calls = sum(operation.operator == "delegate" for operation in operations)
    return Delegation.of("XNNPACK", calls, (o for o in operations if o.operator != "delegate"))


def _operations(graph_module: Any) -> Iterator[Operation]:
    """Every operator: those left in the graph, and those inside of each call of the delegate."""
    for node in graph_module.graph.nodes:
        if node.op != "call_function" or "getitem" in str(node.target):
            continue
        if "executorch_call_delegate" in str(node.target):
            yield Operation("delegate", "", True)
            lowered = getattr(graph_module, node.args[0].target)
            for inner in lowered.original_module.graph_module.graph.nodes:
                if inner.op == "call_function":
                    yield _operation(inner, delegated=True)
        else:
            yield _operation(node, delegated=False)


def _operation(node: Any, *, delegated: bool) -> Operation:
    return Operation(_operator_name(node), module_path(node), delegated, _multiply_adds(node))


def _operator_name(node: Any) -> str:
    """`linear` of `aten::linear`."""
    schema = getattr(node.target, "_schema", None)
    return str(schema.name).split("::")[-1] if schema is not None else str(node.target)


def _multiply_adds(node: Any) -> int:
    """Multiply-adds of a product or a convolution; zero for anything else.

    For each output: as many as its filter holds values, over its output channels.
    """
    filters = {"linear": 1, "addmm": 2, "mm": 1, "bmm": 1, "convolution": 1}
    operator = _operator_name(node)
    position = filters.get(operator)
    if position is None:
        return 0
    outputs = math.prod(node.meta["val"].shape)
    weight = tuple(node.args[position].meta["val"].shape)
    return outputs * (weight[-2] if operator in ("addmm", "mm", "bmm") else math.prod(weight[1:]))
