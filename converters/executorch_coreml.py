"""ExecuTorch converter for Core ML: one `.pte` whose work Core ML does, on iPhones and Macs."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

from dvfl_mobile.converters.base import Lowered, Request
from dvfl_mobile.converters.coreml import seldom_validated
from dvfl_mobile.converters.edge import METADATA_METHOD, delegation_of
from dvfl_mobile.converters.executorch_passes import passes_that_apply
from dvfl_mobile.recipes import RECIPES
from dvfl_mobile.targets import target_named


def lower(request: Request, path: Path) -> Lowered:
    """Lower the deploy form to Core ML within ExecuTorch and write it to `path`."""
    import coremltools as ct
    import torch
    from executorch.backends.apple.coreml.compiler import CoreMLBackend
    from executorch.backends.apple.coreml.partition import CoreMLPartitioner
    from executorch.exir import to_edge_transform_and_lower

    target, recipe = target_named("executorch-coreml"), RECIPES[request.recipe]
    is_half = recipe.computes_in(target.name) == "float16"
    program = torch.export.export(request.form, (torch.zeros(request.shape),))
    specs = CoreMLBackend.generate_compile_specs(
        minimum_deployment_target=getattr(ct.target, request.minimum_os.replace(" ", "")),
        compute_precision=ct.precision.FLOAT16 if is_half else ct.precision.FLOAT32,
    )
    no_debug_info = mock.patch.object(CoreMLBackend, "get_model_debug_info", staticmethod(_drop_debug_info))
    with no_debug_info, passes_that_apply(), seldom_validated():
        edge = to_edge_transform_and_lower(
            program,
            partitioner=[CoreMLPartitioner(compile_specs=specs)],
            constant_methods={METADATA_METHOD: request.metadata},
        )
    # Before the program is written, which changes the graph.
    delegation = delegation_of(
        "Core ML",
        edge.exported_program().graph_module,
        is_static=recipe.is_calibrated,
        undecided=target_named("coreml").undecided,
    )
    with path.open("wb") as file:
        edge.to_executorch().write_to_file(file)
    return Lowered(delegation)


def _drop_debug_info(package: Path) -> None:
    """In place of collecting it from a package that was just saved: a third of a megabyte that no app reads."""
    (package / "executorch_debug_handle_mapping.json").unlink(missing_ok=True)
