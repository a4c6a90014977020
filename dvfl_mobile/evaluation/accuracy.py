"""Top-1 and top-5 accuracy of a checkpoint on a labelled split, counted as published tables do; without a verdict.

`evaluation` holds an artifact against its reference and decides; here nothing is compared, so there is nothing to
pass. Videos may be shared out over processes that torchrun started: the counts are those of one process.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np

from dvfl_mobile.data.clips import ClipFacts
from dvfl_mobile.documents import Document, Line
from dvfl_mobile.errors import CheckpointError
from dvfl_mobile.evaluation.confusion import Confused, confused_classes
from dvfl_mobile.evaluation.document import Accuracy, Score
from dvfl_mobile.evaluation.evaluate import Question
from dvfl_mobile.evaluation.figures import is_in_top, mean_probabilities
from dvfl_mobile.evaluation.videos import ChosenVideos, Pixels, VideoRows, ask_each, choose, shares_of
from dvfl_mobile.model.costs import Costs, count_costs, published_costs
from dvfl_mobile.model.source import weights_notes
from dvfl_mobile.progress import Step, silent
from dvfl_mobile.runners.base import Runner
from dvfl_mobile.runners.pytorch import TorchRunner
from dvfl_mobile.runners.values import Facts
from dvfl_mobile.version import __version__

if TYPE_CHECKING:
    from dvfl_mobile.model.student import Student
    from dvfl_mobile.training.process_group import ProcessGroup


class AnsweredVideo(Document):
    """What a network said of one video.

    Attributes:
        top1: the likeliest class.
        in_top5: whether the label is among the five likeliest.
    """

    name: Line
    label: int
    top1: int
    in_top5: bool

    @property
    def is_right(self) -> bool:
        return self.top1 == self.label


class ClassScore(Document):
    """How many videos of one class were answered rightly, and for how many the label was among the first five."""

    name: Line
    videos: int
    right: int
    right_in_five: int


class AccuracyReport(Document):
    """One checkpoint's accuracy with everything that it rests on.

    Attributes:
        model: the architecture's name, as `nano`; `checkpoint` the weights' name, with their SHA-256.
        runner: what computed it. processes: how many shared the videos.
        videos: how many were answered, where they are from, and what was wrong with which.
        split: `train` or `test`, or `all` where the source gives no split.
        costs: of one clip; a video's answer takes views times crops of them. `published`: the paper's, where this is
            its network at its size.
        classes: those that the videos have, in the order of the model's. `class_names` are the model's.
        confused: which were taken for which.
    """

    schema_version: Literal[1] = 1
    tool_version: str
    model: Line
    checkpoint: Line
    checkpoint_sha256: str
    weights: Literal["checkpoint", "seeded"]
    runner: dict[str, Line | int | bool | None]
    processes: int
    videos: ClipFacts
    split: Line
    views: int
    crops: int
    confidence: float
    accuracy: Accuracy
    costs: Costs
    published: Costs | None
    notes: tuple[Line, ...]
    class_names: tuple[Line, ...]
    classes: tuple[ClassScore, ...]
    confused: tuple[Confused, ...]
    rows: tuple[AnsweredVideo, ...]


def measure(
    student: Student, question: Question, step: Step = silent, processes: ProcessGroup | None = None
) -> AccuracyReport:
    """Ask a student about every video of a split; where there are several processes, all get the same report.

    A video's answer is the mean of the softmax probabilities over its views, as in `evaluation.evaluate`.

    Args:
        question: its `max_drop` has no part in this.

    Raises:
        VideoError: videos have no label, or none that the student has; or not one of them could be read.
        UsageError: the test split shares videos or groups with the training split, and that wasn't allowed.
        CheckpointError: the student's logits aren't finite.
    """
    drawn = question.drawn
    chosen = choose(student.classes, question.selection, "checkpoint")
    runner = TorchRunner(student, "cpu" if processes is None else str(processes.device))
    with step("answer videos", shares_of(chosen, processes)) as advance:
        answered = ask_each(chosen, student.clip, drawn, partial(_answer, runner), processes, advance)
    return _report(student, question, chosen, answered, runner.facts, 1 if processes is None else processes.count)


def _answer(runner: Runner, name: str, label: int, pixels: Pixels) -> AnsweredVideo:
    """The row of one video, of pixels `(V,T,3,S,S)`."""
    found = mean_probabilities(runner.run(pixels))
    if found is None:
        raise CheckpointError(
            f"The checkpoint's logits on {name} are not finite.",
            hint="Its weights are damaged or have diverged; use another.",
        )
    return AnsweredVideo(name=name, label=label, top1=int(found.argmax()), in_top5=is_in_top(found, label))


def _report(
    student: Student,
    question: Question,
    chosen: ChosenVideos,
    answered: VideoRows[AnsweredVideo],
    facts: Facts,
    processes: int,
) -> AccuracyReport:
    rows = answered.rows
    kind = student.source.kind
    right = [np.array([row.is_right for row in rows]), np.array([row.in_top5 for row in rows])]
    top1, top5 = (Score.of(int(each.sum()), len(rows), question.confidence) for each in right)
    return AccuracyReport(
        tool_version=__version__,
        model=student.architecture.name,
        checkpoint=student.source.name,
        checkpoint_sha256=student.source.sha256,
        weights=kind,
        runner=dict(facts),
        processes=processes,
        videos=ClipFacts(count=len(rows), source=chosen.source, notes=(*chosen.notes, *answered.notes)),
        split=chosen.split,
        views=question.views,
        crops=question.crops,
        confidence=question.confidence,
        accuracy=Accuracy(top1=top1, top5=top5),
        costs=count_costs(student.architecture),
        published=published_costs(student.architecture),
        notes=(*weights_notes(kind), *student.notes),
        class_names=chosen.classes,
        classes=_by_class(rows, chosen.classes),
        confused=confused_classes([(row.label, row.top1) for row in rows], chosen.classes),
        rows=rows,
    )


def _by_class(rows: Sequence[AnsweredVideo], names: Sequence[str]) -> tuple[ClassScore, ...]:
    of_class: defaultdict[int, list[AnsweredVideo]] = defaultdict(list)
    for row in rows:
        of_class[row.label].append(row)
    return tuple(
        ClassScore(
            name=names[label],
            videos=len(members),
            right=sum(row.is_right for row in members),
            right_in_five=sum(row.in_top5 for row in members),
        )
        for label, members in sorted(of_class.items())
    )
