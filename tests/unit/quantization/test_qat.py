"""Quantization-aware training: what it changes, what it leaves, and that a killed one ends as if nothing had been."""

from __future__ import annotations

import math
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from dvfl_mobile.data.drawn import moving_shapes
from dvfl_mobile.errors import CheckpointError, DvflMobileError, UsageError
from dvfl_mobile.model.default import seeded_student
from dvfl_mobile.quantization.calibrate import ptq
from dvfl_mobile.quantization.graph import graphs
from dvfl_mobile.quantization.graph.forms import QuantizedForm, deploy_form, freeze
from dvfl_mobile.quantization.qat import precision
from dvfl_mobile.quantization.qat import train as qat
from dvfl_mobile.quantization.qat.schedule import QatSchedule
from dvfl_mobile.quantization.settings import CalibrationFacts, QatSettings, Quantization
from dvfl_mobile.training import state as training_state
from dvfl_mobile.training.optimization.gradients import GradientAccumulator
from dvfl_mobile.training.optimization.losses import distillation_loss
from dvfl_mobile.training.optimization.precision import autocast, chosen_precision
from dvfl_mobile.training.state import forget
from tests.checkpoints import TWO_STAGES
from tests.threads import threads

pytestmark = pytest.mark.usefixtures("remembered_exports")

# Two stages of the small network: most of the time goes into exporting it, for each training anew.
CLIPS = 5
LABELS = [0, 1, None, 3, 4]
QUICK = QatSettings(epochs=2, global_batch=3, learning_rate=1e-4, freeze_ranges_after=0.5, precision="float32")


@pytest.fixture(autouse=True)
def _quick() -> Iterator[None]:
    with threads(1):
        yield


@cache
def start() -> QuantizedForm:
    facts = CalibrationFacts(source="shapes", clips=2, classes=0, seed=0, observer="minmax", sha256="0" * 64)
    return ptq.quantize(seeded_student(TWO_STAGES), "static_wi8_ai8", pixels()[:2], facts)


@cache
def pixels() -> np.ndarray:
    return np.stack([clip.pixels for clip in moving_shapes(seeded_student(TWO_STAGES).clip, CLIPS)])


@cache
def trained() -> QuantizedForm:
    """What `QUICK` comes to without a kill."""
    return qat.train(start(), pixels(), LABELS, QUICK, "shapes", None)


def tensors(form: QuantizedForm) -> dict[str, torch.Tensor]:
    parts = {"integers": form.integers, "scales": form.weight_scales, "floats": form.floats}
    return {f"{part}/{name}": values for part, named in parts.items() for name, values in named.items()}


def same(one: QuantizedForm, other: QuantizedForm) -> bool:
    """To the bit."""
    mine, its = tensors(one), tensors(other)
    return one.settings == other.settings and mine.keys() == its.keys() and all(mine[n].equal(its[n]) for n in mine)


class Killed(Exception):  # noqa: N818
    """What stands for a kill, where a real one would cost a second."""


def killed_after(steps: int) -> Callable[..., Any]:
    @contextmanager
    def step(name: str, _total: int | None = None, /) -> Iterator[Callable[[], None]]:
        done = 0

        def advance() -> None:
            nonlocal done
            done += 1
            if name.startswith("train") and done == steps:
                raise Killed

        yield advance

    return step


@pytest.fixture
def losses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The mean loss of each step that is done."""
    seen: list[float] = []
    share = GradientAccumulator.reduce

    def watched(*arguments: Any) -> tuple[float, ...] | None:
        means = share(*arguments)
        seen.append(math.nan if means is None else means[0])
        return means

    monkeypatch.setattr(GradientAccumulator, "reduce", watched)
    return seen


def test_the_loss_is_forward_kl_at_a_temperature_and_the_labels_cross_entropy() -> None:
    logits, teacher = torch.tensor([[0.3, -1.0, 2.0]]), torch.tensor([[1.0, 0.5, -0.2]])
    p, q = (functional.softmax(values.double() / 4, -1) for values in (teacher, logits))
    kl = 16 * (p * (p / q).log()).sum()
    torch.testing.assert_close(distillation_loss(logits, teacher, None, 4.0, 0.1).double(), kl, rtol=1e-5, atol=1e-6)
    expected = kl - 0.1 * functional.log_softmax(logits.double(), -1)[0, 2]
    torch.testing.assert_close(distillation_loss(logits, teacher, 2, 4.0, 0.1).double(), expected, rtol=1e-5, atol=1e-6)


def test_the_loss_is_nothing_where_the_student_says_what_the_teacher_says() -> None:
    teacher = torch.tensor([[1.0, 0.5, -0.2]])
    assert float(distillation_loss(teacher + 3, teacher, None, 10.0, 0.1)) == pytest.approx(0, abs=1e-4)


def test_training_follows_the_teacher_where_rounding_is_coarse(losses: list[float]) -> None:
    # Steps 16 times too long: then what training gains (a fifth to a third is left, for 14 to 17 alike) stands clear of
    # the rounding itself, whose chance differs between processors.
    coarse = {
        key: s.model_copy(update={"scale": s.scale * (1 if key == "stem.proj:in" else 16)})
        for key, s in start().settings.scales.items()
    }
    settings = start().settings.model_copy(update={"scales": coarse})
    form = freeze(
        start().student, settings, dict(deploy_form(start().student, settings.per_token_scaled).named_parameters())
    )
    plan = QUICK.model_copy(update={"epochs": 20, "global_batch": CLIPS, "freeze_ranges_after": 0.0})
    qat.train(form, pixels(), [None] * CLIPS, plan, "shapes", None)
    assert np.mean(losses[-3:]) < 0.5 * losses[0]


def test_training_learns_labels(losses: list[float]) -> None:
    plan = QUICK.model_copy(update={"epochs": 6, "global_batch": CLIPS, "learning_rate": 1e-3, "label_weight": 10.0})
    qat.train(start(), pixels(), [4, 3, 2, 1, 0], plan, "shapes", None)
    assert losses[-1] < 0.7 * losses[0]


def test_what_it_makes_is_a_form_that_says_how_it_was_trained() -> None:
    form = trained()
    assert form.settings.method == "qat"
    assert form.settings.training is not None
    assert form.settings.training.model_dump() == {
        "epochs": 2, "steps": 4, "global_batch": 3, "learning_rate": 1e-4, "temperature": 10.0, "label_weight": 0.1,
        "processes": 1, "precision": "float32", "source": "shapes", "clips": CLIPS,
    }  # fmt: skip
    assert form.settings.calibration == start().settings.calibration
    assert not same(form, start())
    clip = torch.from_numpy(pixels()[0]).float()
    with torch.no_grad():
        rounded = form.graph()(clip)
        assert rounded.isfinite().all()
        weights_alone = form.form("products")(clip)
    # The form differs from its graph by the rounding of activations, and by nothing else.
    assert float((rounded - weights_alone).norm() / weights_alone.norm()) < 0.3


def test_the_same_seed_gives_the_same_to_the_bit() -> None:
    assert same(trained(), qat.train(start(), pixels(), LABELS, QUICK, "shapes", None))


def test_another_seed_gives_another_order() -> None:
    other = QUICK.model_copy(update={"seed": 1})
    assert not same(trained(), qat.train(start(), pixels(), LABELS, other, "shapes", None))


def test_constants_are_as_they_were() -> None:
    before = dict(deploy_form(start().student, start().settings.per_token_scaled).named_parameters())
    constant = [name for name in before if name.endswith((".mean.weight", ".mean_temporal.weight"))]
    assert len(constant) > 5
    assert all(trained().floats[name].equal(before[name]) for name in constant)
    others = [name for name in trained().floats if name not in constant]
    assert not any(trained().floats[name].equal(before[name]) for name in others)


def test_every_weight_gets_a_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    without: list[str] = []
    step = qat._Trainer.step

    def watched(self: Any, *arguments: Any, **options: Any) -> None:
        optimizer, learning = self._updater._optimizer, self._updater.parameters
        zero_grad = optimizer.zero_grad
        optimizer.zero_grad = lambda **_: without.extend(n for n, p in learning.items() if not p.grad.any())
        step(self, *arguments, **options)
        zero_grad()

    monkeypatch.setattr(qat._Trainer, "step", watched)
    plan = QUICK.model_copy(update={"epochs": 1, "global_batch": CLIPS, "label_weight": 1.0})
    for numbers in ("float32", "bfloat16"):
        qat.train(start(), pixels(), [0] * CLIPS, plan.model_copy(update={"precision": numbers}), "shapes", None)
    assert without == []


def test_ranges_move_until_they_are_frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    history: list[dict[str, Any]] = []
    step = qat._Trainer.step

    def watched(self: Any, *arguments: Any, **options: Any) -> None:
        step(self, *arguments, **options)
        history.append({key: edge.known for key, edge in self.edges.items()})

    monkeypatch.setattr(qat._Trainer, "step", watched)
    form = qat.train(start(), pixels(), LABELS, QUICK, "shapes", None)
    assert len(history) == 4
    before = start().settings.scales
    assert sum(history[0][key] != before[key] for key in before) > 0.9 * len(before)
    assert sum(history[1][key] != history[0][key] for key in before) > 0.9 * len(before)
    assert history[1] == history[2] == history[3] == form.settings.scales
    assert form.settings.scales["stem.proj:in"] == before["stem.proj:in"]


def test_ranges_may_stay_as_calibrated() -> None:
    plan = QUICK.model_copy(update={"epochs": 1, "freeze_ranges_after": 0.0})
    assert qat.train(start(), pixels(), LABELS, plan, "shapes", None).settings.scales == start().settings.scales


def test_nothing_in_the_network_behaves_otherwise_in_training() -> None:
    form, settings = deploy_form(start().student, start().settings.per_token_scaled), start().settings
    graph = graphs.rounded(form, start().clip.shape, settings.scales, settings.keep, {}, training=True)
    assert {name: values.shape for name, values in graph.named_parameters()} == {
        name: values.shape for name, values in form.named_parameters()
    }
    names = {str(node.target) for node in graph.graph.nodes}
    assert not any("batch_norm" in name or "dropout" in name for name in names)


def test_labels_that_are_none_or_no_class_are_left_out() -> None:
    def result(labels: list[int | None], **changes: Any) -> QuantizedForm:
        return qat.train(start(), pixels(), labels, QUICK.model_copy(update={"epochs": 1, **changes}), "shapes", None)

    nothing: list[int | None] = [None] * CLIPS
    unlabelled = result(nothing)
    assert same(unlabelled, result([99, -1, None, 5, None]))
    assert not same(unlabelled, result([0] * CLIPS))
    zero = result([0] * CLIPS, label_weight=0.0)
    assert all(values.equal(tensors(unlabelled)[name]) for name, values in tensors(zero).items())


@pytest.mark.parametrize("steps", [1, 3, 4])
def test_a_killed_training_goes_on_to_the_same_result(
    steps: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_state, "_SAVE_EVERY_S", 0.0)
    state = tmp_path / "new" / "state"
    with pytest.raises(Killed):
        qat.train(start(), pixels(), LABELS, QUICK, "shapes", state, killed_after(steps))
    assert same(trained(), qat.train(start(), pixels(), LABELS, QUICK, "shapes", state))
    forget(state)
    assert list(state.parent.iterdir()) == []


def test_between_epochs_the_state_is_written_by_time(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with pytest.raises(Killed):
        qat.train(start(), pixels(), LABELS, QUICK, "shapes", state, killed_after(1))
    assert not state.exists()
    with pytest.raises(Killed):
        qat.train(start(), pixels(), LABELS, QUICK, "shapes", state, killed_after(3))
    assert state.exists()  # of the first epoch's end, a step before
    assert same(trained(), qat.train(start(), pixels(), LABELS, QUICK, "shapes", state))


_TRAINS = """
import sys, torch
from pathlib import Path
sys.path[:0] = [{unit!r}]
import test_qat as t
torch.set_num_threads(1)
t.training_state._SAVE_EVERY_S = 0.0
t.qat.train(t.start(), t.pixels(), t.LABELS, t.QUICK.model_copy(update=dict(epochs=50)), "shapes", Path(sys.argv[1]))
"""


def test_a_training_killed_for_real_leaves_a_state_to_go_on_with(tmp_path: Path) -> None:
    state = tmp_path / "state"
    program = _TRAINS.format(unit=str(Path(__file__).parent))
    process = subprocess.Popen([sys.executable, "-W", "ignore", "-c", program, str(state)], stderr=subprocess.PIPE)
    try:
        patience = time.monotonic() + 60
        while not state.exists():
            assert process.poll() is None, process.stderr and process.stderr.read().decode()
            assert time.monotonic() < patience
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    whole = QUICK.model_copy(update={"epochs": 50})
    with pytest.raises(CheckpointError, match="another training"):
        qat.train(start(), pixels(), LABELS, QUICK, "shapes", state)
    with pytest.raises(Killed):
        qat.train(start(), pixels(), LABELS, whole, "shapes", state, killed_after(12))
    went_on = training_state.load_safetensors(state)
    forget(state)
    with pytest.raises(Killed):
        qat.train(start(), pixels(), LABELS, whole, "shapes", state, killed_after(12))
    unbroken = training_state.load_safetensors(state)
    assert int(unbroken["steps_done"]) == 12
    assert went_on.keys() == unbroken.keys()
    assert all(went_on[name].equal(values) for name, values in unbroken.items())


def test_the_state_of_another_training_is_refused(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with pytest.raises(Killed):
        qat.train(start(), pixels(), LABELS, QUICK, "shapes", state, killed_after(2))
    before = state.read_bytes()
    unlabelled: list[int | None] = [None] * CLIPS
    for clips, labels, changes in (
        (pixels(), LABELS, {"learning_rate": 2e-4}),
        (pixels(), LABELS, {"precision": "bfloat16"}),
        (pixels()[::-1], LABELS, {}),
        (pixels(), unlabelled, {}),
    ):
        with pytest.raises(CheckpointError, match="another training"):
            qat.train(start(), clips, labels, QUICK.model_copy(update=changes), "shapes", state)
    assert state.read_bytes() == before


def test_a_damaged_state_is_refused(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.write_bytes(b"damage")
    with pytest.raises(CheckpointError, match="damaged"):
        qat.train(start(), pixels(), LABELS, QUICK, "shapes", state)


def test_a_loss_that_is_not_finite_ends_it_and_says_where() -> None:
    plan = QUICK.model_copy(update={"learning_rate": 1e30})
    with pytest.raises(DvflMobileError, match=r"step \d") as caught:
        qat.train(start(), pixels(), LABELS, plan, "shapes", None)
    assert "`learning_rate=`" in caught.value.hint


def test_a_form_without_scales_is_refused() -> None:
    settings = Quantization(recipe="weight_only_wi8_afp32", method="none")
    form = freeze(start().student, settings, dict(deploy_form(start().student, ()).named_parameters()))
    with pytest.raises(UsageError, match="no scales"):
        qat.train(form, pixels(), LABELS, QUICK, "shapes", None)


@pytest.mark.parametrize(
    ("clips", "labels"), [(pixels()[:0], []), (pixels(), LABELS[:-1]), (pixels()[..., :16, :16], LABELS)]
)
def test_clips_that_do_not_fit_are_refused(clips: np.ndarray, labels: list[int | None]) -> None:
    with pytest.raises(UsageError, match="Training takes clips"):
        qat.train(start(), clips, labels, QUICK, "shapes", None)


def test_bfloat16_is_taken_where_the_processor_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    for capabilities, expected in (
        ({"avx512_bf16": True}, "bfloat16"),
        ({"architecture": "arm64", "bf16": True}, "bfloat16"),
        ({"avx512_bf16": False, "amx_bf16": False, "avx2": True}, "float32"),
        ({}, "float32"),
    ):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda found=capabilities: found, raising=False)
        assert chosen_precision("auto", cpu) == expected
        assert chosen_precision("float32", cpu) == "float32"
        assert chosen_precision("bfloat16", cpu) == "bfloat16"


def test_in_bfloat16_what_stays_float_stays_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    form, settings = deploy_form(start().student, start().settings.per_token_scaled), start().settings
    graph = graphs.rounded(form, start().clip.shape, settings.scales, settings.keep, {}, training=True)
    clip = torch.from_numpy(pixels()[0]).float()
    exact = graph(clip)
    precision.keep_float32(graph, settings.products)
    assert graph(clip).equal(exact)
    in_float32: list[torch.Tensor] = []
    product = precision._in_float32

    def watched(*arguments: Any) -> torch.Tensor:
        in_float32.append(product(*arguments))
        return in_float32[-1]

    monkeypatch.setattr(precision, "_in_float32", watched)
    with autocast("bfloat16", torch.device("cpu")):
        logits = graph(clip)
    assert {values.dtype for values in in_float32} == {torch.float32}
    assert not logits.equal(exact)  # the other products are not
    assert logits.dtype == torch.float32


def test_every_epoch_sees_every_clip_once_and_in_an_order_of_its_own() -> None:
    plan = QatSchedule(QatSettings(epochs=3, global_batch=4), 10)
    assert plan.steps == 9
    epochs = [np.concatenate([plan.batch(3 * epoch + place) for place in range(3)]) for epoch in range(3)]
    assert all(sorted(order) == list(range(10)) for order in epochs)
    assert len({tuple(order) for order in epochs}) == 3
    assert [len(plan.batch(step)) for step in range(3)] == [4, 4, 2]
    assert [plan.ends_epoch(step) for step in range(6)] == [False, False, True] * 2


def test_the_learning_rate_warms_up_and_falls_towards_zero() -> None:
    plan = QatSchedule(QatSettings(epochs=10, global_batch=1, learning_rate=1.0), 10)
    rates = [plan.learning_rate(step) for step in range(plan.steps)]
    assert rates[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert max(rates) == rates[9] == rates[10] == 1.0
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert 0 < rates[-1] < 0.001


@pytest.mark.parametrize(("epochs", "clips"), [(1, 1), (1, 8), (2, 1)])
def test_the_shortest_trainings_have_a_schedule(epochs: int, clips: int) -> None:
    plan = QatSchedule(QatSettings(epochs=epochs), clips)
    assert all(0 < plan.learning_rate(step) <= 1e-5 for step in range(plan.steps))


def test_progress_tells_every_clip_and_every_step(tmp_path: Path) -> None:
    steps: dict[str, list[int]] = {}

    @contextmanager
    def step(name: str, total: int | None = None, /) -> Iterator[Callable[[], None]]:
        steps[name] = [total or 0, 0]

        def advance() -> None:
            steps[name][1] += 1

        yield advance

    state = tmp_path / "state"
    with pytest.raises(Killed):
        qat.train(start(), pixels(), LABELS, QUICK, "shapes", state, killed_after(2))
    qat.train(start(), pixels(), LABELS, QUICK, "shapes", state, step)
    assert steps == {"logits of the float student": [5, 5], "train on 5 clips, 2 epochs": [4, 4]}
