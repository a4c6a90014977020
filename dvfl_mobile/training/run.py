"""Runs a training plan: reads data and checkpoints, trains or distils, and writes the student to a folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from dvfl_mobile.data.classes import misplaced
from dvfl_mobile.data.clips import ClipSpec
from dvfl_mobile.errors import OutputError, UsageError
from dvfl_mobile.files import directory_lock, remove_partials, write_text, writing_to
from dvfl_mobile.model.architecture import Architecture
from dvfl_mobile.model.build import build_network, sha256_of_weights
from dvfl_mobile.model.checkpoint.load import load_checkpoint
from dvfl_mobile.model.class_names import are_numbered
from dvfl_mobile.model.source import WeightSource
from dvfl_mobile.model.student import Student, save_student
from dvfl_mobile.progress import Step, silent
from dvfl_mobile.spelling import command, option
from dvfl_mobile.training.clips.data import VideoSamples, sides_matter
from dvfl_mobile.training.clips.sources import HELD_OUT, Sources, find_sources
from dvfl_mobile.training.initial_weights import Blocks, initial_weights
from dvfl_mobile.training.journal import Journal
from dvfl_mobile.training.loop import Keeping, Outcome, Task, train
from dvfl_mobile.training.official.export import export_official
from dvfl_mobile.training.process_group import ProcessGroup, process_group
from dvfl_mobile.training.result import (
    JOURNAL_NAME,
    RESULT_NAME,
    BestScore,
    InitialWeights,
    TeacherFacts,
    TrainingResult,
)
from dvfl_mobile.training.settings import TrainSettings
from dvfl_mobile.training.state import forget
from dvfl_mobile.training.validation import VideoClips
from dvfl_mobile.version import __version__
from dvfl_mobile.wording import first_few_only, plural

BEST_NAME = "best.safetensors"
LAST_NAME = "last/student.safetensors"
STATE_NAME = "last/state.safetensors"
OFFICIAL_NAME = "best.pth"


@dataclass(frozen=True)
class TrainPlan:
    """What to train, on what, and how.

    Attributes:
        data: a data set's name, a folder or a CSV.
        settings: with `distillation` exactly where there is a teacher.
        model: a variant, or the name of another shape as `Architecture.name` spells it.
        architecture: other fields of the architecture than width, depths, frames, size and classes.
        teacher: the checkpoint to distil from.
        init: a checkpoint to begin with; None begins at the seed.
        frames, size: of a clip; None for the teacher's, or the published ones.
        validate: what the best weights are chosen by, as `find_sources` takes it.
        workers: threads that decode.
        official: also write `best.pth`. board: also write TensorBoard's files.
        notes: more for whoever reads the result.
    """

    data: str
    settings: TrainSettings
    model: str = "nano"
    architecture: Mapping[str, Any] = field(default_factory=dict)
    data_root: Path | None = None
    teacher: Path | None = None
    init: Path | None = None
    blocks: Blocks = "first"
    frames: int | None = None
    size: int | None = None
    frame_interval: int | None = None
    validate: str = HELD_OUT
    allow_leaks: bool = False
    workers: int = 2
    official: bool = False
    board: bool = False
    notes: tuple[str, ...] = ()


def run(plan: TrainPlan, out: Path, step: Step = silent) -> TrainingResult | None:
    """Train as planned, and leave `best.safetensors` and what belongs to it in `out`.

    Under torchrun, all processes train together; only the first one writes, shows progress and returns a result.
    Where a kill ended an earlier run of the same plan, it goes on, and ends as that one would have.

    Raises:
        UsageError: what was asked for doesn't go together.
        VideoError, CheckpointError, OutputError: data, checkpoints or `out` can't be used.
        DvflMobileError: the loss is no longer finite.
    """
    if (plan.teacher is None) != (plan.settings.distillation is None):
        raise UsageError("A teacher and the settings of distillation go together.")
    with process_group() as processes:
        processes.by_first(lambda: _refuse_finished(out))
        if not processes.is_first:
            return _train(plan, out, processes, silent)
        with directory_lock(out):
            remove_partials(out / BEST_NAME)
            return _train(plan, out, processes, step)


def shape_named(model: str) -> dict[str, Any]:
    """Width and depths of a variant, or of a shape as `Architecture.name` spells it: `focalnet-16-1_1_2_1`.

    Raises:
        UsageError: it is neither.
    """
    try:
        return Architecture.variant(model).model_dump(include={"embed_dim", "depths"})
    except KeyError:
        word, _, rest = model.partition("-")
        width, _, depths = rest.partition("-")
        numbers = [width, *depths.split("_")]
        if word != "focalnet" or not all(number.isdecimal() for number in numbers):
            raise UsageError(
                f"There is no model {model!r}.",
                hint="Choose pico, nano, tiny, small or base, or spell another shape: focalnet-WIDTH-DEPTHS, such as "
                "focalnet-48-1_1_2_1.",
            ) from None
        return {"embed_dim": int(width), "depths": tuple(map(int, depths.split("_")))}


def _refuse_finished(out: Path) -> None:
    if (out / RESULT_NAME).exists():
        raise OutputError(
            f"{out} holds a finished training.", hint=f"Write elsewhere with {option('out')}, or remove the folder."
        )


@dataclass(frozen=True)
class _Prepared:
    """Everything that training needs, found and read."""

    plan: TrainPlan
    sources: Sources
    settings: TrainSettings
    classes: tuple[str, ...]
    architecture: Architecture
    clip: ClipSpec
    teacher: Student | None
    weights: dict[str, Tensor]
    start: InitialWeights
    notes: tuple[str, ...]


def _train(plan: TrainPlan, out: Path, processes: ProcessGroup, step: Step) -> TrainingResult | None:
    prepared = _prepare(plan, step)
    settings, clip = prepared.settings, prepared.clip
    samples = VideoSamples(prepared.sources.train, clip, settings.augmentation, settings.seed)
    test = VideoClips(prepared.sources.test, clip) if prepared.sources.test else None
    task = Task(samples, test if test is not None and len(test) else None, prepared.classes, clip, prepared.teacher)
    network = build_network(prepared.architecture, prepared.weights)
    journal = Journal(out / JOURNAL_NAME, out / "tensorboard" if plan.board else None)

    def keep(weights: Mapping[str, Tensor]) -> None:
        save_student(_student(weights, prepared, BEST_NAME), out / BEST_NAME)

    with writing_to(out):
        out.mkdir(parents=True, exist_ok=True)
    outcome = train(
        network,
        task,
        settings,
        Keeping(out / STATE_NAME, journal, keep),
        processes,
        workers=plan.workers,
        step=step,
    )
    if not processes.is_first:
        return None
    with step("write"):
        return _written(prepared, outcome, processes, out)


def _prepare(plan: TrainPlan, step: Step) -> _Prepared:
    with step("load"):
        teacher = None if plan.teacher is None else load_checkpoint(plan.teacher, frames=plan.frames, size=plan.size)
        sources = find_sources(
            plan.data,
            plan.validate,
            data_root=plan.data_root,
            classes=_named_classes(teacher),
            class_count=None if teacher is None else len(teacher.classes),
            seed=plan.settings.seed,
            allow_leaks=plan.allow_leaks,
        )
        classes = _classes(sources, teacher)
        settings, notes = _fitted(plan, sources, teacher)
        architecture = _architecture(plan, settings, len(classes), teacher)
        weights, start = initial_weights(architecture, settings.seed, plan.init, blocks=plan.blocks, classes=classes)
    return _Prepared(
        plan=plan,
        sources=sources,
        settings=settings,
        classes=classes,
        architecture=architecture,
        clip=_clip(plan, architecture, teacher),
        teacher=teacher,
        weights=weights,
        start=start,
        notes=(*plan.notes, *sources.notes, *notes),
    )


def _named_classes(teacher: Student | None) -> tuple[str, ...] | None:
    """The teacher's class names, to find labels by; None where its checkpoint brought none."""
    if teacher is None or are_numbered(teacher.classes):
        return None
    return teacher.classes


def _classes(sources: Sources, teacher: Student | None) -> tuple[str, ...]:
    labelled = sum(ref.label is not None for ref in sources.train)
    if teacher is None:
        if not sources.classes or labelled < len(sources.train):
            raise UsageError(
                f"{sources.name} has labels for {labelled} of {plural(len(sources.train), 'video')}, and training "
                "needs one for each.",
                hint="Name a folder with a folder per class, or a CSV of path,label; distill needs no labels.",
            )
        return sources.classes
    if sources.classes and len(sources.classes) != len(teacher.classes):
        raise UsageError(
            f"The teacher tells {len(teacher.classes)} classes apart, and {sources.name} has {len(sources.classes)}.",
            hint=f"Train the teacher on the same classes first: {command('train', init='TEACHER', data='SOURCE')}.",
        )
    if _named_classes(teacher) is None and (strange := misplaced(sources.classes)) is not None:
        raise UsageError(
            f"The teacher's classes have no names, and {strange[1]} of {sources.name} would be its class {strange[0]}.",
            hint="Give the teacher's checkpoint its names, or number the folders as it does.",
        )
    return _named_classes(teacher) or sources.classes or teacher.classes


def _fitted(plan: TrainPlan, sources: Sources, teacher: Student | None) -> tuple[TrainSettings, tuple[str, ...]]:
    """The settings, with what the data rules out taken out of them, and notes on that."""
    settings, notes = plan.settings, []
    if sides_matter(plan.data) and settings.augmentation.flip:
        augmentation = settings.augmentation.model_copy(update={"flip": 0.0})
        settings = settings.model_copy(update={"augmentation": augmentation})
        notes.append("Clips aren't mirrored: the classes of Something-Something V2 tell left from right.")
    if teacher is not None and any(ref.label is None for ref in sources.train):
        notes.append("Videos without a label teach by the teacher's answer alone.")
    return settings, tuple(notes)


def _architecture(plan: TrainPlan, settings: TrainSettings, classes: int, teacher: Student | None) -> Architecture:
    frames = plan.frames or (teacher.clip.frames if teacher is not None else 8)
    size = plan.size or (teacher.clip.size if teacher is not None else 224)
    fields = {**shape_named(plan.model), **plan.architecture}
    known = {"num_classes": classes, "num_frames": frames, "img_size": size, "drop_path_rate": settings.drop_path}
    stages = len(fields["depths"])
    levels = {name: (value,) * stages for name, value in (("focal_levels", 2), ("focal_windows", 3))}
    try:
        return Architecture(**{**levels, **fields, **known})
    except ValidationError as error:
        raise UsageError(
            f"The model can't be built: {error.errors()[0]['msg']}.",
            hint=f"Check {option('model')}, {option('frames')} and {option('size')}.",
        ) from error


def _clip(plan: TrainPlan, architecture: Architecture, teacher: Student | None) -> ClipSpec:
    if teacher is not None:
        return teacher.clip
    official = ClipSpec.official(architecture.num_frames, architecture.img_size)
    return official.model_copy(update={"frame_interval": plan.frame_interval or official.frame_interval})


def _student(weights: Mapping[str, Tensor], prepared: _Prepared, name: str) -> Student:
    source = WeightSource(
        kind="checkpoint",
        name=name,
        sha256=sha256_of_weights(weights),
        size_bytes=sum(values.nbytes for values in weights.values()),
    )
    how = f"distilled from {prepared.teacher.source.name}" if prepared.teacher is not None else "trained on labels"
    return Student(
        network=build_network(prepared.architecture, weights),
        architecture=prepared.architecture,
        classes=prepared.classes,
        clip=prepared.clip,
        source=source,
        notes=(f"{how}, on {prepared.sources.name}", *prepared.sources.notes),
    )


def _written(prepared: _Prepared, outcome: Outcome, processes: ProcessGroup, out: Path) -> TrainingResult:
    """Write what is left to be written, the result last; then the state can go."""
    last = _student(outcome.weights, prepared, Path(LAST_NAME).name)
    save_student(last, out / LAST_NAME)
    result = _result(prepared, outcome, processes, last)
    if prepared.plan.official:
        accuracy = 100 * result.best.right / max(result.best.videos, 1) if result.best else 0.0
        epoch = (outcome.best_epoch or outcome.epochs) - 1
        best = load_checkpoint(out / BEST_NAME)
        export_official(best, out / OFFICIAL_NAME, epoch=epoch, max_accuracy=accuracy)
    write_text(out / RESULT_NAME, result.model_dump_json(indent=2) + "\n")
    forget(out / STATE_NAME)
    return result


def _result(prepared: _Prepared, outcome: Outcome, processes: ProcessGroup, student: Student) -> TrainingResult:
    notes = list(prepared.notes)
    if outcome.unreadable:
        named = first_few_only(outcome.unreadable)
        notes.append(f"{plural(len(outcome.unreadable), 'video')} could not be read, others stood in: {named}.")
    if outcome.epochs < prepared.settings.epochs:
        notes.append(f"Ended after {outcome.epochs} of {prepared.settings.epochs} epochs: none of the last was better.")
    return TrainingResult(
        kind="train" if prepared.teacher is None else "distill",
        tool_version=__version__,
        torch_version=torch.__version__,
        model=prepared.architecture.name,
        parameters=sum(values.numel() for values in student.network.state_dict().values()),
        architecture=prepared.architecture,
        clip=prepared.clip,
        classes=prepared.classes,
        data=prepared.sources.name,
        videos=len(prepared.sources.train),
        settings=prepared.settings,
        precision=outcome.precision,
        start=prepared.start,
        teacher=_teacher_facts(prepared),
        processes=processes.count,
        steps=outcome.steps,
        epochs=outcome.epochs,
        best=_best(prepared, outcome),
        notes=tuple(notes),
    )


def _best(prepared: _Prepared, outcome: Outcome) -> BestScore | None:
    if outcome.best is None or outcome.best_epoch is None:
        return None
    return BestScore(epoch=outcome.best_epoch, on=prepared.sources.test_name, **vars(outcome.best))


def _teacher_facts(prepared: _Prepared) -> TeacherFacts | None:
    teacher, distillation = prepared.teacher, prepared.settings.distillation
    if teacher is None or distillation is None:
        return None
    return TeacherFacts(
        name=teacher.source.name,
        sha256=teacher.source.sha256,
        model=teacher.architecture.name,
        **distillation.model_dump(),
    )
