"""What conversions of small students give to tests: the artifact, its report, and the graphs on the way."""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest

from dvfl_mobile.artifacts.make import Artifact, folder_of, open_artifact
from dvfl_mobile.converters.base import versions
from dvfl_mobile.converters.operator_table import read_fast
from dvfl_mobile.delegation import Delegation, Operation
from dvfl_mobile.errors import MissingDependencyError
from dvfl_mobile.files import directory_lock
from dvfl_mobile.model.student import Student
from dvfl_mobile.parity.report import ParityReport
from dvfl_mobile.pipeline.check import check
from dvfl_mobile.pipeline.convert import convert
from dvfl_mobile.pipeline.plan import make_plan
from dvfl_mobile.recipes import RECIPES
from dvfl_mobile.targets import target_named
from tests.quantized import small_form, small_student
from tests.threads import threads

COMMAND = ["/somewhere/bin/dvfl-mobile", "convert", "--target", "a target"]


@dataclass(frozen=True)
class Made:
    """An artifact of the small student, and its parity report on drawn clips.

    Attributes:
        graphs: ExecuTorch only: XNNPACK's graphs as they were serialized.
        operations: the graph's operators one by one and in order, which the manifest lists in groups.
    """

    student: Student
    artifact: Artifact
    report: ParityReport
    graphs: tuple[Any, ...]
    operations: tuple[Operation, ...]

    @property
    def file(self) -> Path:
        return self.artifact.folder / self.artifact.manifest.file


Make = Callable[[str, str], Made]


def shared_folder(factory: pytest.TempPathFactory, name: str) -> Path:
    """A temporary folder that all of this run's processes have in common."""
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    folder.mkdir(exist_ok=True)
    return folder


def conversions_folder(factory: pytest.TempPathFactory) -> Path:
    """Where `shared_conversions` keeps them."""
    return shared_folder(factory, "conversions")


def shared_conversions(factory: pytest.TempPathFactory) -> Make:
    """A function that gives the small student's artifact for a target and a recipe.

    It is made when a test first asks, by one of this run's processes, and shared by all: who asks meanwhile waits.
    Whoever changes an artifact changes a copy.
    """
    folder = conversions_folder(factory)
    out = folder / "out"

    @cache
    def make(target: str, recipe: str) -> Made:
        skip_without(target)
        beside = folder / f"{target}-{recipe}.pickle"
        with directory_lock(folder / f"{target}-{recipe}", wait=True):
            if not beside.exists():
                with remembered_flatbuffers(folder, target):
                    made = _converted(target, recipe, out)
                incoming = beside.with_suffix(".incoming")
                incoming.write_bytes(pickle.dumps((made.report, made.graphs, made.operations)))
                incoming.rename(beside)
        report, graphs, operations = pickle.loads(beside.read_bytes())
        place = folder_of(small_student(), target_named(target), RECIPES[recipe], out)
        return Made(small_student(), open_artifact(place), report, graphs, operations)

    return make


def _converted(target: str, recipe: str, out: Path) -> Made:
    plan = make_plan([target], recipe, out)
    with threads(1), mock.patch.object(sys, "argv", COMMAND):
        with recorded_graphs(target) as graphs, _recorded_operations() as operations:
            [artifact] = convert(_model_for(recipe), plan)
        return Made(small_student(), artifact, check(artifact), tuple(graphs), tuple(operations))


def _model_for(recipe: str) -> Any:
    if not RECIPES[recipe].is_calibrated:
        return small_student()
    return small_form(keep=("stage3.*",) if recipe == "auto" else (), recipe=recipe)


def skip_without(target: str) -> None:
    """Skip the test where the packages of `target` aren't installed."""
    try:
        versions(target_named(target))
    except MissingDependencyError as error:
        pytest.skip(str(error))


@contextmanager
def recorded_graphs(target: str) -> Any:
    """The graphs that ExecuTorch serializes in this block, after whatever was done to them."""
    graphs: list[Any] = []
    if target != "executorch":
        yield graphs
        return
    with read_fast():
        from executorch.backends.xnnpack import xnnpack_preprocess

    serialize = xnnpack_preprocess.serialize_xnnpack_binary

    def recording(graph: Any, constant_data: Any) -> Any:
        graphs.append(deepcopy(graph))
        return serialize(graph, constant_data)

    with mock.patch.object(xnnpack_preprocess, "serialize_xnnpack_binary", recording):
        yield graphs


@contextmanager
def remembered_flatbuffers(folder: Path, target: str) -> Iterator[None]:
    """litert-torch is asked for each float network once: recipes differ by what is done with the file afterwards.

    Args:
        folder: where what it gave lies for all of this run's processes.
    """
    if target != "tflite" and not target.startswith("qualcomm"):
        yield
        return
    import litert_torch

    from tests import exports

    convert = litert_torch.convert

    def remembering(form: Any, *, sample_kwargs: Any, quant_config: Any) -> Any:
        if quant_config is not None:
            return convert(form, sample_kwargs=sample_kwargs, quant_config=quant_config)
        kept = folder / f"{exports.content(form, sample_kwargs['clip'].shape)}.tflite"
        with directory_lock(folder / kept.stem, wait=True):
            if not kept.exists():
                incoming = kept.with_suffix(".incoming")
                incoming.write_bytes(convert(form, sample_kwargs=sample_kwargs).model_content())
                incoming.rename(kept)
        return SimpleNamespace(model_content=kept.read_bytes)

    with mock.patch.object(litert_torch, "convert", remembering):
        yield


@contextmanager
def _recorded_operations() -> Iterator[list[Operation]]:
    """The operators that a converter finds in this block."""
    found, recorded = Delegation.of, list[Operation]()

    def recording(delegate: str, calls: int | None, operations: Iterable[Operation], undecided: str = "") -> Delegation:
        listed = list(operations)
        recorded[:] = listed
        return found(delegate, calls, listed, undecided)

    with mock.patch.object(Delegation, "of", recording):
        yield recorded
