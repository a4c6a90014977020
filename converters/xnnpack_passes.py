"""ExecuTorch's passes over XNNPACK's part of a graph, without those that look for what the graph doesn't have.

Each traces the whole graph anew, and most look for one kind of operator: without it, what they give is what they were
given. Written against executorch 1.5, which the extra pins; a pass that isn't listed always runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any
from unittest import mock

_LOOKS_FOR: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "ConvertToUpsampleBilinear2d": ("index",),
        "ConvertToSDPAPass": ("softmax",),
        "FuseBatchNormPass": ("batch_norm",),
        "DecomposeBatchNorm": ("batch_norm",),
        "FuseActivationPass": ("relu", "hardtanh", "clamp"),
        "DecomposeConcatenate": ("cat",),
        "RemoveGetItemPass": ("getitem", "native_", "max_pool"),
        "InsertPadQDQPass": ("pad",),
        "Conv1dUnsqueezePass": ("conv",),
        "PReLUReshapePass": ("prelu",),
    }
)
"""Parts of the names of operators, one of which a graph must have for the pass to change it."""

_OF_SEQUENCES = "Conv1dUnsqueezePass"


@contextmanager
def passes_that_apply() -> Iterator[None]:
    """Within the block, ExecuTorch leaves out the passes that would change nothing of the graph that it has."""
    from executorch.backends.xnnpack import _passes

    transform = _passes._transform

    def transform_if_it_applies(program: Any, run: Any) -> Any:
        return transform(program, run) if _applies(type(run).__name__, program) else program

    with mock.patch.object(_passes, "_transform", transform_if_it_applies):
        yield


def _applies(name: str, program: Any) -> bool:
    wanted = _LOOKS_FOR.get(name)
    if wanted is None:
        return True
    found = [node for node in program.graph.nodes if node.op == "call_function" and _has(str(node.target), wanted)]
    if name == _OF_SEQUENCES:  # a convolution over one dimension gives (N, C, L)
        return any(node.meta["val"].dim() == 3 for node in found)
    return bool(found)


def _has(operator: str, parts: tuple[str, ...]) -> bool:
    return any(part in operator for part in parts)
