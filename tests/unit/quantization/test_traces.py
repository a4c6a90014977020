"""Exports of forms that differ in their weights alone: one trace, and each its own numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from unittest import mock

import pytest
import torch
from torch import nn

from dvfl_mobile.model.default import seeded_student
from dvfl_mobile.model.deploy import DeployForm
from dvfl_mobile.model.rewrites import Standardize
from dvfl_mobile.quantization.graph import traces
from dvfl_mobile.quantization.graph.forms import deploy_form
from tests.checkpoints import SMALL
from tests.quantized import drawn, small_student

SHAPE = small_student().raw_clip.shape


@pytest.fixture(autouse=True)
def _nothing_kept() -> Iterator[None]:
    with mock.patch.dict(traces._last, clear=True):
        yield


@pytest.fixture
def counted() -> Iterator[mock.Mock]:
    """Torch's export, counted."""
    with mock.patch.object(torch.export, "export", wraps=torch.export.export) as export:
        yield export


def test_forms_of_other_weights_share_a_trace_and_compute_with_their_own(counted: mock.Mock) -> None:
    forms = [deploy_form(seeded_student(SMALL, seed=seed), ()) for seed in (0, 1, 0)]
    graphs = [traces.exported(form, SHAPE) for form in forms]
    assert counted.call_count == 1
    clip = torch.from_numpy(drawn()[0]).float()
    logits = [graph(clip) for graph in graphs]
    for form, graph, found in zip(forms, graphs, logits, strict=True):
        assert torch.equal(found, form(clip))
        mine = dict(graph.named_parameters())
        assert mine.keys() == dict(form.named_parameters()).keys()
        assert all(mine[name] is values for name, values in form.named_parameters())
    assert not torch.equal(logits[0], logits[1])


def test_what_is_kept_holds_no_weights() -> None:
    traces.exported(deploy_form(small_student(), ()), SHAPE)
    [kept] = traces._last.values()
    assert {tensor.device.type for tensor in (*kept.parameters(), *kept.buffers())} == {"meta"}


def test_a_graph_that_is_changed_changes_no_other() -> None:
    form = deploy_form(small_student(), ())
    first = traces.exported(form, SHAPE)
    for node in list(first.graph.nodes):
        if node.target == torch.ops.aten.gelu.default:
            node.replace_all_uses_with(node.args[0])
            first.graph.erase_node(node)
    first.recompile()
    clip = torch.from_numpy(drawn()[0]).float()
    assert torch.equal(traces.exported(form, SHAPE)(clip), form(clip))


def _with_eps(form: DeployForm) -> None:
    [norm, *_] = [module for module in form.modules() if isinstance(module, Standardize)]
    norm.eps *= 2


def _with_half_of_it(form: DeployForm) -> None:
    form.half()


def _with_another_kind(form: DeployForm) -> None:
    form.stem.norm = nn.Identity()


@pytest.mark.parametrize("change", [_with_eps, _with_half_of_it, _with_another_kind])
def test_whatever_changes_the_graph_changes_the_structure(change: Callable[[DeployForm], None]) -> None:
    form, other = (deploy_form(small_student(), ()) for _ in range(2))
    assert traces.structure_of(form, SHAPE) == traces.structure_of(other, SHAPE)
    change(other)
    assert traces.structure_of(form, SHAPE) != traces.structure_of(other, SHAPE)
    assert traces.structure_of(form, SHAPE) != traces.structure_of(form, (4, *SHAPE[1:]))


def test_what_is_written_alike_and_may_differ_is_traced_each_time(counted: mock.Mock) -> None:
    form = deploy_form(small_student(), ())
    form.scale = object()  # type: ignore[assignment]
    hooked = deploy_form(small_student(), ())
    hooked.register_forward_pre_hook(lambda _module, inputs: (inputs[0] * 2,))
    for _ in range(2):
        traces.exported(form, SHAPE)
        traces.exported(hooked, SHAPE)
    assert counted.call_count == 4
    assert not traces._last
