"""Units of a quantized form, and what quantizing each alone costs."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from dvfl_mobile.errors import CheckpointError, InputError, MissingDependencyError, UsageError
from dvfl_mobile.files import CACHE_VARIABLE
from dvfl_mobile.model.default import seeded_student
from dvfl_mobile.quantization.calibrate import ptq
from dvfl_mobile.quantization.graph import graphs
from dvfl_mobile.quantization.graph.forms import QuantizedForm, deploy_form
from dvfl_mobile.quantization.mixed.sensitivity import (
    Figures,
    Sensitivity,
    figures_of,
    logits_alone,
    logits_of,
    measure_sensitivity,
)
from dvfl_mobile.quantization.mixed.units import Parts, block_of
from dvfl_mobile.quantization.settings import CalibrationFacts
from dvfl_mobile.report import sensitivity as report
from tests.checkpoints import SMALL
from tests.quantized import with_scale
from tests.threads import threads

pytestmark = pytest.mark.usefixtures("remembered_exports")

FACTS = CalibrationFacts(source="noise", is_noise=True, clips=2, classes=0, seed=0, observer="minmax", sha256="0" * 64)
CLIPS = np.random.RandomState(0).randint(0, 256, (2, 8, 3, 64, 64)).astype(np.uint8)
PER_TOKEN_SCALED = ("stage0.block0.modulation.proj", "stage2.block1.modulation.h")
MODULATION = "stage0.block0.modulation"
PLANTED = "stage1.block0.mlp.fc2"


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Any:
    with threads(1):
        yield


@pytest.fixture(scope="module")
def form(tmp_path_factory: pytest.TempPathFactory) -> QuantizedForm:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CACHE_VARIABLE, str(tmp_path_factory.mktemp("cache")))
        return ptq.quantize(seeded_student(SMALL), "static_wi8_ai8", CLIPS, FACTS)


@pytest.fixture(scope="module")
def per_token_scaled(tmp_path_factory: pytest.TempPathFactory) -> QuantizedForm:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CACHE_VARIABLE, str(tmp_path_factory.mktemp("cache")))
        patch.setattr(ptq, "layers_to_scale", lambda *_: PER_TOKEN_SCALED)
        return ptq.quantize(seeded_student(SMALL), "static_wi8_ai8", CLIPS, FACTS)


@pytest.fixture(scope="module")
def parts(form: QuantizedForm) -> Parts:
    return Parts(form)


@pytest.fixture(scope="module")
def measured(form: QuantizedForm) -> Sensitivity:
    return measure_sensitivity(with_scale(form, f"{PLANTED}:out", 16), CLIPS[:1])


def groups_in(parts: Parts, block: str) -> set[frozenset[str]]:
    return {
        frozenset(path.removeprefix(f"{block}.") for path in unit.products)
        for unit in parts.units("group")
        if unit.block == block
    }


def test_operators_are_the_int8_products_in_order(form, parts):
    assert [unit.name for unit in parts.units("operator")] == list(form.settings.products)


def test_blocks_are_the_networks(parts):
    assert [unit.name for unit in parts.units("block")][:3] == ["stage0.block0", "stage0.downsample", "stage1.block0"]


def test_every_product_is_in_one_unit_of_each_kind(form, parts):
    for kind in ("operator", "group", "block"):
        paths = [path for unit in parts.units(kind) for path in unit.products]
        assert sorted(paths) == sorted(form.settings.products)


def test_products_joined_by_int8_tensors_are_one_group(parts):
    assert groups_in(parts, "stage0.block0") == {
        frozenset({"modulation.context", "modulation.focal0", "modulation.focal1"}),
        frozenset({"modulation.context_temporal", "modulation.focal_temporal0", "modulation.focal_temporal1"}),
        frozenset({"modulation.query", "modulation.h", "modulation.h_temporal", "modulation.proj"}),
        frozenset({"mlp.fc1", "mlp.fc2"}),
    }


def test_a_per_token_scaled_projection_is_not_joined_with_what_it_reads(per_token_scaled):
    parts = Parts(per_token_scaled)
    found = groups_in(parts, "stage0.block0")
    assert frozenset({"modulation.proj.linear"}) in found
    assert {frozenset({"modulation.query"}), frozenset({"modulation.h"}), frozenset({"modulation.h_temporal"})} <= found


def test_a_whole_group_in_float_adds_no_boundary_and_a_part_of_one_has_more(parts):
    for unit in parts.units("group"):
        whole = parts.plan(unit.products).boundaries
        assert whole <= parts.all.boundaries
        for path in unit.products if len(unit.products) > 1 else ():
            assert parts.plan([path]).boundaries > whole


def test_a_unit_tells_its_work_its_weights_and_its_edges(parts):
    path = "stage1.downsample.proj"
    (between,) = [unit for unit in parts.units("block") if f"{unit.name}.proj" == path]
    weight = parts.floats[f"{path}.weight"]
    assert between.multiply_adds == 8 * 4 * 4 * weight.numel()
    assert (between.int8_bytes, between.float_bytes) == (weight.numel(), 4 * weight.numel())
    assert between.edges == (f"{path}:in", f"{path}:out")
    assert between.weights == (f"{path}.weight",)


def test_an_edge_that_another_product_still_reads_stays_with_it(parts):
    edges = {unit.name: unit.edges for unit in parts.units("operator")}
    # Query and the temporal context read the same tokens, the first focal convolution the context: all still int8.
    assert edges[f"{MODULATION}.context"] == ()
    assert (
        f"{MODULATION}.context:out"
        in {unit.name: unit.edges for unit in parts.units("group")}[f"{MODULATION}.context+focal0+focal1"]
    )


@pytest.mark.parametrize("which", ["form", "per_token_scaled"])
def test_nothing_float_is_the_fake_quantized_graph_to_the_bit(which, request):
    form = request.getfixturevalue(which)
    parts = Parts(form)
    assert parts.all.scales == form.settings.scales
    assert np.array_equal(logits_of(parts, parts.all, CLIPS), graphs.run_clips(form.graph(), CLIPS).double().numpy())


@pytest.mark.parametrize("which", ["form", "per_token_scaled"])
def test_everything_float_is_the_float_network_to_the_bit(which, request):
    form = request.getfixturevalue(which)
    parts = Parts(form)
    exact = graphs.run_clips(deploy_form(form.student, form.settings.per_token_scaled), CLIPS).double().numpy()
    assert np.array_equal(logits_of(parts, parts.alone(()), CLIPS), exact)
    assert figures_of(exact, exact) == Figures(sqnr_db=float("inf"), agreeing=2, kl_nats=0.0)


def test_parts_alone_share_what_is_float_before_them_and_change_nothing(parts):
    late = frozenset({PLANTED})
    reference, logits = logits_alone(parts, [late, frozenset()], CLIPS)
    assert np.array_equal(logits[late], logits_of(parts, parts.alone(late), CLIPS))
    assert np.array_equal(logits[frozenset()], reference)
    assert figures_of(reference, logits[frozenset()]).sqnr_db == float("inf")
    assert 10 < figures_of(reference, logits[late]).sqnr_db < 80


def test_the_planted_operator_its_group_and_its_block_are_worst(measured):
    worst = [
        min(costs, key=lambda cost: cost.figures.sqnr_db).unit.name for costs in (measured.operators, measured.groups)
    ]
    assert worst == [PLANTED, "stage1.block0.mlp.fc1+fc2"]
    assert min(measured.blocks, key=lambda cost: cost.figures.sqnr_db).unit.name == block_of(PLANTED)


def test_a_block_of_one_operator_is_measured_as_that_operator(measured):
    figures = {cost.unit.name: cost.figures for cost in (*measured.blocks, *measured.operators)}
    assert figures["stage1.downsample"] == figures["stage1.downsample.proj"]


def test_shares_add_up(measured):
    for costs in (measured.blocks, measured.groups, measured.operators):
        assert sum(measured.share(cost.unit) for cost in costs) == pytest.approx(1)


def test_it_is_json_and_back(measured):
    assert Sensitivity.model_validate_json(measured.model_dump_json()) == measured


def test_progress_counts_every_clip_of_every_part(form):
    counts: dict[str, int] = {}

    class Counting:
        def __init__(self, name: str, total: int | None = None, /) -> None:
            self.name, self.total = name, total

        def __enter__(self) -> Any:
            counts["total"], counts["done"] = self.total or 0, 0
            return lambda: counts.update(done=counts["done"] + 1)

        def __exit__(self, *_: object) -> None:
            pass

    measure_sensitivity(form, CLIPS[:1], Counting)
    assert counts["total"] == counts["done"] > len(form.settings.products)


def test_a_trained_form_is_compared_with_its_own_weights_and_says_so(form):
    settings = form.settings.model_copy(update={"method": "qat"})
    trained = QuantizedForm(form.student, settings, form.integers, form.weight_scales, form.floats)
    parts = Parts(trained)
    assert parts.floats is parts.rounded
    found = measure_sensitivity(trained, CLIPS[:1], parts=parts)
    assert found.method == "qat"
    assert "int8 alone" in found.notes[0]


def test_what_can_not_be_measured_is_refused(form):
    with pytest.raises(InputError, match="no clips"):
        measure_sensitivity(form, CLIPS[:0])
    settings = form.settings.model_copy(update={"products": {}, "scales": {}})
    with pytest.raises(UsageError, match="no int8 products"):
        measure_sensitivity(QuantizedForm(form.student, settings, {}, {}, form.floats), CLIPS)


def test_float_logits_that_are_not_finite_are_an_error(form):
    parts = Parts(form)
    parts.floats["head.head.bias"].data[0] = float("nan")
    with pytest.raises(CheckpointError, match="not finite"):
        logits_alone(parts, [frozenset()], CLIPS[:1])


def test_logits_that_are_not_finite_are_the_worst():
    reference = np.eye(3)
    broken = np.array(reference)
    broken[0, 2] = np.nan
    assert figures_of(reference, broken) == Figures(sqnr_db=float("-inf"), agreeing=2, kl_nats=float("inf"))


def test_the_terminal_shows_blocks_and_the_worst_operators(measured):
    console = Console(file=io.StringIO(), width=100)
    console.print(report.terminal(measured))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "the 12 of 63 operators that cost most" in text
    assert text.index("all int8") < text.index(PLANTED)
    assert "stage2.block1" in text


def test_markdown_shows_the_same(measured):
    text = report.markdown(measured)
    assert text.startswith("### Sensitivity\n")
    assert f"| {PLANTED} |" in text


def test_the_plot_is_a_picture(measured, tmp_path):
    pytest.importorskip("matplotlib", reason="plots need matplotlib")
    path = tmp_path / "new" / "sensitivity.png"
    report.plot(measured, path)
    assert path.read_bytes().startswith(b"\x89PNG")
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_the_plot_takes_parts_that_cost_nothing_and_parts_that_break_all(measured, tmp_path):
    pytest.importorskip("matplotlib", reason="plots need matplotlib")
    nothing, all_of_it = (Figures(sqnr_db=sqnr, agreeing=1, kl_nats=0) for sqnr in (float("inf"), float("-inf")))
    first, second, *others = measured.operators
    costs = [first.model_copy(update={"figures": nothing}), second.model_copy(update={"figures": all_of_it}), *others]
    report.plot(measured.model_copy(update={"operators": tuple(costs), "whole": all_of_it}), tmp_path / "plot.png")


def test_without_matplotlib_it_says_which_extra(measured, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with pytest.raises(MissingDependencyError, match=r"dvfl-mobile\[plots\]"):
        report.plot(measured, Path(tmp_path) / "plot.png")
