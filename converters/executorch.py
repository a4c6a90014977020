"""ExecuTorch converter: one `.pte` for XNNPACK, on Android, iOS and Linux."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from dvfl_mobile.converters.base import Lowered, Request
from dvfl_mobile.converters.edge import METADATA_METHOD, delegation_of
from dvfl_mobile.converters.executorch_passes import passes_that_apply
from dvfl_mobile.converters.xnnpack.half import Halve, compute_floats_in_half, compute_in_half, halve_weights
from dvfl_mobile.converters.xnnpack.rewriting import rewriting
from dvfl_mobile.recipes import RECIPES

_HALVED: Mapping[str, Halve] = {
    "fp16": compute_in_half,
    "weight_only_wf16_afp32": halve_weights,
    "static_wi8_ai8": compute_floats_in_half,
    "auto": compute_floats_in_half,
}


def lower(request: Request, path: Path) -> Lowered:
    """Lower the deploy form to XNNPACK and write it to `path`."""
    import torch
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    program = torch.export.export(request.form, (torch.zeros(request.shape),))
    with rewriting(_HALVED.get(request.recipe)), passes_that_apply(is_decomposed_twice=True):
        edge = to_edge_transform_and_lower(
            program,
            partitioner=[XnnpackPartitioner()],
            constant_methods={METADATA_METHOD: request.metadata},
        )
        # Before the program is written, which changes the graph.
        is_static = RECIPES[request.recipe].is_calibrated
        delegation = delegation_of("XNNPACK", edge.exported_program().graph_module, is_static=is_static)
        with path.open("wb") as file:
            edge.to_executorch().write_to_file(file)
    return Lowered(delegation)
