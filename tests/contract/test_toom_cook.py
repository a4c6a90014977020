"""Temporal convolutions by Toom-Cook in artifacts: the small network, with layers of 128 channels taken for large."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from dvfl_mobile.artifacts.make import Artifact, Wanted, standing_artifact
from dvfl_mobile.artifacts.reference import save_reference
from dvfl_mobile.documents import Verdict
from dvfl_mobile.gpu_delegate.report import gpu_delegate_report
from dvfl_mobile.gpu_delegate.rules import Fate
from dvfl_mobile.locating.document import Cause, Location
from dvfl_mobile.model import toom_cook
from dvfl_mobile.pipeline.check import check
from dvfl_mobile.pipeline.convert import convert
from dvfl_mobile.pipeline.plan import make_plan
from dvfl_mobile.quantization.graph import traces
from dvfl_mobile.targets import every, target_named
from tests import exports
from tests.conversions import Make, conversions_folder, recorded_graphs, remembered_flatbuffers, skip_without
from tests.located import locate_in
from tests.planting import Fault, planted
from tests.quantized import small_student

LAYERS = [f"stage3.block0.modulation.focal_temporal{level}" for level in (0, 1)]
PAIRS = [("executorch", "fp32"), ("tflite", "fp32")]
each = pytest.mark.parametrize(("target", "recipe"), PAIRS)
each_target = pytest.mark.parametrize("target", ["executorch", "tflite"])


@dataclass(frozen=True)
class Pair:
    """The same artifact by Toom-Cook and without, its layers being too small; and ExecuTorch's graphs of the first as
    they were serialized.
    """

    by_toom_cook: Artifact
    direct: Artifact
    graphs: tuple[Any, ...]


MakePair = Callable[[str, str], Pair]


@pytest.fixture(autouse=True)
def _exported_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is located in one test and in another is held against the same network."""
    monkeypatch.setattr(traces, "exported", exports.remembered)


@contextmanager
def small_layers_as_large() -> Iterator[None]:
    """Where forms are made. Not around the whole file: `made` makes what is shared with others."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(toom_cook, "LEAST_CHANNELS", 128)
        patch.setattr(toom_cook, "LEAST_PLACES", 4)
        yield


@pytest.fixture(scope="module")
def pair(made: Make, tmp_path_factory: pytest.TempPathFactory) -> MakePair:
    @cache
    def make(target: str, recipe: str) -> Pair:
        skip_without(target)
        plan = make_plan([target], recipe, tmp_path_factory.mktemp("toom-cook") / "out")
        with small_layers_as_large(), recorded_graphs(target) as graphs:
            [by_toom_cook] = convert(small_student(), plan)
        return Pair(by_toom_cook, made(target, recipe).artifact, tuple(graphs))

    return make


@each
def test_it_computes_what_pytorch_computes(pair: MakePair, target: str, recipe: str) -> None:
    report = check(pair(target, recipe).by_toom_cook)
    assert report.verdict is Verdict.PASS, report.reasons


@each
def test_the_manifest_says_how_and_the_delegate_takes_all_in_one_call(pair: MakePair, target: str, recipe: str) -> None:
    made, direct = pair(target, recipe).by_toom_cook.manifest, pair(target, recipe).direct.manifest
    assert made.temporal == "toom-cook"
    assert made.delegation.calls == direct.delegation.calls
    assert made.delegation.outside == direct.delegation.outside
    assert (made.delegation.calls, made.delegation.outside) == (1, 0)
    assert modules(made.delegation.rows, ".product") == {
        f"{layer}.product{index}" for layer in LAYERS for index in range(6 if layer.endswith("0") else 8)
    }
    assert not modules(direct.delegation.rows, ".product")
    assert modules(made.delegation.rows, "stage2.block1.modulation.focal_temporal") == {
        f"stage2.block1.modulation.focal_temporal{level}" for level in (0, 1)
    }, "not large enough"


@each_target
def test_there_are_fewer_multiply_adds_and_more_bytes(pair: MakePair, target: str) -> None:
    made, direct = pair(target, "fp32").by_toom_cook.manifest, pair(target, "fp32").direct.manifest
    channels, places = 128, 4
    # Six and eight matrices in place of three and five, each for two tiles of four moments.
    weights = 6 * channels**2
    work = places * channels**2 * (8 * (3 + 5) - 2 * (6 + 8))
    # Beside them, what rows of Bᵀ read: five of four moments and one of three; five and four, and six of six.
    work -= places * channels * 2 * ((5 * 4 + 3) + (5 + 4 + 6 * 6))
    assert direct.delegation.multiply_adds - made.delegation.multiply_adds == work
    # Constants and operators beside the weights: well below a quarter of a megabyte.
    assert 0 <= made.size_bytes - direct.size_bytes - 4 * weights < 2**18


def test_executorch_turns_nothing_but_the_clip(pair: MakePair) -> None:
    [graph] = pair("executorch", "fp32").graphs
    kinds = [type(node.xnode_union).__name__ for node in graph.xnodes]
    assert kinds.count("XNNStaticTranspose") == 1


def test_the_gpu_delegate_s_latest_rules_take_all_of_it(pair: MakePair) -> None:
    artifact = pair("tflite", "fp32").by_toom_cook
    latest, _ = gpu_delegate_report(artifact.manifest, artifact.folder).editions
    assert not latest.of(Fate.REFUSED, Fate.UNKNOWN, Fate.BREAKS)
    assert (latest.pieces, latest.share) == (1, 1.0)


@each
def test_locating_knows_every_operator_and_finds_nothing(pair: MakePair, target: str, recipe: str) -> None:
    found = located(pair(target, recipe).by_toom_cook)
    assert (found.place, found.beyond, found.unmatched) == (None, (), ())
    assert {f"{layer}.{part}" for layer in LAYERS for part in ("input0", "product1")} <= {
        row.module for row in found.rows
    }


@each_target
def test_locating_names_a_product_whose_weight_is_wrong(pair: MakePair, tmp_path: Path, target: str) -> None:
    module = "stage3.block0.modulation.focal_temporal1.product3"
    with small_layers_as_large():
        form = small_student().form("means", "toom-cook")
    weight = form.get_parameter(f"{module}.weight").numpy()
    fault = Fault(target, "scaled weight", module)
    place = located(planted(fault, pair(target, "fp32").by_toom_cook, weight, -1, "", 0.0, tmp_path)).place
    assert place is not None
    assert (place.error.module, place.cause) == (module, Cause.FACTOR)


def test_an_artifact_that_stands_is_another_if_it_was_made_the_other_way(pair: MakePair, tmp_path: Path) -> None:
    target, artifact = target_named("tflite"), pair("tflite", "fp32").by_toom_cook
    plan, out = make_plan(["tflite"], "fp32", tmp_path), artifact.folder.parents[2]
    reference = save_reference(small_student(), out)
    wanted = Wanted(small_student(), target, plan.recipe, out, reference, target.minimum_os, "toom-cook")
    assert standing_artifact(wanted) is not None
    assert standing_artifact(replace(wanted, temporal="direct")) is None


def test_a_plan_without_it_makes_the_smaller_file(
    pair: MakePair, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    direct = pair("tflite", "fp32").direct
    # Any other network than the one that was converted directly is converted anew.
    with small_layers_as_large(), remembered_flatbuffers(conversions_folder(tmp_path_factory), "tflite"):
        [made] = convert(small_student(), make_plan(["tflite"], "fp32", tmp_path, toom_cook=False))
    assert made.manifest.temporal == "direct"
    assert [entry.sha256 for entry in made.manifest.files] == [entry.sha256 for entry in direct.manifest.files]


def test_no_other_recipe_or_target_has_it() -> None:
    having = {
        (target.name, recipe) for target in every() for recipe in target.meanings if is_by_toom_cook(target, recipe)
    }
    assert having == {*PAIRS, ("tflite", "fp16")}


def is_by_toom_cook(target: Any, recipe: str) -> bool:
    return bool(target.temporal_of(recipe) == "toom-cook")


def modules(rows: Any, part: str) -> set[str]:
    return {row.module for row in rows if part in row.module}


def located(artifact: Artifact) -> Location:
    with small_layers_as_large():
        return locate_in(artifact)
