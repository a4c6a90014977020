"""The plain exports of the official form, and the bare products, for LiteRT and ExecuTorch, as their guides say."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dvfl_mobile.model.network import VideoFocalNet


class Plain(nn.Module):
    """The official form on one clip of normalized pixels, `(T,3,H,W)`, as anyone would export it."""

    def __init__(self, network: VideoFocalNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, clip: Tensor) -> Tensor:
        return self.network(clip[None])


def lower_tflite(module: nn.Module, inputs: tuple[Tensor, ...], path: Path, *, is_quantized: bool = False) -> None:
    """Convert by litert-torch.

    Args:
        is_quantized: whether the module holds quantize operators; they stay float otherwise.
    """
    import litert_torch

    config = None
    if is_quantized:
        from litert_torch.quantize import pt2e_quantizer, quant_config

        static = pt2e_quantizer.get_symmetric_quantization_config(is_per_channel=True)
        config = quant_config.QuantConfig(pt2e_quantizer=pt2e_quantizer.PT2EQuantizer().set_global(static))
    path.write_bytes(litert_torch.convert(module, inputs, quant_config=config).model_content())


def lower_executorch(module: nn.Module, inputs: tuple[Tensor, ...], path: Path) -> None:
    """Lower to XNNPACK; inputs are read where they stand: to copy those of the bare products takes as long as they."""
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import ExecutorchBackendConfig, to_edge_transform_and_lower
    from executorch.exir.passes import MemoryPlanningPass

    program = torch.export.export(module, inputs)
    edge = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
    planned = ExecutorchBackendConfig(memory_planning_pass=MemoryPlanningPass(alloc_graph_input=False))
    path.write_bytes(edge.to_executorch(planned).buffer)


def stock_int8(module: nn.Module, clips: Iterable[Tensor]) -> nn.Module:
    """Static int8 by ExecuTorch's own XNNPACKQuantizer with its defaults, calibrated on clips `(T,3,H,W)`."""
    from executorch.backends.xnnpack.quantizer import xnnpack_quantizer
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    seen = list(clips)
    quantizer = xnnpack_quantizer.XNNPACKQuantizer()
    quantizer.set_global(xnnpack_quantizer.get_symmetric_quantization_config(is_per_channel=True))
    graph: Any = prepare_pt2e(torch.export.export(module, (seen[0],)).module(), quantizer)
    with torch.no_grad():
        for clip in seen:
            graph(clip)
    return convert_pt2e(graph)
