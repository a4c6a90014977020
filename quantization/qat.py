"""Quantization-aware training: go on training a quantized form with its rounding in place, towards the float student.

The start is a form quantized after training: its calibrated scales, and the student's own weights, not the rounded
ones. Each forward pass rounds weights and activations as a phone does; gradients pass through (straight-through
estimator). What comes out is a form like any other, for every target.

One step is one global batch. A deploy form takes one clip, so gradients are added up clip by clip, in double
precision: their sum is then the same, in whatever order and by however many processes it is taken, but for an
unlikely last bit.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dvfl_mobile.errors import DvflMobileError, UsageError
from dvfl_mobile.model.build import sha256_of_weights
from dvfl_mobile.model.deploy import SHRINK, SHRUNK
from dvfl_mobile.model.student import Student
from dvfl_mobile.progress import Step, silent
from dvfl_mobile.quantization import graphs
from dvfl_mobile.quantization.distillation import distillation_loss
from dvfl_mobile.quantization.edges import Edge
from dvfl_mobile.quantization.forms import QuantizedForm, freeze, levelled_form
from dvfl_mobile.quantization.precision import keep_float32
from dvfl_mobile.quantization.schedule import Schedule
from dvfl_mobile.quantization.settings import QatSettings, Quantization, TrainingFacts
from dvfl_mobile.training.precision import autocast, chosen_precision
from dvfl_mobile.training.state import begin
from dvfl_mobile.training.sums import GradientSums
from dvfl_mobile.training.team import Team, team
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
    schedule = Schedule(settings, len(clips))
    with team() as processes:
        show = step if processes.is_first else silent
        precision = chosen_precision(settings.precision, processes.device)
        trainer = _Trainer(form, settings, precision, processes)
        fingerprint = _fingerprint(form, trainer.parameters(), clips, known, settings, precision)
        processes.check_same(fingerprint)
        kept = begin(state, fingerprint, trainer.changing, processes)
        trainer.went_on_from(kept.done)
        teacher = _teacher_logits(form.student, clips, processes, show)
        with show(_title(settings, clips), schedule.steps) as advance:
            for _ in range(kept.done):
                advance()
            for index in range(kept.done, schedule.steps):
                batch = [(clips[at], teacher[at : at + 1], known[at]) for at in schedule.batch(index)]
                rate, moves = schedule.learning_rate(index), index < schedule.frozen_from
                trainer.step(index, batch, rate, ranges_move=moves)
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

    def __init__(self, form: QuantizedForm, settings: QatSettings, precision: _Precision, processes: Team) -> None:
        self._settings, self._precision, self._team = settings, precision, processes
        start = levelled_form(form.student, form.settings.levels)
        # torchao puts no train() and eval() on an exported graph that mean the same as on a module; nothing in this
        # network asks for them: it has no batch norm, whose statistics would have to be frozen too, and no dropout.
        self._graph = graphs.rounded(
            start, form.clip.shape, form.settings.scales, form.settings.keep, {}, training=True
        ).to(processes.device)
        keep_float32(self._graph, form.settings.products)
        self.edges = graphs.edges_of(self._graph)
        self._moving = [edge for key, edge in self.edges.items() if key != _PIXELS]  # raw pixels are exact as they are
        self._learning = {
            name: parameter.requires_grad_()
            for name, parameter in self._graph.named_parameters()
            if not name.endswith(_CONSTANT)
        }
        self._sums = GradientSums(self._learning, processes.device)
        self._optimizer = self._adamw(form)
        self.changing = self._all_that_changes()

    def step(self, index: int, batch: Sequence[_Example], learning_rate: float, *, ranges_move: bool) -> None:
        """One step on one global batch, of which this process takes its share."""
        for edge in self._moving:
            edge.observing = ranges_move
        self._sums.clear()
        for clip, teacher, label in batch[self._team.rank :: self._team.count]:
            self._sums.add(self._loss(clip, teacher, label))
        if self._sums.share(self._team, len(batch)) is None:
            raise DvflMobileError(
                f"Training broke down in step {index + 1}: the loss or its gradients are no longer finite.",
                hint=f"Begin anew with a lower --learning-rate than {self._settings.learning_rate:g}.",
            )
        if ranges_move:
            self._move_ranges()
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate * group["share"]
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)

    def went_on_from(self, steps: int) -> None:
        """Tell the optimizer how many steps its averages are of."""
        for averages in self._optimizer.state.values():
            averages["step"].fill_(steps)

    def parameters(self) -> dict[str, Tensor]:
        """Every parameter of the levelled deploy form as it stands, by name."""
        return {name: values.detach().cpu() for name, values in self._graph.named_parameters()}

    def _loss(self, clip: NDArray[np.uint8], teacher: Tensor, label: int | None) -> Tensor:
        with autocast(self._precision, self._team.device):
            logits = self._graph(_pixels(clip, self._team.device))
        return distillation_loss(logits, teacher, label, self._settings.temperature, self._settings.label_weight)

    def _move_ranges(self) -> None:
        """Let every range learn from what all processes saw of it."""
        seen = torch.stack([edge.seen for edge in self._moving])
        sign = seen.new_tensor([1.0, -1.0])  # the greatest is the least of the negative
        for edge, values in zip(self._moving, self._team.least(seen * sign) * sign, strict=True):
            edge.seen.copy_(values)
            edge.learn(_RANGE_SHARE)

    def _adamw(self, form: QuantizedForm) -> torch.optim.AdamW:
        """AdamW without weight decay: the start is trained already, and nothing should pull it to zero.

        Its steps are of one size for all weights. What was folded into some, the pixels' standard deviation into the
        stem's and a power of two into those that shrink tokens, made these smaller, so their steps are too.
        """
        stem = [values for name, values in self._learning.items() if name == _STEM]
        shrunk = [values for name, values in self._learning.items() if name.endswith(SHRUNK)]
        others = [values for name, values in self._learning.items() if name != _STEM and not name.endswith(SHRUNK)]
        groups = [
            {"params": others, "share": 1.0},
            {"params": shrunk, "share": SHRINK},
            {"params": stem, "share": 1 / (sum(form.clip.std) / len(form.clip.std))},
        ]
        optimizer = torch.optim.AdamW(
            [group for group in groups if group["params"]], lr=self._settings.learning_rate, weight_decay=0.0
        )
        # As the optimizer would make them in its first step, so that a state can be read into them before it.
        for values in self._learning.values():
            optimizer.state[values] = {
                "step": torch.zeros(()),
                "exp_avg": torch.zeros_like(values),
                "exp_avg_sq": torch.zeros_like(values),
            }
        return optimizer

    def _all_that_changes(self) -> dict[str, Tensor]:
        changing: dict[str, Tensor] = {}
        for name, values in self._learning.items():
            averages = self._optimizer.state[values]
            changing[f"parameters/{name}"] = values
            changing |= {f"{kind}/{name}": averages[kind] for kind in ("exp_avg", "exp_avg_sq")}
        for edge in self._moving:
            changing |= {f"{kind}/{edge.key}": getattr(edge, kind) for kind in ("low", "high", "scale", "zero_point")}
        return changing


def _teacher_logits(student: Student, clips: NDArray[np.uint8], processes: Team, show: Step) -> Tensor:
    """The float student's logits, `(N,K)`; each process computes its share of them."""
    form = levelled_form(student, ()).to(processes.device)
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
    """The SHA-256 of everything that fixes the result; not how many processes there are, nor where."""
    pixels = hashlib.sha256()
    for clip in clips:
        pixels.update(np.ascontiguousarray(clip).data)
    told: dict[str, Any] = {
        "settings": settings.model_dump(mode="json", exclude={"precision"}),
        "precision": precision,
        "start": form.settings.model_dump(mode="json"),
        "weights": sha256_of_weights(start),
        "clips": pixels.hexdigest(),
        "labels": list(labels),
    }
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _title(settings: QatSettings, clips: NDArray[np.uint8]) -> str:
    return f"train on {plural(len(clips), 'clip')}, {plural(settings.epochs, 'epoch')}"


def _facts(
    settings: QatSettings, schedule: Schedule, processes: Team, precision: _Precision, source: str, clips: int
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
