"""ExecuTorch's passes over a graph, without those that look for what the graph doesn't have.

Each traces the whole graph anew, and most look for one kind of operator: without it, what they give is what they were
given. Written against executorch 1.5, which the extra pins; a pass that isn't listed always runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
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
    return len(types) > 1 or None in types or any(value not in node.all_input_nodes for value in node.args)


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
def passes_that_apply(*, is_decomposed_twice: bool = False) -> Iterator[None]:
    """Within the block, ExecuTorch leaves out passes, decompositions and checks that would change or find nothing.

    Args:
        is_decomposed_twice: whether each program that is made free of side effects is surely decomposed by a table
            afterwards, which does that too.
    """
    from executorch.backends.xnnpack import _passes
    from executorch.exir import pass_base
    from executorch.exir.verification import verifier
    from torch.export import ExportedProgram
    from torch.fx.passes.infra.pass_base import PassBase, PassResult

    transform, call = _passes._transform, PassBase.__call__

    def transform_if_it_applies(program: Any, run: Any) -> Any:
        return transform(program, run) if _applies(type(run).__name__, program.graph) else program

    def call_if_it_applies(run: Any, module: Any) -> Any:
        return call(run, module) if _applies(type(run).__name__, module.graph) else PassResult(module, False)

    # Its package has an operator of the same name.
    delegate = import_module("torch._higher_order_ops.executorch_call_delegate")
    decompose = _that_apply(ExportedProgram.run_decompositions, is_decomposed_twice)
    check = "_check_tensor_args_matching_op_allowed_dtype"
    with (
        mock.patch.object(_passes, "_transform", transform_if_it_applies),
        mock.patch.object(PassBase, "__call__", call_if_it_applies),
        mock.patch.object(pass_base.ExportPass, "call", _unless_just_traced(pass_base.ExportPass.call)),
        mock.patch.object(ExportedProgram, "run_decompositions", decompose),
        mock.patch.object(verifier, check, _unless_just_checked(getattr(verifier, check))),
        mock.patch.object(delegate, "call_delegate_cpu", _by_shape(delegate.call_delegate_cpu)),
    ):
        yield


def _that_apply(run_decompositions: Any, is_decomposed_twice: bool) -> Any:
    """The first decomposition also makes a graph free of side effects; a later one only has its table.

    ExecuTorch takes the same short cut for backends that keep none of torch's operators whole.
    """
    from executorch.exir.graph_module import contains_any_call_fn_target_op

    last: Any = None

    def run(program: Any, table: Any = None, **options: Any) -> Any:
        nonlocal last
        by_no_table = isinstance(table, dict) and not table
        if by_no_table and is_decomposed_twice and not any(map(_has_side_effects, program.graph.nodes)):
            return program
        if program is last and table and not contains_any_call_fn_target_op(program.graph_module, table):
            return program
        last = run_decompositions(program, table, **options)
        return last

    return run


def _has_side_effects(node: Any) -> bool:
    schema = getattr(node.target, "_schema", None)
    return schema is not None and bool(schema.is_mutable)


def _unless_just_traced(trace: Any) -> Any:
    """Passes that look for something and then trace the graph as it is needn't, where they found nothing since the last
    such pass.
    """
    last: Any = None

    def run(a_pass: Any, module: Any) -> Any:
        from torch.fx.passes.infra.pass_base import PassResult

        nonlocal last
        if last is not None and not _traces_its_own_way(type(a_pass)) and _written(module.graph) == last:
            return PassResult(module, True)
        result = trace(a_pass, module)
        last = _written(result.graph_module.graph)
        return result

    return run


def _traces_its_own_way(kind: type) -> bool:
    from executorch.exir.pass_base import ExportPass

    steps = [name for name in dir(ExportPass) if name.startswith(("call_", "placeholder", "output", "inputs", "on_"))]
    return any(getattr(kind, name) is not getattr(ExportPass, name) for name in steps)


def _unless_just_checked(check: Any) -> Any:
    """A program is checked anew whenever it is put together, whether or not its graph has changed."""
    last: Any = None

    def run(module: Any) -> None:
        nonlocal last
        written = _written(module.graph)
        if written != last:
            check(module)
        last = written

    return run


def _by_shape(call: Any) -> Any:
    """What a part that has been lowered gives to a trace is known from when it was cut out."""
    import torch
    from torch._subclasses.fake_tensor import FakeTensor

    def run(lowered: Any, *arguments: Any) -> Any:
        [output] = [node for node in lowered.original_module.graph.nodes if node.op == "output"]
        values: list[Any] = [getattr(node, "meta", {}).get("val") for node in output.args[0]]
        if not all(isinstance(value, FakeTensor) for value in (*arguments, *values)):
            return call(lowered, *arguments)
        return tuple(torch.empty_strided(value.shape, value.stride(), dtype=value.dtype) for value in values)

    return run


def _written(graph: Any) -> list[Any]:
    """A graph's nodes, each with what it reads, to be compared with those of another time."""
    from torch.fx.node import map_arg

    def name(node: Any) -> str:
        return str(node.name)

    return [(node.name, node.target, map_arg(node.args, name), map_arg(node.kwargs, name)) for node in graph.nodes]


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
