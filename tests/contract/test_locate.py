"""Locating names the place of a fault that was planted in an artifact's bytes, in each target."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from torch.fx import Node

from dvfl_mobile.artifacts.make import Artifact
from dvfl_mobile.artifacts.manifest import Manifest, verify
from dvfl_mobile.data.drawn import moving_shapes
from dvfl_mobile.delegation import module_path
from dvfl_mobile.errors import ArtifactError
from dvfl_mobile.locating import locate as locating
from dvfl_mobile.locating.document import Cause
from dvfl_mobile.locating.reference import ReferenceGraph, reference_graph
from dvfl_mobile.quantization.graph import traces
from dvfl_mobile.quantization.graph.forms import deploy_form
from dvfl_mobile.quantization.lowerable import Lowerable
from dvfl_mobile.report import location as report
from dvfl_mobile.runners.base import open_runner
from dvfl_mobile.runners.tracing import Trace, trace, trace_here
from dvfl_mobile.targets import TARGETS, Target, TemporalConvolution, target_named
from tests import exports
from tests.conversions import Make, skip_without
from tests.located import locate_in
from tests.planting import Fault, planted

TRACED = ("executorch", "coreml", "tflite")
UNTOUCHED = (*TRACED, "executorch-coreml")

PLACES = {
    "scaled weight": (
        ("tflite", "stem.proj"),
        ("tflite", "stage2.block1.modulation.h"),
        ("coreml", "stage1.block0.mlp.fc1"),
        ("coreml", "head.head"),
        ("executorch", "stage3.block0.modulation.focal_temporal0"),
        ("executorch", "stage1.downsample.proj"),
    ),
    "swapped axes": (
        ("tflite", "stage0.block0.modulation.context"),
        ("tflite", "stage3.block0.modulation.proj"),
        ("coreml", "stage0.block0.modulation.query"),
        ("coreml", "stage1.block0.modulation.focal1"),
        ("executorch", "stage2.block0.modulation.h_temporal"),
        ("executorch", "stage2.block1.modulation.focal0"),
    ),
    "clipped scale": (
        ("tflite", "stage0.block0.mlp.fc1"),
        ("tflite", "stage3.block0.modulation.focal_temporal1"),
        ("coreml", "stage2.block0.modulation.focal0"),
        ("coreml", "stage3.block0.mlp.fc1"),
        ("executorch", "stage1.block0.modulation.focal_temporal0"),
        ("executorch", "stage2.block1.mlp.fc1"),
    ),
    "wrong epsilon": (
        ("tflite", "stem.norm.standardize"),
        ("tflite", "stage2.block0.mlp.standardize"),
        ("tflite", "stage3.block0.mlp.standardize"),
        ("coreml", "stage1.block0.modulation.standardize"),
        ("coreml", "stage3.block0.mlp.standardize"),
        ("coreml", "head.standardize"),
        ("executorch", "stage0.downsample.norm.standardize"),
        ("executorch", "stage3.block0.mlp.standardize"),
        ("executorch", "head.standardize"),
    ),
}
FAULTS = [Fault(target, kind, module) for kind, places in PLACES.items() for target, module in places]
CAUSES = {
    "scaled weight": Cause.FACTOR,
    "swapped axes": Cause.LAYOUT,
    "clipped scale": Cause.SATURATED,
    "wrong epsilon": Cause.EPSILON,
}

Nodes = Callable[[str, str], tuple[dict[str, np.ndarray], list[Node]]]


@pytest.fixture(scope="module")
def nodes(made: Make) -> Nodes:
    """Weights by name, and nodes of the graph that a target's converter is given."""

    @cache
    def find(target: str, recipe: str) -> tuple[dict[str, np.ndarray], list[Node]]:
        found = made(target, recipe)
        quantization = found.artifact.manifest.quantization
        per_token_scaled = quantization.per_token_scaled if quantization else ()
        form = deploy_form(found.student, per_token_scaled, TARGETS[target].normalizer_of(recipe))
        graph = traces.exported(form, found.artifact.manifest.clip.shape)
        weights = {name: value.detach().numpy() for name, value in form.named_parameters()}
        return weights, [node for node in graph.graph.nodes if node.op == "call_function"]

    return find


@pytest.mark.parametrize("recipe", ["fp32", "fp16", "static_wi8_ai8"])
@pytest.mark.parametrize("target", UNTOUCHED)
def test_nothing_is_found_where_nothing_is_wrong(made: Make, target: str, recipe: str) -> None:
    location = locate_in(made(target, recipe).artifact)
    assert (location.place, location.beyond, location.unmatched) == (None, (), ())
    modules = {row.module for row in location.rows}
    assert {"stem.proj", "stage2.block1.mlp.fc1", "stage3.block0.modulation.focal_temporal1", "head.head"} <= modules


@pytest.mark.parametrize("recipe", ["fp32", "static_wi8_ai8"])
@pytest.mark.parametrize("target", ["executorch", "tflite"])
def test_a_trace_ends_in_what_the_runtime_gives(made: Make, target: str, recipe: str) -> None:
    artifact = made(target, recipe).artifact
    [clip] = moving_shapes(artifact.manifest.clip, 1, seed=5)
    traced = trace(artifact.folder, artifact.manifest, clip.pixels)
    logits = open_runner(artifact.folder, artifact.manifest).run(clip.pixels[None])[0]
    off = np.abs(traced.by_name[traced.output].floats.reshape(-1) - logits).max()
    # Other kernels: in int8 a sum that is off by its last bit rounds to the next integer now and then.
    assert off <= (1e-4 if recipe == "fp32" else 0.1) * np.abs(logits).max()


@pytest.fixture(autouse=True)
def _exported_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """One and the same few networks are what all artifacts here are compared with."""
    monkeypatch.setattr(traces, "exported", exports.remembered)


@pytest.fixture
def _in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """For many faults in a row: no child for each, which would import torch, and no new export of one and the same
    reference. That a child gives the same trace: `test_isolation`, and here the artifacts in which nothing is wrong.
    """

    def traced(folder: Path, manifest: Manifest, clip: np.ndarray) -> Trace:
        verify(manifest, folder)
        return trace_here(str(target_named(manifest.target).tracer), folder / manifest.file, manifest, clip)

    graphs: dict[tuple[str, ...], ReferenceGraph] = {}

    def reference(
        model: Lowerable, target: Target, recipe: str, temporal: TemporalConvolution = "direct"
    ) -> ReferenceGraph:
        weights = b"".join(value.numpy().tobytes() for value in model.student.network.state_dict().values())
        settings = model.quantization
        key = (
            sha256(weights).hexdigest(),
            target.normalizer_of(recipe),
            temporal,
            "" if settings is None else settings.model_dump_json(),
        )
        if key not in graphs:
            graphs[key] = reference_graph(model, target, recipe, temporal)
        return graphs[key]

    monkeypatch.setattr(locating, "trace", traced)
    monkeypatch.setattr(locating, "reference_graph", reference)


@pytest.mark.usefixtures("_in_this_process")
def test_it_names_at_least_19_of_20_places(made: Make, nodes: Nodes, tmp_path: Path) -> None:
    for target in TRACED:
        skip_without(target)
    wrong = {}
    for fault in FAULTS:
        location = locate_in(plant(fault, made, nodes, tmp_path))
        place = location.place
        if place is None or place.error.module != fault.module or place.cause is not CAUSES[fault.kind]:
            wrong[fault] = place and (place.error.module, place.cause, place.evidence)
    assert len(FAULTS) >= 20
    assert len(wrong) <= len(FAULTS) // 20, wrong


def plant(fault: Fault, made: Make, nodes: Nodes, out: Path) -> Artifact:
    found = made(fault.target, fault.recipe)
    weights, graph = nodes(fault.target, fault.recipe)
    norms = list(dict.fromkeys(path for path in map(module_path, graph) if path.endswith("standardize")))
    quantization = found.artifact.manifest.quantization
    return planted(
        fault,
        found.artifact,
        weights.get(f"{fault.module}.weight"),
        norms.index(fault.module) if fault.module in norms else -1,
        next(node.name for node in graph if module_path(node) == fault.module),
        quantization.scales[f"{fault.module}:out"].scale if quantization else 0.0,
        out,
    )


def test_the_report_and_the_picture_show_the_place(made: Make, nodes: Nodes, tmp_path: Path) -> None:
    from rich.console import Console

    location = locate_in(plant(FAULTS[0], made, nodes, tmp_path))
    console = Console(width=100, record=True, file=StringIO())
    console.print(report.terminal(location))
    text = console.export_text()
    assert "It first goes wrong at conv_2d in stem.proj: constant factor." in text
    assert "1.5 times" in text
    assert "standard deviation" in text
    assert json.loads(location.model_dump_json())["place"]["error"]["module"] == "stem.proj"
    pytest.importorskip("matplotlib")
    report.plot(location, tmp_path / "locate.png")
    assert (tmp_path / "locate.png").read_bytes().startswith(b"\x89PNG")


def test_an_artifact_without_its_reference_is_refused(made: Make, nodes: Nodes, tmp_path: Path) -> None:
    artifact = plant(FAULTS[0], made, nodes, tmp_path)
    for path in artifact.folder.parents[1].glob("reference-*"):
        path.unlink()
    with pytest.raises(ArtifactError, match=r"The reference of .* is missing") as caught:
        locate_in(artifact)
    assert "`reference=`" in caught.value.hint
