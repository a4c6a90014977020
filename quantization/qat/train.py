"""Quantization-aware training: go on training a quantized form with its rounding in place, towards the float student.

The start is a form quantized after training: its calibrated scales, and the student's own weights, not the rounded
ones. Each forward pass rounds weights and activations as a phone does; gradients pass through (straight-through
estimator). What comes out is a form like any other, for every target. Schedule, optimization step, losses and saved
state are those of `dvfl_mobile.training`; here is what rounding adds: the graph, and ranges that move.

One step is one global batch. A deploy form takes one clip, so gradients are added up clip by clip, in double
precision: their sum is then the same, in whatever order and by however many processes it is taken, but for an
unlikely last bit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dvfl_mobile.errors import UsageError
from dvfl_mobile.model.build import sha256_of_weights
from dvfl_mobile.model.deploy import SHRINK, SHRUNK
from dvfl_mobile.model.student import Student
from dvfl_mobile.progress import Step, silent
from dvfl_mobile.quantization.graph import graphs
from dvfl_mobile.quantization.graph.edges import Edge
from dvfl_mobile.quantization.graph.forms import QuantizedForm, deploy_form, freeze
from dvfl_mobile.quantization.qat.precision import keep_float32
from dvfl_mobile.quantization.qat.schedule import QatSchedule
from dvfl_mobile.quantization.settings import QatSettings, Quantization, TrainingFacts
from dvfl_mobile.training.optimization.losses import distillation_loss
from dvfl_mobile.training.optimization.optimizer import OptimizerSettings
from dvfl_mobile.training.optimization.precision import autocast, chosen_precision
from dvfl_mobile.training.optimization.update import Updater
from dvfl_mobile.training.process_group import ProcessGroup, process_group
from dvfl_mobile.training.state import begin, fingerprint_of
from dvfl_mobile.wording import plural

_Precision = Literal["float32", "bfloat16"]

_CONSTANT = (".mean.weight", ".mean_temporal.weight")  # means, written as products with 1/C and 1/T
_STEM, _PIXELS = "stem.proj.weight", "stem.proj:in"
_RANGE_SHARE = 0.01  # of the way that ranges go in a step to what it saw: torchao's averaging constant


def train(
    form: QuantizedForm,
    clips: NDArray[np.uint8],
    labels: Sequence[int | None],
    settings: QatSettings,
    source: str,
    state: Path | None,
    step: Step = silent,
) -> QuantizedForm:
    """Train a statically quantized form on, with its student as the teacher.

    Under torchrun, each process takes its share of every batch, and all return the same form. Only the first one
    writes to `state` and shows progress.

    Args:
        form: quantized after training; its `settings.scales` are the start.
        clips: `(N,T,3,H,W)`, 0 to 255; the same in every process.
        labels: an index of the student's classes for each clip, or None; others count as None.
        source: where the clips are from, for the record.
        state: where to keep the state, under the lock of where the result will be. What is there is gone on with. It
            stays at the end: remove it with `training.state.forget` once the result is written, so that a kill in
            between loses nothing.

    Raises:
        UsageError: the form has no scales to start from, or clips and labels don't fit; processes differ in what
            they were given.
        CheckpointError: `state` is that of another training, or damaged.
        OutputError: `state` can't be written.
        DvflMobileError: the loss or its gradients are no longer finite.
    """
    _check(form, clips, labels)
    known = [label if label is not None and 0 <= label < len(form.student.classes) else None for label in labels]
    schedule = QatSchedule(settings, len(clips))
    with process_group() as processes:
        show = step if processes.is_first else silent
        precision = chosen_precision(settings.precision, processes.device)
        trainer = _Trainer(form, settings, precision, processes)
        fingerprint = _fingerprint(form, trainer.parameters(), clips, known, settings, precision)
        kept = begin(state, fingerprint, trainer.changing, processes)
        teacher = _teacher_logits(form.student, clips, processes, show)
        with show(_title(settings, clips), schedule.steps) as advance:
            for _ in range(kept.done):
                advance()
            for index in range(kept.done, schedule.steps):
                mine = [at for chunk in schedule.chunks(index, processes.rank, processes.count) for at in chunk]
                examples = [(clips[at], teacher[at : at + 1], known[at]) for at in mine]
                rate, moves = schedule.learning_rate(index), index < schedule.frozen_from
                trainer.step(index, examples, len(schedule.batch(index)), rate, ranges_move=moves)
                kept.keep(index + 1, now=schedule.ends_epoch(index))
                advance()
        facts = _facts(settings, schedule, processes, precision, source, len(clips))
        return freeze(form.student, _trained(form.settings, trainer.edges, facts), trainer.parameters())


_Example = tuple[NDArray[np.uint8], Tensor, int | None]  # clip, the teacher's logits (1,K), label


class _Trainer:
    """The graph that is trained, and everything that a step changes.

    Attributes:
        edges: the rounded activations by name.
        changing: all tensors that steps change, by name; changed in place.
    """

    def __init__(
        self, form: QuantizedForm, settings: QatSettings, precision: _Precision, processes: ProcessGroup
    ) -> None:
        self._settings, self._precision, self._processes = settings, precision, processes
        start = deploy_form(form.student, form.settings.per_token_scaled)
        # torchao puts no train() and eval() on an exported graph that mean the same as on a module; nothing in this
        # network asks for them: it has no batch norm, whose statistics would have to be frozen too, and no dropout.
        self._graph = graphs.rounded(
            start, form.clip.shape, form.settings.scales, form.settings.keep, {}, training=True
        ).to(processes.device)
        keep_float32(self._graph, form.settings.products)
        self.edges = graphs.edges_of(self._graph)
        self._moving = [edge for key, edge in self.edges.items() if key != _PIXELS]  # raw pixels are exact as they are
        learning = {
            name: parameter.requires_grad_()
            for name, parameter in self._graph.named_parameters()
            if not name.endswith(_CONSTANT)
        }
        self._updater = Updater(
            learning,
            # No weight decay: the start is trained already, and nothing should pull it to zero.
            OptimizerSettings(kind="adamw", learning_rate=settings.learning_rate, weight_decay=0.0),
            processes,
            precision=precision,
            rate_factors=_rate_factors(form, learning),
        )
        self.changing = {**self._updater.changing, **_ranges_of(self._moving)}

    def step(
        self, index: int, examples: Sequence[_Example], clips: int, learning_rate: float, *, ranges_move: bool
    ) -> None:
        """One step on one global batch of so many clips, of which this process has its examples."""
        for edge in self._moving:
            edge.observing = ranges_move
        self._updater.begin()
        for clip, teacher, label in examples:
            self._updater.add(self._loss(clip, teacher, label))
        self._updater.apply(index, clips, learning_rate)
        if ranges_move:
            self._move_ranges()

    def parameters(self) -> dict[str, Tensor]:
        """Every parameter of the deploy form, per-token scaling in it, as it stands, by name."""
        return {name: values.detach().cpu() for name, values in self._graph.named_parameters()}

    def _loss(self, clip: NDArray[np.uint8], teacher: Tensor, label: int | None) -> Tensor:
        with autocast(self._precision, self._processes.device):
            logits = self._graph(_pixels(clip, self._processes.device))
        return distillation_loss(logits, teacher, label, self._settings.temperature, self._settings.label_weight)

    def _move_ranges(self) -> None:
        """Let every range learn from what all processes saw of it."""
        seen = torch.stack([edge.seen for edge in self._moving])
        sign = seen.new_tensor([1.0, -1.0])  # the greatest is the least of the negative
        for edge, values in zip(self._moving, self._processes.least(seen * sign) * sign, strict=True):
            edge.seen.copy_(values)
            edge.learn(_RANGE_SHARE)


def _rate_factors(form: QuantizedForm, weights: Iterable[str]) -> dict[str, float]:
    """What the learning rate of some weights is multiplied by.

    AdamW's steps are of one size for all weights. What was folded into some, the pixels' standard deviation into the
    stem's and a power of two into those that shrink tokens, made these smaller, so their steps are too.
    """
    shrunk = {name: SHRINK for name in weights if name.endswith(SHRUNK)}
    return {**shrunk, _STEM: 1 / (sum(form.clip.std) / len(form.clip.std))}


def _ranges_of(edges: Sequence[Edge]) -> dict[str, Tensor]:
    kinds = ("low", "high", "scale", "zero_point")
    return {f"{kind}/{edge.key}": getattr(edge, kind) for edge in edges for kind in kinds}


def _teacher_logits(student: Student, clips: NDArray[np.uint8], processes: ProcessGroup, show: Step) -> Tensor:
    """The float student's logits, `(N,K)`; each process computes its share of them."""
    form = deploy_form(student, ()).to(processes.device)
    logits = torch.zeros(len(clips), len(student.classes), device=processes.device)
    mine = range(processes.rank, len(clips), processes.count)
    with show("logits of the float student", len(mine)) as advance, torch.no_grad():
        for index in mine:
            logits[index] = form(_pixels(clips[index], processes.device))[0]
            advance()
    return processes.sum(logits)


def _pixels(clip: NDArray[np.uint8], device: torch.device) -> Tensor:
    return torch.tensor(clip, device=device).float()


def _check(form: QuantizedForm, clips: NDArray[np.uint8], labels: Sequence[int | None]) -> None:
    if not form.settings.scales:
        raise UsageError(
            f"{form.settings.recipe} has no scales of activations: there is nothing to train with.",
            hint="Train a static recipe, such as static_wi8_ai8.",
        )
    if not len(clips) or clips.shape[1:] != form.clip.shape or len(labels) != len(clips):
        raise UsageError(
            f"Training takes clips of {form.clip.shape} with a label, or None, for each; "
            f"it was given {clips.shape} and {plural(len(labels), 'label')}."
        )


def _fingerprint(
    form: QuantizedForm,
    start: Mapping[str, Tensor],
    clips: NDArray[np.uint8],
    labels: Sequence[int | None],
    settings: QatSettings,
    precision: _Precision,
) -> str:
    """Of everything that fixes the result."""
    pixels = hashlib.sha256()
    for clip in clips:
        pixels.update(np.ascontiguousarray(clip).data)
    whole: dict[str, Any] = {
        "settings": settings.model_dump(mode="json", exclude={"precision"}),
        "precision": precision,
        "start": form.settings.model_dump(mode="json"),
        "weights": sha256_of_weights(start),
        "clips": pixels.hexdigest(),
        "labels": list(labels),
    }
    return fingerprint_of(whole)


def _title(settings: QatSettings, clips: NDArray[np.uint8]) -> str:
    return f"train on {plural(len(clips), 'clip')}, {plural(settings.epochs, 'epoch')}"


def _facts(
    settings: QatSettings,
    schedule: QatSchedule,
    processes: ProcessGroup,
    precision: _Precision,
    source: str,
    clips: int,
) -> TrainingFacts:
    return TrainingFacts(
        epochs=settings.epochs,
        steps=schedule.steps,
        global_batch=settings.global_batch,
        learning_rate=settings.learning_rate,
        temperature=settings.temperature,
        label_weight=settings.label_weight,
        processes=processes.count,
        precision=precision,
        source=source,
        clips=clips,
    )


def _trained(start: Quantization, edges: Mapping[str, Edge], facts: TrainingFacts) -> Quantization:
    # Scales that no edge of the graph has would be those of nothing: all of them are here.
    scales = {key: edges[key].known for key in start.scales}
    return start.model_copy(update={"method": "qat", "scales": scales, "training": facts})
