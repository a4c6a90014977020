"""ExecuTorch's passes over a graph, without those that look for what the graph doesn't have.

Each traces the whole graph anew, and most look for one kind of operator: without it, what they give is what they were
given. Written against executorch 1.5, which the extra pins; a pass that isn't listed always runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any
from unittest import mock

_LOOKS_FOR: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        # to the edge dialect, and from there
        "NormalizeTransposePass": ("aten.t.default",),
        "RemoveMixedTypeOperators": ("add", "mul", "sub", "div", "minimum"),
        "MemoryFormatOpsPass": ("_to_copy", "empty", "clone"),
        "LegalizePortableDimOrderPass": ("avg_pool2d", "expand_copy", "mean", "sum"),
        # to XNNPACK
        "DimOrderOpsRevertPass": ("dim_order",),
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


def _is_a_view(node: Any) -> bool:
    return bool(getattr(node.target, "is_view", False))


def _takes_a_symbol(node: Any) -> bool:
    return any(type(value).__name__.startswith("Sym") for value in _inputs(node))


def _mixes_types(node: Any) -> bool:
    types = {getattr(value, "dtype", None) for value in _inputs(node)}
    return len(types) > 1 or None in types or len(node.all_input_nodes) != len(node.args)


def _is_marked(node: Any) -> bool:
    return any("custom" in source.meta for source in node.all_input_nodes)


def _is_constant(node: Any) -> bool:
    return all(source.op == "get_attr" for source in node.all_input_nodes)


def _convolves_a_sequence(node: Any) -> bool:
    return bool(node.meta["val"].dim() == 3)  # over one dimension it gives (N, C, L)


_ALSO: Mapping[str, Callable[[Any], bool]] = MappingProxyType(
    {
        "ReplaceBrokenOpsWithFunctionalOpsPass": _is_a_view,
        "SymToTensorPass": _takes_a_symbol,
        "RemoveMixedTypeOperators": _mixes_types,
        "PropagateCustomMetaPass": _is_marked,
        "ConstPropPass": _is_constant,
        "Conv1dUnsqueezePass": _convolves_a_sequence,
    }
)
"""What one of those operators, or one of all where none are named, must be besides."""


@contextmanager
def passes_that_apply() -> Iterator[None]:
    """Within the block, ExecuTorch leaves out passes and decompositions that would change nothing of their graph."""
    from executorch.backends.xnnpack import _passes
    from torch.export import ExportedProgram
    from torch.fx.passes.infra.pass_base import PassBase, PassResult

    transform, call = _passes._transform, PassBase.__call__

    def transform_if_it_applies(program: Any, run: Any) -> Any:
        return transform(program, run) if _applies(type(run).__name__, program.graph) else program

    def call_if_it_applies(run: Any, module: Any) -> Any:
        return call(run, module) if _applies(type(run).__name__, module.graph) else PassResult(module, False)

    with (
        mock.patch.object(_passes, "_transform", transform_if_it_applies),
        mock.patch.object(PassBase, "__call__", call_if_it_applies),
        mock.patch.object(ExportedProgram, "run_decompositions", _that_apply(ExportedProgram.run_decompositions)),
    ):
        yield


def _that_apply(run_decompositions: Any) -> Any:
    """The first decomposition also makes a graph free of side effects; a later one only has its table.

    ExecuTorch takes the same short cut for backends that keep none of torch's operators whole.
    """
    from executorch.exir.graph_module import contains_any_call_fn_target_op

    last: Any = None

    def run(program: Any, table: Any = None, **options: Any) -> Any:
        nonlocal last
        if program is last and table and not contains_any_call_fn_target_op(program.graph_module, table):
            return program
        last = run_decompositions(program, table, **options)
        return last

    return run


def _applies(name: str, graph: Any) -> bool:
    if name not in _LOOKS_FOR and name not in _ALSO:
        return True
    found: Sequence[Any] = [node for node in graph.nodes if node.op == "call_function"]
    if name in _LOOKS_FOR:
        found = [node for node in found if _has(str(node.target), _LOOKS_FOR[name])]
    return any(map(_ALSO[name], found)) if name in _ALSO else bool(found)


def _has(operator: str, parts: tuple[str, ...]) -> bool:
    return any(part in operator for part in parts)


def _inputs(node: Any) -> list[Any]:
    return [source.meta.get("val") for source in node.all_input_nodes]
