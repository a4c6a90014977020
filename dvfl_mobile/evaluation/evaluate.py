"""Evaluate an artifact's accuracy on a labelled split, beside the reference form's on the same clips.

Two accuracies by themselves decide nothing: what counts is on how many videos the answer changed for the worse, and
whether there were enough of them to tell. The statistics are in `paired`; an undecided question is never a pass.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dvfl_mobile.artifacts.manifest import ArtifactFacts, verify
from dvfl_mobile.artifacts.reference import reference_student
from dvfl_mobile.data.clips import ClipFacts, ClipSpec, View, views
from dvfl_mobile.data.datasets import SplitName
from dvfl_mobile.documents import Verdict, leave
from dvfl_mobile.errors import ArtifactError, CheckpointError, InconclusiveError, UsageError
from dvfl_mobile.evaluation import paired
from dvfl_mobile.evaluation.confusion import confused_classes
from dvfl_mobile.evaluation.document import EvaluationReport, PairedFigures, VideoOutcome, judge
from dvfl_mobile.evaluation.figures import by_class, compare, is_in_top, mean_probabilities, points, points_up
from dvfl_mobile.evaluation.videos import ChosenVideos, Pixels, VideoSelection, ask_each, choose, shares_of
from dvfl_mobile.model.source import weights_notes
from dvfl_mobile.progress import Step, silent
from dvfl_mobile.runners.base import Runner, check_runs_here, open_runner
from dvfl_mobile.runners.values import Facts, Logits, runner_notes
from dvfl_mobile.spelling import option
from dvfl_mobile.version import __version__
from dvfl_mobile.wording import first_few, percent, plural

if TYPE_CHECKING:
    from dvfl_mobile.artifacts.make import Artifact
    from dvfl_mobile.model.student import Student
    from dvfl_mobile.training.process_group import ProcessGroup


EVALUATION_NAME = "evaluation.json"


@dataclass(frozen=True)
class Question:
    """What is asked of an artifact.

    Attributes:
        source: a data set, as `find_split` takes it.
        data_root: where the data set's videos lie, if not beside its lists.
        views, crops: clips drawn over a video's length, and crops of each: 1 and 1, or the paper's 4 and 3.
        max_drop: how much accuracy the artifact may lose, as a share: 0.01 is one point.
        confidence: how sure the verdict must be, 0.5 to below 1.
        most: take no more videos than this; None: all.
        allow_leaks: take a test split that shares videos or groups with the training split.
    """

    source: str | Path
    split: SplitName = "test"
    data_root: Path | None = None
    views: int = 1
    crops: int = 1
    max_drop: float = 0.01
    confidence: float = 0.95
    most: int | None = None
    allow_leaks: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.max_drop < 1:
            raise UsageError(
                f"No accuracy can drop by {self.max_drop:g}.",
                hint=f"Give {option('max_drop')} as a share: 0.01 is one point.",
            )
        if not 0.5 <= self.confidence < 1:
            raise UsageError(
                f"No verdict can have the confidence {self.confidence:g}.",
                hint=f"Give {option('confidence')} as a share from 0.5 to below 1, such as 0.95.",
            )

    @property
    def drawn(self) -> list[View]:
        """The views of each video."""
        return views(self.views, self.crops)

    @property
    def selection(self) -> VideoSelection:
        """The videos that it is about."""
        return VideoSelection(self.source, self.split, self.data_root, self.most, self.allow_leaks)


def evaluate(
    artifact: Artifact,
    question: Question,
    reference: Path | None = None,
    step: Step = silent,
    processes: ProcessGroup | None = None,
) -> EvaluationReport:
    """Ask the artifact and the reference form about every video of a split; the report also goes into its folder.

    Videos pass one at a time, so memory doesn't grow with their number. Where a video is drawn in several views, its
    answer is the mean of their softmax probabilities: the official multi-view testing sums the same over the views
    (`tot_similarity += output.softmax(dim=-1)`, X-CLIP's `main.py`).

    Args:
        reference: the checkpoint to compare with, in place of the one stored with the artifact.
        processes: those that torchrun started, to share the videos out; all get the same report, the first leaves it.

    Raises:
        VideoError: videos have no label, or none that the model has; or not one of them could be read.
        UsageError: the reference has other classes or clips than the artifact; or the test split leaks.
        CheckpointError: the reference's own logits aren't finite.
    """
    manifest = artifact.manifest
    drawn = question.drawn
    chosen = choose(manifest.classes, question.selection, "artifact")
    try:
        check_runs_here(manifest)
    except InconclusiveError as error:
        verify(manifest, artifact.folder)
        return _store(artifact, undecided(artifact, question, chosen, error), processes)
    student = reference_student(artifact, reference)
    with step(f"PyTorch and {manifest.target}", shares_of(chosen, processes)) as advance:
        pair = _open_pair(artifact, student)
        answers = _ask(pair, chosen, manifest.clip, drawn, processes, advance)
    return _store(artifact, decided(artifact, question, chosen, pair, answers), processes)


@dataclass(frozen=True)
class RunnerPair:
    """Both runners, and whose weights the reference has."""

    reference: Runner
    artifact: Runner
    checkpoint: str


@dataclass(frozen=True)
class Answers:
    """What both said of every video that could be read; `notes` name the others."""

    rows: tuple[VideoOutcome, ...]
    notes: tuple[str, ...]


def decided(
    artifact: Artifact, question: Question, chosen: ChosenVideos, pair: RunnerPair, answers: Answers
) -> EvaluationReport:
    """The report on an artifact that was run."""
    pooled = compare(answers.rows, question.confidence)
    verdict = judge(pooled, question.max_drop)
    needed = None
    if verdict is Verdict.INCONCLUSIVE:
        flips = paired.Flips(pooled.lost, pooled.gained, pooled.videos)
        needed = paired.videos_to_decide(flips, question.max_drop, question.confidence)
    return EvaluationReport(
        verdict=verdict,
        reason=_reason(verdict, pooled, question, needed),
        runner=dict(pair.artifact.facts),
        reference={**pair.reference.facts, "checkpoint": pair.checkpoint},
        videos=ClipFacts(count=len(answers.rows), source=chosen.source, notes=(*chosen.notes, *answers.notes)),
        videos_to_decide=needed,
        pooled=pooled,
        classes=by_class(answers.rows, ArtifactFacts.of(artifact.manifest, artifact.folder, chosen.classes).class_name),
        class_names=chosen.classes,
        confused=confused_classes([(row.label, row.artifact_top1) for row in answers.rows], chosen.classes),
        rows=answers.rows,
        **_common(artifact, question, chosen, pair.artifact.facts),
    )


def undecided(
    artifact: Artifact, question: Question, chosen: ChosenVideos, error: InconclusiveError
) -> EvaluationReport:
    """The report on an artifact that nothing here can run: inconclusive, for the reason that `error` gives."""
    return EvaluationReport(
        verdict=Verdict.INCONCLUSIVE,
        reason=f"{error.problem} {error.hint}",
        runner={},
        reference={},
        videos=ClipFacts(count=0, source=chosen.source, notes=chosen.notes),
        **_common(artifact, question, chosen, {}),
    )


def _common(artifact: Artifact, question: Question, chosen: ChosenVideos, runner: Facts) -> dict[str, Any]:
    weights = artifact.manifest.weights.kind
    return {
        "tool_version": __version__,
        "artifact": ArtifactFacts.of(artifact.manifest, artifact.folder, chosen.classes),
        "weights": weights,
        "split": chosen.split,
        "views": question.views,
        "crops": question.crops,
        "max_drop": question.max_drop,
        "confidence": question.confidence,
        "notes": (*weights_notes(weights), *runner_notes(runner)),
    }


def _reason(verdict: Verdict, pooled: PairedFigures, question: Question, needed: int | None) -> str:
    drop = f"The drop in top-1 is {points(pooled.drop)}"
    sure, allowed = (
        f"at {percent(question.confidence)} confidence",
        f"{option('max_drop')} allows {points(question.max_drop)}",
    )
    if verdict is Verdict.PASS:
        return f"{drop}, and {sure} at most {points(pooled.drop_at_most)}; {allowed}."
    if verdict is Verdict.FAIL:
        return f"{drop}, and {sure} at least {points_up(pooled.drop_at_least)}; {allowed}."
    between = f"between {points_up(pooled.drop_at_least).split()[0]} and {points(pooled.drop_at_most)}"
    if needed is None:
        more = f"The drop lies so close to it that not even {paired.MOST_VIDEOS:,} videos would decide it."
    else:
        more = f"About {needed:,} videos would decide it at the rates of flips seen; these are {pooled.videos:,}."
    return f"{drop}, and {sure} it may be anything {between}; {allowed}. {more}"


def _open_pair(artifact: Artifact, student: Student) -> RunnerPair:
    from dvfl_mobile.runners.pytorch import TorchRunner

    return RunnerPair(TorchRunner(student), open_runner(artifact.folder, artifact.manifest), student.source.name)


def _ask(
    pair: RunnerPair,
    chosen: ChosenVideos,
    spec: ClipSpec,
    drawn: Sequence[View],
    processes: ProcessGroup | None,
    advance: Callable[[], None],
) -> Answers:
    """Let both answer on the same clips of each video; each process takes its share, and all get all answers."""

    def answer(name: str, label: int, pixels: Pixels) -> VideoOutcome:
        return _outcome(name, label, pair.reference.run(pixels), pair.artifact.run(pixels))

    answered = ask_each(chosen, spec, drawn, answer, processes, advance)
    return Answers(answered.rows, (*answered.notes, *_about_infinities(answered.rows)))


def _outcome(name: str, label: int, reference: Logits, artifact: Logits) -> VideoOutcome:
    """One video's row, from the logits `(V,K)` of its V views."""
    if reference.shape != artifact.shape:
        raise ArtifactError(
            f"The artifact gave logits of shape {artifact.shape}, the reference form {reference.shape}.",
            hint="Compare it with the checkpoint that it was made from, or convert that checkpoint again.",
        )
    expected, found = mean_probabilities(reference), mean_probabilities(artifact)
    if expected is None:
        raise CheckpointError(
            f"The reference form's own logits on {name} are not finite: nothing compares with those.",
            hint="The checkpoint's weights are damaged or have diverged; use another.",
        )
    chosen = int(expected.argmax())
    answer = None if found is None else int(found.argmax())
    return VideoOutcome(
        name=name,
        label=label,
        reference_top1=chosen,
        artifact_top1=answer,
        reference_in_top5=is_in_top(expected, label),
        artifact_in_top5=found is not None and is_in_top(found, label),
        agree=answer == chosen,
    )


def _about_infinities(rows: Sequence[VideoOutcome]) -> list[str]:
    names = [row.name for row in rows if row.artifact_top1 is None]
    if not names:
        return []
    where = plural(len(names), "video")
    return [f"The artifact's logits are not finite on {where}, counted as wrong: {first_few(names)}."]


def _store(artifact: Artifact, report: EvaluationReport, processes: ProcessGroup | None) -> EvaluationReport:
    """Leave the report in the artifact's folder too."""
    if processes is None or processes.is_first:
        leave(report, artifact.folder / EVALUATION_NAME)
    return report
