"""In what numbers quantization-aware training multiplies: float32, or bfloat16 where the processor has it."""

from __future__ import annotations

from collections.abc import Container
from typing import Any, Literal

import torch
from torch import Tensor
from torch.fx import GraphModule

from dvfl_mobile.delegation import module_path
from dvfl_mobile.quantization.annotate import PRODUCTS

Precision = Literal["float32", "bfloat16"]

# As torch names them: x86 has AVX-512 BF16 or AMX, Arm has BF16 by NEON or SVE.
_INSTRUCTIONS = ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16")


def chosen_precision(asked: Literal["auto", "float32", "bfloat16"], device: torch.device) -> Precision:
    """What was asked for; for `auto`, bfloat16 where `device` has instructions for it."""
    if asked != "auto":
        return asked
    return "bfloat16" if _has_bfloat16(device) else "float32"


def autocast(precision: Precision, device: torch.device) -> torch.autocast:
    """The block in which products are computed in `precision`."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


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


def _has_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # torch before 2.13 can't say, and is not taken to have it: where it is emulated, it is slower than float32.
    tell: Any = getattr(torch.cpu, "get_capabilities", dict)
    capabilities = tell()
    return any(capabilities.get(name, False) for name in _INSTRUCTIONS)
