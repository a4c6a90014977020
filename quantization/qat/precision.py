"""What stays float32 where quantization-aware training multiplies in bfloat16."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule

from dvfl_mobile.delegation import module_path
from dvfl_mobile.quantization.graph.annotate import PRODUCTS


def keep_float32(graph: GraphModule, rounded: Container[str]) -> None:
    """Let products that aren't at the paths of `rounded` be float32 in `autocast` too.

    What the quantized network keeps float (means, gates, head) it keeps for its accuracy, and bfloat16 holds no more
    digits than int8. These products are small: in float32 they cost next to nothing.
    """
    for node in graph.graph.nodes:
        if node.op == "call_function" and node.target in PRODUCTS and module_path(node) not in rounded:
            node.target = _IN_FLOAT32[node.target]
    graph.recompile()


def _linear(*arguments: Any) -> Tensor:
    return _in_float32(torch.ops.aten.linear.default, arguments)


def _conv2d(*arguments: Any) -> Tensor:
    return _in_float32(torch.ops.aten.conv2d.default, arguments)


_IN_FLOAT32 = dict(zip(PRODUCTS, (_linear, _conv2d), strict=True))


def _in_float32(product: Any, arguments: tuple[Any, ...]) -> Tensor:
    first: Tensor = arguments[0]
    with torch.autocast(first.device.type, enabled=False):
        return product(*(value.float() if isinstance(value, Tensor) else value for value in arguments))
