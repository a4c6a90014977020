"""The training loop: steps of one global batch, resumable after a kill, in one process or in many.

One step is one global batch, cut in pieces that go through the network one after the other; each process takes its
share of the pieces. Their gradients are added up, on processors in double precision, so that the sum doesn't depend
on how they were shared out; then every process makes the same step. Everything random is drawn for a place (seed,
epoch, clip), so the state holds no generators: weights, what the optimizer remembers, and the best score are all.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.func import functional_call

from dvfl_mobile.data.clips import ClipSpec
from dvfl_mobile.errors import UsageError
from dvfl_mobile.model.build import sha256_of_weights
from dvfl_mobile.model.network import VideoFocalNet
from dvfl_mobile.model.student import Student
from dvfl_mobile.progress import Step, silent
from dvfl_mobile.training.clips.data import Samples
from dvfl_mobile.training.clips.loader import Chunk, load
from dvfl_mobile.training.clips.mixing import mix, soft_targets
from dvfl_mobile.training.drop_path import SeededDropPaths
from dvfl_mobile.training.journal import Journal
from dvfl_mobile.training.optimization.losses import TEACHER_LOSSES, label_loss
from dvfl_mobile.training.optimization.optimizer import OptimizerSettings
from dvfl_mobile.training.optimization.precision import Precision, autocast, chosen_precision
from dvfl_mobile.training.optimization.schedule import Schedule, TrainSchedule
from dvfl_mobile.training.optimization.update import Updater
from dvfl_mobile.training.process_group import ProcessGroup
from dvfl_mobile.training.settings import TrainSettings
from dvfl_mobile.training.state import TrainingState, begin, fingerprint_of
from dvfl_mobile.training.validation import Score, TestClips, count_right


@dataclass(frozen=True)
class Task:
    """What is learned, and from what.

    Attributes:
        samples: to train on.
        test: to choose the best weights by; None: the last ones are.
        classes: a name for each logit.
        clip: what the network eats.
        teacher: to follow; its logits are for the same classes.
    """

    samples: Samples
    test: TestClips | None
    classes: tuple[str, ...]
    clip: ClipSpec
    teacher: Student | None = None


@dataclass(frozen=True)
class Keeping:
    """Where what comes of it is kept; only the first process writes.

    Attributes:
        state: the file to go on from after a kill; None: none is kept.
        journal: None: none is written.
        best: called with weights by official key, whenever they are the best so far.
    """

    state: Path | None = None
    journal: Journal | None = None
    best: Callable[[Mapping[str, Tensor]], None] | None = None


@dataclass(frozen=True)
class Outcome:
    """What a training came to; the same in every process.

    Attributes:
        weights: after the last step, by official key: the moving average's where there is one.
        steps, epochs: that were done.
        best_epoch: counted from 1; None where nothing was validated.
        best: its score.
        unreadable: videos that others stood in for.
    """

    weights: dict[str, Tensor]
    steps: int
    epochs: int
    best_epoch: int | None
    best: Score | None
    precision: Precision
    unreadable: tuple[str, ...]


def train(
    network: VideoFocalNet,
    task: Task,
    settings: TrainSettings,
    keeping: Keeping,
    processes: ProcessGroup,
    *,
    workers: int = 2,
    step: Step = silent,
) -> Outcome:
    """Train a network, all of whose weights change in place.

    Raises:
        UsageError: the task has no clips, or processes were given different things.
        CheckpointError: the state is that of another training, or damaged.
        OutputError: state, journal or weights can't be written.
        VideoError: too many videos in a row can't be read.
        DvflMobileError: the loss or its gradients are no longer finite.
    """
    if not len(task.samples):
        raise UsageError("There is nothing to train on.")
    precision = chosen_precision(settings.precision, processes.device)
    schedule = TrainSchedule(settings, len(task.samples))
    trainer = _Trainer(network, task, settings, precision, processes)
    fingerprint = _fingerprint(trainer, task, settings, precision)
    kept = begin(keeping.state, fingerprint, trainer.changing, processes)
    run = _Run(trainer, task, settings, schedule, keeping, kept, processes)
    show = step if processes.is_first else silent
    run.go(workers, show)
    unreadable = sorted({name for names in processes.all_of(task.samples.unreadable) for name in names})
    return Outcome(
        weights=trainer.weights(),
        steps=run.done,
        epochs=run.done // schedule.epoch_steps,
        best_epoch=trainer.best_epoch,
        best=trainer.best_score,
        precision=precision,
        unreadable=tuple(unreadable),
    )


class _Run:
    """The steps that are left, and what happens between them."""

    def __init__(
        self,
        trainer: _Trainer,
        task: Task,
        settings: TrainSettings,
        schedule: Schedule,
        keeping: Keeping,
        kept: TrainingState,
        processes: ProcessGroup,
    ) -> None:
        self._trainer, self._task, self._settings, self._schedule = trainer, task, settings, schedule
        self._keeping, self._kept, self._processes = keeping, kept, processes
        self._journal = keeping.journal if processes.is_first else None
        self.done = kept.done

    def go(self, workers: int, show: Step) -> None:
        if self._journal is not None:
            self._journal.begin(self.done)
        with closing(load(self._task.samples, self._wanted(), workers)) as loaded:
            self._epochs(loaded, show)
        if self._task.test is None:
            self._keep_best()
        if self._journal is not None:
            self._journal.end()

    def _epochs(self, loaded: Iterator[Chunk], show: Step) -> None:
        while self.done < self._schedule.steps and not self._is_over():
            epoch = self._schedule.epoch(self.done)
            left = (epoch + 1) * self._schedule.epoch_steps - self.done
            with show(f"epoch {epoch + 1} of {self._settings.epochs}", left) as advance:
                for _ in range(left):
                    self._step(loaded)
                    if not self._schedule.ends_epoch(self.done - 1):
                        self._kept.keep(self.done, now=False)
                    advance()
            self._end_epoch(epoch, show)
            self._kept.keep(self.done, now=True)

    def _wanted(self) -> Iterator[tuple[int, list[int]]]:
        for step in range(self.done, self._schedule.steps):
            for chunk in self._schedule.chunks(step, self._processes.rank, self._processes.count):
                yield self._schedule.epoch(step), [int(index) for index in chunk]

    def _step(self, loaded: Iterator[Chunk]) -> None:
        began = time.monotonic()
        mine = len(self._schedule.chunks(self.done, self._processes.rank, self._processes.count))
        rate = self._schedule.learning_rate(self.done)
        figures = self._trainer.step(
            self.done, (next(loaded) for _ in range(mine)), len(self._schedule.batch(self.done)), rate
        )
        self.done += 1
        if self._journal is not None:
            seconds = round(time.monotonic() - began, 4)
            epoch = self._schedule.epoch(self.done - 1) + 1
            self._journal.note("step", self.done, epoch=epoch, learning_rate=rate, **figures, seconds=seconds)

    def _end_epoch(self, epoch: int, show: Step) -> None:
        if self._task.test is None:
            return
        with show("validate", len(range(0, len(self._task.test), self._processes.count))) as advance:
            score = self._trainer.validate(self._task.test, advance)
        if self._journal is not None:
            self._journal.note("epoch", self.done, epoch=epoch + 1, **vars(score))
        if self._trainer.is_best(epoch, score):
            self._keep_best()

    def _keep_best(self) -> None:
        if self._processes.is_first and self._keeping.best is not None:
            self._keeping.best(self._trainer.weights())

    def _is_over(self) -> bool:
        """Whether patience has run out; from what the state holds, so that a kill doesn't change it."""
        best = self._trainer.best_epoch
        if self._settings.patience is None or best is None or self.done % self._schedule.epoch_steps:
            return False
        return self.done // self._schedule.epoch_steps - best >= self._settings.patience


class _Trainer:
    """The network, and everything else that a step changes.

    Attributes:
        changing: all tensors that steps change, by name; changed in place.
    """

    def __init__(
        self, network: VideoFocalNet, task: Task, settings: TrainSettings, precision: Precision, processes: ProcessGroup
    ) -> None:
        self._task, self._settings, self._precision, self._processes = task, settings, precision, processes
        self._network = network.to(processes.device).requires_grad_(True)
        self._drop_path = SeededDropPaths(self._network, settings.seed)
        self._teacher = None if task.teacher is None else task.teacher.network.to(processes.device)
        self._parameters: dict[str, Tensor] = dict(self._network.named_parameters())
        # A device of CUDA has half the memory to spare that a processor has, and double precision is slow there.
        dtype = torch.float64 if processes.device.type == "cpu" else torch.float32
        self._updater = Updater(
            self._parameters,
            _optimizer_settings(settings),
            processes,
            precision=precision,
            figures=3,
            accumulate_in=dtype,
        )
        self._average = (
            {name: values.detach().clone() for name, values in self._parameters.items()} if settings.average else {}
        )
        self._best = torch.tensor([-1.0, 0, 0, 0, 0], dtype=torch.float64)  # epoch, and the fields of its score
        self.changing = {
            **self._updater.changing,
            **{f"average/{name}": values for name, values in self._average.items()},
            "best": self._best,
        }

    @property
    def best_epoch(self) -> int | None:
        """Counted from 1; None before anything was validated."""
        epoch = int(self._best[0])
        return None if epoch < 0 else epoch + 1

    @property
    def best_score(self) -> Score | None:
        if self.best_epoch is None:
            return None
        videos, right, right_in_five, loss = self._best[1:].tolist()
        return Score(int(videos), int(right), int(right_in_five), loss)

    def is_best(self, epoch: int, score: Score) -> bool:
        """Whether a score is at least as good as the best so far, which it then is; by the count that is right."""
        if self.best_epoch is not None and score.right < self._best[2]:
            return False
        self._best.copy_(
            torch.tensor([epoch, score.videos, score.right, score.right_in_five, score.loss], dtype=torch.float64)
        )
        return True

    def weights(self) -> dict[str, Tensor]:
        """Copies of the weights to be kept, by official key."""
        chosen = self._average or self._parameters
        return {name: values.detach().cpu().clone() for name, values in chosen.items()}

    def step(self, index: int, chunks: Iterator[Chunk], clips: int, learning_rate: float) -> dict[str, float | None]:
        """One step on one global batch of so many clips, of which this process has its chunks.

        Returns:
            Means over the batch: `loss`, `label_loss`, `teacher_loss`; and the `gradient_norm` before it was clipped.
        """
        self._network.train()
        self._updater.begin()
        for chunk in chunks:
            self._add(chunk)
        means = self._updater.apply(index, clips, learning_rate)
        if means is None:
            return {"loss": None, "label_loss": None, "teacher_loss": None, "gradient_norm": None}
        for name, values in self._average.items():
            values.lerp_(self._parameters[name].detach(), 1 - self._settings.average)
        loss, labels, teacher = means
        return {
            "loss": loss,
            "label_loss": labels,
            "teacher_loss": None if self._teacher is None else teacher,
            "gradient_norm": self._updater.gradient_norm,
        }

    def validate(self, test: TestClips, advance: Callable[[], None]) -> Score:
        self._network.eval()
        with torch.inference_mode():
            return count_right(self._evaluated, test, self._processes, self._settings.micro_batch, advance)

    def _evaluated(self, pixels: Tensor) -> Tensor:
        with autocast(self._precision, self._processes.device):
            clips = _normalized(pixels, self._task.clip)
            return functional_call(self._network, self._average, (clips,)) if self._average else self._network(clips)

    def _add(self, chunk: Chunk) -> None:
        device, augmentation = self._processes.device, self._settings.augmentation
        targets, known = soft_targets(chunk.labels, len(self._task.classes), augmentation.label_smoothing)
        pixels, targets, known = mix(
            chunk.pixels.to(device).float(),
            targets.to(device),
            known.to(device),
            chunk.samples,
            chunk.epoch,
            augmentation,
            self._settings.seed,
        )
        self._drop_path.draw(chunk.samples, chunk.epoch, device)
        with autocast(self._precision, device):
            logits = self._network(_normalized(pixels, self._task.clip)).float()
        labels = (label_loss(logits, targets) * known).sum()
        teacher = self._teacher_loss(logits, pixels)
        distillation = self._settings.distillation
        loss = labels if distillation is None else (1 - distillation.weight) * labels + distillation.weight * teacher
        self._updater.add(loss, labels, teacher)

    def _teacher_loss(self, logits: Tensor, pixels: Tensor) -> Tensor:
        distillation = self._settings.distillation
        if distillation is None or self._teacher is None or self._task.teacher is None:
            return logits.new_zeros(())
        with autocast(self._precision, self._processes.device), torch.no_grad():
            taught = self._teacher(_normalized(pixels, self._task.teacher.clip))
        return TEACHER_LOSSES[distillation.loss](logits, taught.float(), distillation.temperature).sum()


def _normalized(pixels: Tensor, clip: ClipSpec) -> Tensor:
    """Raw pixels `(B,T,3,S,S)` to what a network eats."""
    mean, std = (pixels.new_tensor(values)[:, None, None] for values in (clip.mean, clip.std))
    return (pixels - mean) / std


def _optimizer_settings(settings: TrainSettings) -> OptimizerSettings:
    return OptimizerSettings(
        kind=settings.optimizer,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        momentum=settings.momentum,
        betas=settings.betas,
        eps=settings.eps,
        clip_gradient=settings.clip_gradient,
    )


def _fingerprint(trainer: _Trainer, task: Task, settings: TrainSettings, precision: Precision) -> str:
    """Of everything that fixes the result.

    Videos are known by name and label: reading all of them first would take as long as an epoch.
    """
    teacher = None if task.teacher is None else dict(task.teacher.network.state_dict())
    facts = {
        "settings": settings.model_dump(mode="json", exclude={"precision"}),
        "precision": precision,
        "start": sha256_of_weights(trainer.weights()),
        "teacher": teacher and sha256_of_weights({name: values.cpu() for name, values in teacher.items()}),
        "classes": task.classes,
        "clip": task.clip.model_dump(mode="json"),
        "samples": task.samples.names,
        "test": None if task.test is None else task.test.names,
    }
    return fingerprint_of(facts)
