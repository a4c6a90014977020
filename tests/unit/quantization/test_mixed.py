"""Mixed precision: what stays float for a promise, and the form that has it so."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console

from dvfl_mobile.errors import CheckFailedError, UsageError
from dvfl_mobile.files import CACHE_VARIABLE
from dvfl_mobile.model.default import seeded_student
from dvfl_mobile.quantization.calibrate import ptq
from dvfl_mobile.quantization.graph import graphs, stored
from dvfl_mobile.quantization.graph.forms import QuantizedForm, deploy_form
from dvfl_mobile.quantization.mixed.choose import PAIR_WORTH, Mixed, Promise, apply_kept, choose_kept
from dvfl_mobile.quantization.mixed.sensitivity import Figures, figures_of, logits_of
from dvfl_mobile.quantization.mixed.units import Parts
from dvfl_mobile.quantization.scales import RAW_PIXELS
from dvfl_mobile.quantization.settings import CalibrationFacts
from dvfl_mobile.report import sensitivity as report
from tests.checkpoints import SMALL
from tests.quantized import with_scale
from tests.threads import threads

pytestmark = pytest.mark.usefixtures("remembered_exports")

FACTS = CalibrationFacts(source="noise", is_noise=True, clips=2, classes=0, seed=0, observer="minmax", sha256="0" * 64)
CLIPS = np.random.RandomState(0).randint(0, 256, (2, 8, 3, 64, 64)).astype(np.uint8)
MODULATION = "stage0.block0.modulation"
GROUP = tuple(f"{MODULATION}.{name}" for name in ("context", "focal0", "focal1"))


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
def parts(form: QuantizedForm) -> Parts:
    return Parts(form)


@pytest.fixture(scope="module")
def planted(form: QuantizedForm) -> QuantizedForm:
    """The form with one tensor within a group rounded 32 times as coarsely."""
    return with_scale(form, f"{GROUP[1]}:out", 32)


@pytest.fixture(scope="module")
def promised(planted: QuantizedForm) -> float:
    """An SQNR that the planted form reaches with that group float, and not without."""
    parts = Parts(planted)
    reference = logits_of(parts, parts.alone(()), CLIPS)
    before, after = (figures_of(reference, logits_of(parts, parts.plan(kept), CLIPS)) for kept in ((), GROUP))
    assert before.sqnr_db < after.sqnr_db - 3
    return after.sqnr_db - 0.01


@pytest.fixture(scope="module")
def chosen(planted: QuantizedForm, promised: float) -> Mixed:
    return choose_kept(planted, CLIPS, min_sqnr_db=promised)


def test_exactly_the_planted_group_is_kept(chosen, promised):
    assert chosen.kept == GROUP
    assert [unit.kind for unit in chosen.units] == ["group"]
    assert chosen.reached.sqnr_db >= promised > chosen.uniform.sqnr_db
    assert chosen.boundaries <= chosen.uniform_boundaries


def test_what_is_kept_is_accounted_for(planted, chosen):
    work = Parts(planted).multiply_adds
    assert chosen.kept_multiply_adds == sum(work[path] for path in GROUP)
    assert chosen.kept_share == chosen.kept_multiply_adds / sum(work.values())
    assert chosen.bytes_added == 3 * sum(planted.integers[path].numel() for path in GROUP)


def test_every_trial_is_listed_and_none_is_made_twice(chosen):
    first, second, *_ = chosen.trials
    assert (first.what, first.kept, first.is_enough) == ("all int8", (), False)
    assert (second.what, second.is_enough) == ("all float", True)
    assert len({trial.kept for trial in chosen.trials}) == len(chosen.trials)
    assert Mixed.model_validate_json(chosen.model_dump_json()) == chosen


def test_the_kept_form_is_what_was_tried_to_the_bit_and_keeps_the_promise(planted, chosen, promised):
    kept = apply_kept(planted, chosen.kept)
    logits = graphs.run_clips(kept.graph(), CLIPS).double().numpy()
    parts = Parts(planted)
    assert np.array_equal(logits, logits_of(parts, parts.plan(chosen.kept), CLIPS))
    exact = graphs.run_clips(deploy_form(planted.student, planted.settings.per_token_scaled), CLIPS).double().numpy()
    assert figures_of(exact, logits).sqnr_db >= promised
    assert kept.settings.recipe == "auto"
    assert kept.settings.keep == GROUP


@pytest.mark.parametrize(
    "kept",
    [
        (f"{MODULATION}.context",),  # the first reader of the tokens, after which their edge is named
        (f"{MODULATION}.query",),  # a factor of an int8 product of three
        ("stage2.block0.mlp.fc1",),  # what comes after reads a GELU that is float now
        ("stage1.downsample.proj", "stage3.block0.mlp.fc2"),
        (f"{MODULATION}.proj", f"{MODULATION}.h_temporal", "stage0.downsample.proj"),
    ],
    ids=lambda kept: kept[0],
)
def test_any_products_can_be_float_and_the_graph_is_that_of_the_plan(form, parts, kept):
    changed = apply_kept(form, kept)
    logits = graphs.run_clips(changed.graph(), CLIPS[:1]).double().numpy()
    assert np.array_equal(logits, logits_of(parts, parts.plan(kept), CLIPS[:1]))
    assert set(changed.settings.products) == set(form.settings.products) - set(kept)
    assert changed.integers.keys() == changed.weight_scales.keys() == changed.settings.products.keys()
    assert set(changed.settings.products.values()) <= changed.settings.scales.keys()


def test_an_edge_whose_first_reader_is_float_is_named_after_the_next(form):
    before, after = form.settings, apply_kept(form, [f"{MODULATION}.context"]).settings
    old, new = f"{MODULATION}.context:in", f"{MODULATION}.context_temporal:in"
    assert after.scales[new] == before.scales[old]
    assert old not in after.scales
    assert after.products[f"{MODULATION}.query"] == new
    assert after.scales[after.products[f"{MODULATION}.focal0"]] == before.scales[f"{MODULATION}.context:out"]


def test_keeping_one_after_the_other_is_keeping_both(form):
    one, other = f"{MODULATION}.context", f"{MODULATION}.context_temporal"
    twice, once = apply_kept(apply_kept(form, [one]), [other]), apply_kept(form, [one, other])
    assert twice.settings == once.settings
    assert twice.floats.keys() == once.floats.keys()
    assert all(torch.equal(twice.floats[name], once.floats[name]) for name in once.floats)


def test_with_every_product_kept_it_is_the_float_network(form):
    changed = apply_kept(form, tuple(form.settings.products))
    assert changed.settings.scales == {"stem.proj:in": RAW_PIXELS}, "which are integers as they are"
    exact = graphs.run_clips(deploy_form(form.student, form.settings.per_token_scaled), CLIPS[:1])
    assert torch.equal(graphs.run_clips(changed.graph(), CLIPS[:1]), exact)


def test_a_kept_form_is_stored_and_read_back(planted, chosen, tmp_path):
    kept = apply_kept(planted, chosen.kept)
    stored.save_form(kept, tmp_path / "auto.pt2")
    again = stored.load_form(tmp_path / "auto.pt2")
    assert again.settings == kept.settings
    assert all(torch.equal(again.floats[name], kept.floats[name]) for name in kept.floats)


def test_only_an_int8_product_can_be_kept(form):
    with pytest.raises(UsageError, match="no int8 product"):
        apply_kept(form, ["stage0.*"])


def test_a_trained_form_keeps_the_weights_of_its_integers(form):
    settings = form.settings.model_copy(update={"method": "qat"})
    trained = QuantizedForm(form.student, settings, form.integers, form.weight_scales, form.floats)
    path = "stage1.block0.mlp.fc1"
    changed = apply_kept(trained, [path])
    assert torch.equal(
        changed.floats[f"{path}.weight"], form.integers[path].float() * form.weight_scales[path][:, None]
    )
    assert torch.equal(changed.floats[f"{path}.bias"], form.floats[f"{path}.bias"])


def test_one_product_of_a_group_is_kept_where_that_saves_enough(form):
    fc2 = "stage1.block0.mlp.fc2"
    coarse = with_scale(form, f"{fc2}:out", 64)
    parts = Parts(coarse)
    reference = logits_of(parts, parts.alone(()), CLIPS)
    # What it reaches alone, and with its group: which of the two is nearer is chance, on two clips.
    each = [logits_of(parts, parts.plan(kept), CLIPS) for kept in ([fc2], ["stage1.block0.mlp.fc1", fc2])]
    bound = min(figures_of(reference, logits).sqnr_db for logits in each) - 0.01
    mixed = choose_kept(coarse, CLIPS, min_sqnr_db=bound)
    assert mixed.kept == (fc2,)
    added = mixed.boundaries - parts.plan(["stage1.block0.mlp.fc1", fc2]).boundaries
    saved = parts.multiply_adds["stage1.block0.mlp.fc1"] / mixed.multiply_adds
    assert 0 < added * PAIR_WORTH <= saved


def test_what_already_keeps_the_promise_keeps_nothing_float(form):
    mixed = choose_kept(form, CLIPS, min_agreement=0, min_sqnr_db=1)
    assert (mixed.kept, mixed.kept_multiply_adds, mixed.bytes_added) == ((), 0, 0)
    assert [trial.what for trial in mixed.trials] == ["all int8"]
    assert mixed.reached == mixed.uniform


def test_agreement_is_counted_on_the_clips():
    figures = Figures(sqnr_db=20, agreeing=49, kl_nats=0)
    assert Promise(min_agreement=0.98).is_kept(figures, 50)
    assert not Promise(min_agreement=0.981).is_kept(figures, 50)
    assert not Promise(min_agreement=0.98, min_sqnr_db=20.1).is_kept(figures, 50)


def test_a_promise_that_even_float_breaks_fails_with_what_was_reached(form, parts):
    other = -logits_of(parts, parts.alone(()), CLIPS)
    with pytest.raises(
        CheckFailedError, match=r"Even with every product float.*top-1 agrees on 0 of 2 clips"
    ) as caught:
        choose_kept(form, CLIPS, other, min_agreement=1)
    assert caught.value.exit_code == 5


@pytest.mark.parametrize("asked", [{}, {"min_agreement": 1.5}, {"min_sqnr_db": float("nan")}])
def test_promises_that_can_not_be_meant_are_refused(form, asked):
    with pytest.raises(UsageError):
        choose_kept(form, CLIPS, **asked)


def test_reports_say_what_was_kept_and_what_it_cost(chosen):
    console = Console(file=io.StringIO(), width=120)
    console.print(report.kept_terminal(chosen, latency=(1.042, (1.01, 1.08)), sizes=(23_000_000, 23_500_000)))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "3 products" in text
    assert f"{MODULATION}.context+focal0+focal1" in text
    assert "1.042 times" in text
    assert "23.50 MB" in text
    console.print(report.kept_terminal(chosen))
    assert "not measured" in console.file.getvalue()  # type: ignore[attr-defined]


def test_the_plot_marks_what_was_kept(planted, chosen, tmp_path):
    pytest.importorskip("matplotlib", reason="plots need matplotlib")
    from dvfl_mobile.quantization.mixed.sensitivity import measure_sensitivity

    measured = measure_sensitivity(planted, CLIPS[:1])
    report.plot(measured, tmp_path / "one.png")
    report.plot(measured, tmp_path / "other.png", chosen)
    assert (tmp_path / "one.png").read_bytes() != (tmp_path / "other.png").read_bytes()
