"""Exports and passes with fewer steps: the same bytes, in fewer of them; and a release that changed is noticed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from dvfl_mobile.model.architecture import Architecture
from dvfl_mobile.model.default import seeded_student
from dvfl_mobile.pipeline.convert import convert
from dvfl_mobile.pipeline.plan import make_plan
from tests.conversions import skip_without

TINY = Architecture(embed_dim=16, depths=(1,), focal_levels=(1,), focal_windows=(3,), num_classes=5, img_size=64)


@contextmanager
def as_they_are() -> Iterator[None]:
    """In place of both savings."""
    yield


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """How often torch asks for every operator, copies a node's origin, and runs each of XNNPACK's passes."""
    from executorch.backends.xnnpack import _passes
    from torch._export import utils
    from torch.fx import traceback

    counts: Counter[str] = Counter()

    def counting(name: str, function: Any) -> Any:
        def call(*arguments: Any) -> Any:
            counts[name] += 1
            return function(*arguments)

        return call

    def transform(program: Any, run: Any) -> Any:
        counts[type(run).__name__] += 1
        return original(program, run)

    original = _passes._transform
    materialize = counting("operators", utils._materialize_cpp_cia_ops)
    origins = counting("origins", traceback.NodeSource.__init__)
    with (
        mock.patch.object(_passes, "_transform", transform),
        mock.patch.object(utils, "_materialize_cpp_cia_ops", materialize),
        mock.patch.object(traceback.NodeSource, "__init__", origins),
    ):
        yield counts


def made(folder: Path) -> tuple[bytes, Counter[str]]:
    with counted() as counts:
        [artifact] = convert(seeded_student(TINY), make_plan(["executorch"], "fp32", folder))
    return (artifact.folder / artifact.manifest.file).read_bytes(), counts


def test_fewer_steps_give_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    skip_without("executorch")
    lean, steps = made(tmp_path / "lean")
    monkeypatch.setattr("dvfl_mobile.model.lean.lean_exports", as_they_are)
    monkeypatch.setattr("dvfl_mobile.converters.executorch.passes_that_apply", as_they_are)
    plain, all_steps = made(tmp_path / "plain")
    assert lean == plain
    assert steps["operators"] == 1
    assert all_steps["operators"] > 100
    assert set(steps) < set(all_steps)
    assert {"ConvertToLinearPass", "ChannelsLastTaggedReshapePass"} <= set(steps)
    assert {"ConvertToSDPAPass", "Conv1dUnsqueezePass", "FuseActivationPass"} <= set(all_steps) - set(steps)


def test_an_origin_is_copied_by_reference() -> None:
    from copy import deepcopy

    from torch.fx.traceback import NodeSource

    from dvfl_mobile.model.lean import lean_exports

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
        ("aten.mul.Tensor", set()),
    ],
)
def test_a_pass_runs_where_its_operator_is(operator: str, runs: set[str]) -> None:
    from dvfl_mobile.converters.xnnpack_passes import _LOOKS_FOR, _applies

    node = mock.Mock(op="call_function", target=f"<EdgeOpOverload: {operator}>")
    program = mock.Mock(graph=mock.Mock(nodes=[node]))
    assert {name for name in _LOOKS_FOR if _applies(name, program)} == runs
    assert _applies("APassOfTomorrow", program)
