"""Exports and passes with fewer steps: the same bytes, in fewer of them; and a release that changed is noticed."""

from __future__ import annotations

import gc
import inspect
import pickle
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from copy import deepcopy
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest

from dvfl_mobile.model.default import seeded_student
from dvfl_mobile.pipeline.convert import convert
from dvfl_mobile.pipeline.plan import make_plan
from tests.checkpoints import TINY
from tests.conversions import skip_without


class SymInt:
    """As torch's own, which a graph of one shape has none of."""


def tensor(kind: str) -> Any:
    return SimpleNamespace(dtype=kind)


def a_node(
    operator: str = "aten.gelu.default",
    *,
    values: Sequence[Any] = (tensor("float"), tensor("float")),
    numbers: tuple[float, ...] = (),
    is_view: bool = False,
    custom: bool = False,
    source: str = "placeholder",
    dimensions: int = 4,
) -> Any:
    """A node with two inputs."""
    meta = {"custom": 1} if custom else {}
    sources = [SimpleNamespace(op=source, meta={"val": value, **meta}) for value in values]
    target = mock.Mock(is_view=is_view)
    target.__str__ = lambda _: operator  # type: ignore[assignment]
    value = mock.Mock()
    value.dim.return_value = dimensions
    return SimpleNamespace(
        op="call_function", target=target, args=(*sources, *numbers), all_input_nodes=sources, meta={"val": value}
    )


@contextmanager
def as_they_are(**_: object) -> Iterator[None]:
    """In place of the savings."""
    yield


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """How often torch asks for every operator, copies a node's origin, reads a traceback, decomposes, and runs each of
    the passes; and how often a graph is traced by a pass, checked, and what was lowered of it run.
    """
    from executorch.exir.pass_base import ExportPass
    from executorch.exir.verification.arg_validator import EdgeOpArgValidator
    from torch._export import utils
    from torch.export import ExportedProgram
    from torch.fx import traceback
    from torch.fx.passes.infra.pass_base import PassBase
    from torch.utils._traceback import CapturedTraceback

    counts: Counter[str] = Counter()

    def counting(name: str, function: Any) -> Any:
        def call(*arguments: Any) -> Any:
            counts[name] += 1
            return function(*arguments)

        return call

    def call(run: Any, module: Any) -> Any:
        counts[type(run).__name__] += 1
        return original(run, module)

    original = PassBase.__call__
    decompose = counting("decompositions", ExportedProgram.run_decompositions)
    materialize = counting("operators", utils._materialize_cpp_cia_ops)
    origins = counting("origins", traceback.NodeSource.__init__)
    delegate = import_module("torch._higher_order_ops.executorch_call_delegate")
    with (
        mock.patch.object(PassBase, "__call__", call),
        mock.patch.object(ExportedProgram, "run_decompositions", decompose),
        mock.patch.object(utils, "_materialize_cpp_cia_ops", materialize),
        mock.patch.object(traceback.NodeSource, "__init__", origins),
        mock.patch.object(CapturedTraceback, "summary", counting("tracebacks", CapturedTraceback.summary)),
        mock.patch.object(ExportPass, "call", counting("traces", ExportPass.call)),
        mock.patch.object(EdgeOpArgValidator, "run", counting("checks", EdgeOpArgValidator.run)),
        mock.patch.object(delegate, "call_delegate_cpu", counting("delegates", delegate.call_delegate_cpu)),
    ):
        yield counts


def made(folder: Path) -> tuple[bytes, Counter[str]]:
    with counted() as counts:
        [artifact] = convert(seeded_student(TINY), make_plan(["executorch"], "fp32", folder))
    return (artifact.folder / artifact.manifest.file).read_bytes(), counts


def test_fewer_steps_give_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    skip_without("executorch")
    lean, steps = made(tmp_path / "lean")
    monkeypatch.setattr("dvfl_mobile.model.lean.exports.lean_exports", as_they_are)
    monkeypatch.setattr("dvfl_mobile.converters.executorch.passes_that_apply", as_they_are)
    plain, all_steps = made(tmp_path / "plain")
    assert lean == plain
    assert steps["operators"] == 1
    assert all_steps["operators"] > 100
    assert steps["tracebacks"] < 10  # for torch's own logs
    assert all_steps["tracebacks"] > 100
    assert steps["decompositions"] == 1 < all_steps["decompositions"]
    assert (steps["traces"], steps["checks"], steps["delegates"]) == (5, 4, 0)
    assert all(all_steps[name] > steps[name] for name in ("traces", "checks", "delegates"))
    assert set(steps) < set(all_steps)
    assert {"ConvertToLinearPass", "ChannelsLastTaggedReshapePass"} <= set(steps)
    assert {"ConvertToSDPAPass", "Conv1dUnsqueezePass", "FuseActivationPass"} <= set(all_steps) - set(steps)
    assert {"NormalizeTransposePass", "SymToTensorPass", "ConstPropPass"} <= set(all_steps) - set(steps)


def test_fewer_steps_give_the_same_tflite_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    skip_without("tflite")
    from litert_torch.fx_infra import _canonicalize_pass

    traced = mock.Mock(wraps=_canonicalize_pass._safe_run_decompositions)
    monkeypatch.setattr(_canonicalize_pass, "_safe_run_decompositions", traced)

    def made_so(folder: Path) -> bytes:
        [artifact] = convert(seeded_student(TINY), make_plan(["tflite"], "fp32", folder))
        return (artifact.folder / artifact.manifest.file).read_bytes()

    lean = made_so(tmp_path / "lean")
    assert traced.safe_run_decompositions.call_count == 0
    monkeypatch.setattr("dvfl_mobile.converters.tflite.traced_by_the_lowering_alone", as_they_are)
    assert made_so(tmp_path / "plain") == lean
    assert traced.safe_run_decompositions.call_count == 1


def test_a_core_ml_program_validated_seldom_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    skip_without("coreml")
    from coremltools.converters.mil.mil.program import Function

    def made_so(folder: Path) -> tuple[object, ...]:
        checked.clear()
        [artifact] = convert(seeded_student(TINY), make_plan(["coreml"], "fp32", folder))
        weights = next(artifact.folder.rglob("weight.bin")).read_bytes()
        return artifact.manifest.delegation, weights

    def counting(function: Any, **options: Any) -> None:
        checked.extend([function] if options.get("force_validate") else [])
        validate(function, **options)

    checked: list[Any] = []
    validate = Function.validate
    monkeypatch.setattr(Function, "validate", counting)
    lean, few = made_so(tmp_path / "lean"), len(checked)
    monkeypatch.setattr("dvfl_mobile.converters.coreml.seldom_validated", as_they_are)
    assert made_so(tmp_path / "plain") == lean
    assert 0 < few < len(checked) / 5


def test_executorch_s_table_of_operators_reads_the_same() -> None:
    skip_without("executorch")
    from importlib import resources

    from ruamel.yaml import YAML

    from dvfl_mobile.converters.operator_table import read_fast

    text = resources.files("executorch.exir.dialects.edge").joinpath("edge.yaml").read_text(encoding="utf-8")
    text = text[: text.index("- func:", len(text) // 8)]
    slow = YAML(typ="safe").load(text)
    with read_fast():
        fast = YAML(typ="safe").load(text)
        other = YAML().load(text)
    assert slow
    assert repr(fast) == repr(slow)
    assert type(other) is not type(fast), "only what is asked to be safe is read so"


def test_a_graph_becomes_code_when_somebody_asks() -> None:
    import torch

    from dvfl_mobile.model.lean.lazily import code_when_it_is_asked_for

    def squared() -> Any:
        graph = torch.fx.Graph()
        x = graph.placeholder("x")
        graph.output(graph.call_function(torch.add, (x, x)))
        module = torch.fx.GraphModule(torch.nn.Module(), graph)
        [add] = [node for node in module.graph.nodes if node.op == "call_function"]
        add.target = torch.mul
        return module

    three = torch.tensor(3.0)
    with code_when_it_is_asked_for():
        modules = [squared() for _ in range(6)]
        called, printed, pickled, copied, signed, afterwards = modules
        for module in modules:
            assert "add" in module.code
            module.recompile()
            assert "_code" not in vars(module)
        assert called(three) == 9
        assert [*inspect.signature(signed.forward).parameters] == ["x"]
        assert "mul" in printed.code
        assert "mul" in str(printed)
        assert pickle.loads(pickle.dumps(pickled))(three) == 9
        assert deepcopy(copied)(three) == 9
    assert afterwards(three) == 9
    assert "mul" in afterwards.code


def test_what_quantizes_is_remembered_by_its_shape() -> None:
    skip_without("executorch")
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torchao.quantization.pt2e.quantizer import QuantizationAnnotation  # noqa: F401 (it brings the operators)

    from dvfl_mobile.model.lean.exports import lean_exports

    quantize = torch.ops.quantized_decomposed.quantize_per_tensor.default
    FakeTensorMode.cache_clear()
    with lean_exports(), FakeTensorMode() as mode:
        shapes = [quantize(torch.empty(n, 3), 0.1, 0, -128, 127, torch.int8).shape[0] for n in (2, 2, 4, 2)]
        assert mode.in_kernel_invocation is False
    assert shapes == [2, 2, 4, 2]
    assert "non-builtin" not in FakeTensorMode.cache_info().bypasses


def test_a_square_mixes_no_types() -> None:
    from dvfl_mobile.converters.executorch_passes import _applies

    square = a_node("aten.mul.Tensor")
    square.args = (square.args[0], square.args[0])
    square.all_input_nodes = square.args[:1]
    assert not _applies("RemoveMixedTypeOperators", mock.Mock(nodes=[square]))


def test_a_program_is_made_free_of_side_effects_at_once_where_it_is_decomposed_again() -> None:
    skip_without("executorch")
    import torch

    from dvfl_mobile.converters.executorch_passes import _that_apply

    class Adds(torch.nn.Module):
        def forward(self, clip: Any) -> Any:
            return clip.clone().add_(1)

    def kept(_program: Any, _table: Any) -> str:
        return "decomposed"

    pure = torch.export.export(torch.nn.Linear(2, 2), (torch.zeros(1, 2),))
    impure = torch.export.export(Adds(), (torch.zeros(2),))
    assert _that_apply(kept, True)(pure, {}) is pure
    assert _that_apply(kept, True)(impure, {}) == "decomposed"
    assert _that_apply(kept, False)(pure, {}) == "decomposed"


def test_a_graph_is_traced_and_checked_anew_once_it_has_changed() -> None:
    skip_without("executorch")
    import torch
    from executorch.exir.pass_base import ExportPass
    from torch.fx.passes.infra.pass_base import PassResult

    from dvfl_mobile.converters.executorch_passes import _unless_just_checked, _unless_just_traced

    class Plain(ExportPass):
        """A pass that changes nothing on the way."""

    class Special(ExportPass):
        def call_operator(self, *arguments: Any) -> Any:
            return super().call_operator(*arguments)

    seen: list[str] = []

    def trace(run: Any, module: Any) -> Any:
        seen.append(type(run).__name__)
        return PassResult(module, True)

    graph = torch.fx.Graph()
    x = graph.placeholder("x")
    add = graph.call_function(torch.add, (x, 1))
    graph.output(add)
    module = torch.fx.GraphModule(torch.nn.Module(), graph)
    traced, checked = _unless_just_traced(trace), _unless_just_checked(lambda _: seen.append("checked"))
    for run in (Plain(), Plain(), Special(), Plain()):
        assert traced(run, module).graph_module is module
        checked(module)
    assert seen == ["Plain", "checked", "Special"]
    add.args = (x, 2)
    traced(Plain(), module)
    checked(module)
    assert seen[3:] == ["Plain", "checked"]


def test_garbage_is_looked_for_seldom_meanwhile() -> None:
    from dvfl_mobile.model.lean.exports import lean_exports
    from dvfl_mobile.model.lean.garbage import SELDOM

    before = gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    try:
        with lean_exports():
            assert gc.get_threshold() == (*SELDOM, 10)
        assert gc.get_threshold() == (700, 10, 10)
        with suppress(ZeroDivisionError), lean_exports():
            _ = 1 // 0
        assert gc.get_threshold() == (700, 10, 10)
    finally:
        gc.set_threshold(*before)


def test_garbage_is_not_looked_for_in_what_was_there_before() -> None:
    from dvfl_mobile.model.lean.exports import lean_exports
    from dvfl_mobile.model.lean.garbage import FROZEN_BY_PYTHON

    were_frozen = gc.get_freeze_count() > 0
    gc.unfreeze()
    try:
        with lean_exports():
            assert gc.get_freeze_count() > 10_000
            with lean_exports():
                pass
            assert gc.get_freeze_count() > 10_000
        assert gc.get_freeze_count() < FROZEN_BY_PYTHON
        gc.freeze()
        with lean_exports():
            pass
        assert gc.get_freeze_count() > 10_000, "somebody else froze them"
    finally:
        gc.unfreeze()
        if were_frozen:
            gc.freeze()


def test_an_origin_is_copied_by_reference() -> None:
    from torch.fx.traceback import NodeSource

    from dvfl_mobile.model.lean.exports import lean_exports

    link = NodeSource(None, "a pass")
    assert deepcopy(link) is not link
    with lean_exports():
        assert deepcopy(link) is link
    assert deepcopy(link) is not link


@pytest.mark.parametrize(
    ("operator", "runs"),
    [
        ("aten.relu.default", {"FuseActivationPass"}),
        ("aten.cat.default", {"DecomposeConcatenate"}),
        ("aten.t.default", {"NormalizeTransposePass"}),
        ("aten.softmax.int", {"ConvertToSDPAPass"}),
    ],
)
def test_a_pass_runs_where_its_operator_is(operator: str, runs: set[str]) -> None:
    from dvfl_mobile.converters.executorch_passes import _ALSO, _LOOKS_FOR, _applies

    graph = mock.Mock(nodes=[a_node(operator)])
    assert {name for name in {*_LOOKS_FOR, *_ALSO} if _applies(name, graph)} == runs
    assert _applies("APassOfTomorrow", graph)


@pytest.mark.parametrize(
    ("name", "without", "with_it"),
    [
        ("ReplaceBrokenOpsWithFunctionalOpsPass", {"is_view": False}, {"is_view": True}),
        ("SymToTensorPass", {}, {"values": [SymInt()]}),
        ("RemoveMixedTypeOperators", {"operator": "aten.mul.Tensor"}, {"values": [tensor("half"), tensor("float")]}),
        ("RemoveMixedTypeOperators", {"operator": "aten.mul.Tensor"}, {"numbers": (2.0,)}),
        ("RemoveMixedTypeOperators", {"values": [tensor("half"), tensor("float")]}, {"operator": "aten.add.Tensor"}),
        ("PropagateCustomMetaPass", {}, {"custom": True}),
        ("ConstPropPass", {}, {"source": "get_attr"}),
        ("Conv1dUnsqueezePass", {"operator": "aten.convolution.default"}, {"dimensions": 3}),
    ],
)
def test_a_pass_runs_where_an_operator_is_as_it_wants(
    name: str, without: dict[str, Any], with_it: dict[str, Any]
) -> None:
    from dvfl_mobile.converters.executorch_passes import _applies

    assert not _applies(name, mock.Mock(nodes=[a_node(**without)]))
    assert _applies(name, mock.Mock(nodes=[a_node(**{**without, **with_it})]))
