"""Quantize a student: calibrate, optionally fine-tune (QAT) and keep products float, then check the result."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dvfl_mobile.errors import MissingDependencyError, UsageError, VideoError
from dvfl_mobile.files import directory_lock
from dvfl_mobile.parity.measure import PooledMetrics, measure
from dvfl_mobile.pipeline.convert import convert
from dvfl_mobile.pipeline.plan import make_plan
from dvfl_mobile.pipeline.quantize_plan import Calibration, QuantizePlan, Training, check_plan
from dvfl_mobile.pipeline.quantized import QuantizeSummary, summarize_form
from dvfl_mobile.profiling.race import race
from dvfl_mobile.profiling.statistics import median_interval
from dvfl_mobile.progress import Step, silent
from dvfl_mobile.quantization.lowerable import Lowerable
from dvfl_mobile.quantization.settings import Quantization
from dvfl_mobile.spelling import option

if TYPE_CHECKING:
    from dvfl_mobile.model.student import Student
    from dvfl_mobile.quantization.calibrate.calibration import CalibrationClips
    from dvfl_mobile.quantization.graph.forms import QuantizedForm
    from dvfl_mobile.quantization.mixed.choose import Mixed
    from dvfl_mobile.quantization.mixed.sensitivity import Sensitivity

LOOKED_AT = 16
"""Training clips outside of calibration on which the result is looked at, and `auto` chooses."""


@dataclass(frozen=True)
class Quantized:
    """A quantized form, what was seen of it, and for `auto` what was kept."""

    form: QuantizedForm
    summary: QuantizeSummary
    mixed: Mixed | None = None
    cost: MixedCost | None = None


@dataclass(frozen=True)
class MixedCost:
    """What keeping something float cost, as artifacts of one target on this machine.

    Attributes:
        target: which one.
        latency: time of the mixed artifact over that of the uniform one, the median; and its 95 % interval, None where
            there were too few rounds.
        sizes: bytes of the uniform artifact, and of the mixed one.
    """

    target: str
    latency: tuple[float, tuple[float, float] | None]
    sizes: tuple[int, int]


@dataclass(frozen=True)
class _Found:
    """A quantized form, the form with nothing kept, the clips it was calibrated on, and what `auto` kept."""

    form: QuantizedForm
    uniform: QuantizedForm
    clips: CalibrationClips | None = None
    mixed: Mixed | None = None


def quantize(student: Student, plan: QuantizePlan, state: Path | None = None, step: Step = silent) -> Quantized:
    """Quantize a student as planned.

    Args:
        state: where quantization-aware training keeps what it needs to go on after a kill.

    Raises:
        VideoError: the calibration clips can't be had, are too few, or are such that `auto` can't choose by them.
        CheckFailedError: `auto` can't keep its promise.
    """
    found = _find(student, plan, state, step)
    cost = near = None
    if found.clips is not None:
        if found.mixed is not None and found.mixed.kept:
            cost = _cost(found.uniform, found.form, found.clips.pixels[0], step)
        if _is_telling(found.clips, found.form.settings.degenerate):
            near = _looked_at(found.form, found.clips, step)
    return Quantized(found.form, summarize_form(found.form, near), found.mixed, cost)


def make(student: Student, plan: QuantizePlan, out: Path, step: Step = silent) -> Quantized | None:
    """Quantize a student and write `out/<model>-<recipe>.pt2`; in the first of several processes only.

    Raises:
        OutputError: the place can't be written, or another run is writing it.
    """
    from dvfl_mobile.training.process_group import is_first_process

    path = out / name_of(plan, student)
    state = path.with_name(f".{path.name}.training") if plan.method == "qat" else None
    if not is_first_process():
        quantize(student, plan, state, step)
        return None
    with directory_lock(path):
        made = quantize(student, plan, state, step)
        with step("write"):
            from dvfl_mobile.quantization.graph.stored import save_form

            save_form(made.form, path)
        if state is not None:
            from dvfl_mobile.training.state import forget

            forget(state)
    summary = made.summary.model_copy(update={"path": str(path), "size_bytes": path.stat().st_size})
    return replace(made, summary=summary)


def calibrated(model: Lowerable, plan: QuantizePlan | None, step: Step = silent) -> Lowerable:
    """A student quantized by the plan; a quantized form, or a student without a plan, as it is.

    Raises:
        UsageError: a quantized form would be calibrated again.
    """
    if plan is None:
        return model
    if model.quantization is not None:
        raise UsageError(
            "A quantized form has its scales already.", hint=f"Leave {option('calib')} out, or name its checkpoint."
        )
    return _find(model.student, plan, None, step).form


def sensitivity(student: Student, plan: QuantizePlan, step: Step = silent) -> Sensitivity:
    """What quantizing each block and each operator alone costs, on training clips outside of calibration."""
    check_plan(plan)
    _load_torchao(step)
    from dvfl_mobile.quantization.calibrate import ptq
    from dvfl_mobile.quantization.mixed.sensitivity import DEFAULT_CLIPS, measure_sensitivity

    clips = calibration_clips(student, plan, step)
    if not len(clips.held_out):
        raise _nothing_to_choose_by(clips, clips.facts.degenerate)
    form = ptq.quantize(student, plan.recipe.name, clips.pixels, clips.facts, plan.keep, step)
    found = measure_sensitivity(form, clips.held_out[:DEFAULT_CLIPS], step)
    return found.model_copy(update={"notes": (*found.notes, *form.settings.warnings)})


def _find(student: Student, plan: QuantizePlan, state: Path | None, step: Step) -> _Found:
    """The form of a plan, at which nobody has looked yet."""
    _load_torchao(step)
    from dvfl_mobile.quantization.calibrate import ptq
    from dvfl_mobile.quantization.graph.forms import freeze

    if not plan.recipe.is_calibrated:
        form = freeze(student, Quantization(recipe=plan.recipe.name, method="none"))
        return _Found(form, form)
    clips = calibration_clips(student, plan, step)
    if plan.promise is not None:
        _check_choosable(clips, clips.facts.degenerate)
    form = ptq.quantize(student, plan.recipe.name, clips.pixels, clips.facts, plan.keep, step)
    uniform, mixed = form, None
    if plan.recipe.name == "auto":
        _check_choosable(clips, form.settings.degenerate)
        form, mixed = _kept(form, clips, plan, step)
    if plan.training is not None:
        form = _trained(form, plan, plan.training, clips, state, step)
    return _Found(form, uniform, clips, mixed)


def _load_torchao(step: Step) -> None:
    """In a step of its own, which holds back what it says about its own extensions."""
    with step("load torchao"):
        import dvfl_mobile.quantization.graph.graphs  # noqa: F401


def calibration_clips(student: Student, plan: QuantizePlan, step: Step) -> CalibrationClips:
    """The clips that a plan calibrates on, and some beside them."""
    return _gather(
        student, plan, _calibration(plan).samples, LOOKED_AT if plan.recipe.name != "auto" else 3 * LOOKED_AT, step
    )


def _gather(
    student: Student,
    plan: QuantizePlan,
    samples: int,
    held_out: int,
    step: Step,
    leave_out: NDArray[np.uint8] | None = None,
) -> CalibrationClips:
    from dvfl_mobile.quantization.calibrate.calibration import gather

    calibration = _calibration(plan)
    return gather(
        calibration.source,
        student.clip,
        calibration.observer,
        samples,
        seed=calibration.seed,
        data_root=calibration.data_root,
        classes=student.classes,
        held_out=held_out,
        leave_out=leave_out,
        step=step,
    )


def _calibration(plan: QuantizePlan) -> Calibration:
    assert plan.calibration is not None, "check_plan refuses a calibrated recipe without clips"
    return plan.calibration


def _kept(form: QuantizedForm, clips: CalibrationClips, plan: QuantizePlan, step: Step) -> tuple[QuantizedForm, Mixed]:
    from dvfl_mobile.quantization.mixed.choose import apply_kept, choose_kept

    assert plan.promise is not None, "check_plan refuses auto without a promise"
    mixed = choose_kept(form, clips.held_out, step=step, **plan.promise.model_dump())
    return apply_kept(form, mixed.kept), mixed


def _cost(uniform: QuantizedForm, mixed: QuantizedForm, clip: NDArray[np.uint8], step: Step) -> MixedCost | None:
    """Both forms as artifacts of the first target that runs here, side by side; None where none does."""
    for target in ("tflite", "executorch"):
        try:
            with tempfile.TemporaryDirectory() as folder:
                [before], [after] = (
                    convert(form, make_plan([target], form.settings.recipe, Path(folder) / name), step)
                    for name, form in (("uniform", uniform), ("mixed", mixed))
                )
                with step(f"time both on {target}"):
                    ratios = race(after, before, clip)
                sizes = before.manifest.size_bytes, after.manifest.size_bytes
                return MixedCost(target, (float(np.median(ratios)), median_interval(ratios)), sizes)
        except MissingDependencyError:
            continue
    return None


def _trained(
    form: QuantizedForm,
    plan: QuantizePlan,
    training: Training,
    calibration: CalibrationClips,
    state: Path | None,
    step: Step,
) -> QuantizedForm:
    from dvfl_mobile.quantization.qat import train as qat

    clips = _gather(form.student, plan, training.samples, 0, step, calibration.held_out)
    return qat.train(form, clips.pixels, clips.labels, training.settings, clips.facts.source, state, step)


def _is_telling(clips: CalibrationClips, degenerate: Sequence[str]) -> bool:
    """Whether a figure on the clips that were held back says anything of others."""
    return len(clips.held_out) > 0 and not degenerate


def _check_choosable(clips: CalibrationClips, degenerate: Sequence[str]) -> None:
    if not _is_telling(clips, degenerate):
        raise _nothing_to_choose_by(clips, degenerate)


def _nothing_to_choose_by(clips: CalibrationClips, degenerate: Sequence[str]) -> VideoError:
    why = "; ".join(degenerate) or "no clip is left that calibration didn't see"
    return VideoError(
        f"{clips.facts.source} can't decide what stays float: {why}.",
        hint=f"Name clips of what the network is to see with {option('calib')}, of several classes and each another.",
    )


def _looked_at(form: QuantizedForm, clips: CalibrationClips, step: Step) -> PooledMetrics:
    from dvfl_mobile.quantization.graph.forms import deploy_form
    from dvfl_mobile.quantization.graph.graphs import run_clips
    from dvfl_mobile.quantization.graph.repeats import without_repeats

    some = clips.held_out[:LOOKED_AT]
    with step("compare with float", 2 * len(some)) as advance:
        expected = run_clips(deploy_form(form.student, ()), some, advance)
        found = run_clips(without_repeats(form.graph()), some, advance)
    return measure(expected.numpy(), found.numpy(), [str(index) for index in range(len(some))]).pooled


def name_of(plan: QuantizePlan, student: Student) -> str:
    """The file's name: `nano-static_wi8_ai8.pt2`, `nano-static_wi8_ai8-qat.pt2`."""
    method = "-qat" if plan.method == "qat" else ""
    return f"{student.architecture.name}-{plan.recipe.name}{method}.pt2"


def plot_name(student: Student) -> str:
    """Of the picture of `sensitivity`."""
    return f"{student.architecture.name}-sensitivity.png"
