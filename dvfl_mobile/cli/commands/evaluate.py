"""`dvfl-mobile evaluate`: accuracy of an artifact beside PyTorch's on a labelled split, or of a checkpoint alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dvfl_mobile.cli.console import print_note
from dvfl_mobile.cli.options import (
    Data,
    DataRoot,
    Frames,
    Json,
    JUnit,
    Labels,
    Markdown,
    MaxVideos,
    Reference,
    Size,
    SplitChoice,
    Weights,
)
from dvfl_mobile.cli.output import print_report, why_not_drawn

if TYPE_CHECKING:
    from dvfl_mobile.evaluation.accuracy import AccuracyReport
    from dvfl_mobile.evaluation.document import EvaluationReport
    from dvfl_mobile.evaluation.evaluate import Question


Model = Annotated[
    Path,
    typer.Argument(
        metavar="MODEL",
        help="The folder of an artifact, such as out/nano/tflite/fp16; or a checkpoint, .pth or .safetensors.",
        show_default=False,
    ),
]
Views = Annotated[
    int,
    typer.Option("--views", min=1, max=100, metavar="N", help="Clips drawn over a video's length; the paper's are 4."),
]
Crops = Annotated[
    int, typer.Option("--crops", min=1, max=3, metavar="N", help="Crops of each clip, 1 or 3; the paper's are 3.")
]
MaxDrop = Annotated[
    float | None,
    typer.Option(
        "--max-drop",
        min=0.0,
        max=0.99,
        metavar="SHARE",
        help="How much top-1 accuracy an artifact may lose. Default: 0.01, one point.",
        show_default=False,
    ),
]
AllowLeaks = Annotated[
    bool, typer.Option("--allow-leaks", help="Take a test split that shares videos or groups with the training split.")
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "-o",
        metavar="FOLDER",
        help="Where a checkpoint's report and confusion matrix go. Default: nowhere; an artifact's go into its folder.",
        show_default=False,
    ),
]
Confidence = Annotated[
    float,
    typer.Option("--confidence", min=0.5, max=0.999999, metavar="SHARE", help="How sure the verdict must be."),
]


def evaluate(
    model: Model,
    data: Data,
    split: SplitChoice = "test",
    data_root: DataRoot = None,
    views: Views = 1,
    crops: Crops = 1,
    max_drop: MaxDrop = None,
    confidence: Confidence = 0.95,
    max_clips: MaxVideos = None,
    allow_leaks: AllowLeaks = False,
    reference: Reference = None,
    labels: Labels = None,
    frames: Frames = None,
    size: Size = None,
    weights: Weights = None,
    out: Out = None,
    json: Json = False,
    junit: JUnit = None,
    markdown: Markdown = None,
) -> None:
    """Check how much accuracy an artifact lost, or count a checkpoint's, on labelled videos.

    PyTorch and the artifact answer on the same clips, and what counts is on how many videos the answer got worse. It
    ends with 0 (the drop is surely below --max-drop), 5 (surely above) or 7 (too few videos to tell, or nothing here
    can run it). A checkpoint by itself has nothing to pass: its accuracy is counted, and that ends with 0.

    Start it with torchrun to share the videos out over several processes.
    """
    from dvfl_mobile.evaluation.evaluate import Question

    question = Question(
        source=data,
        split=split,
        data_root=data_root,
        views=views,
        crops=crops,
        max_drop=0.01 if max_drop is None else max_drop,
        confidence=confidence,
        most=max_clips,
        allow_leaks=allow_leaks,
    )
    if model.is_dir():
        own = {"--labels": labels, "--frames": frames, "--size": size, "--weights": weights, "--out": out}
        _refuse(own, "go with a checkpoint; an artifact has its own")
        _evaluate_artifact(model, question, reference, json=json, junit=junit, markdown=markdown)
    else:
        _refuse(
            {"--max-drop": max_drop, "--reference": reference, "--junit": junit},
            "go with an artifact: a checkpoint is held against nothing",
        )
        said = _Said(labels, frames, size, weights)
        _measure_checkpoint(model, question, said, out, json=json, markdown=markdown)


def _evaluate_artifact(
    folder: Path, question: Question, reference: Path | None, *, json: bool, junit: Path | None, markdown: Path | None
) -> None:
    from dvfl_mobile.artifacts.make import open_artifact
    from dvfl_mobile.cli.progress import steps
    from dvfl_mobile.evaluation.evaluate import evaluate as ask
    from dvfl_mobile.training.process_group import process_group

    with process_group() as processes:
        with steps(quiet=not processes.is_first) as step:
            report = ask(open_artifact(folder), question, reference, step, processes)
        if not processes.is_first:
            return
    show_evaluation(report, folder, json=json, junit=junit, markdown=markdown)
    raise typer.Exit(report.verdict.exit_code)


@dataclass(frozen=True)
class _Said:
    """What is said of a checkpoint that it doesn't say itself, or says otherwise."""

    labels: Path | None
    frames: int | None
    size: int | None
    weights: str | None


def _measure_checkpoint(
    path: Path, question: Question, said: _Said, out: Path | None, *, json: bool, markdown: Path | None
) -> None:
    from dvfl_mobile.cli.progress import steps
    from dvfl_mobile.evaluation.accuracy import measure
    from dvfl_mobile.model.checkpoint.load import load_checkpoint
    from dvfl_mobile.training.process_group import process_group

    with process_group() as processes:
        with steps(quiet=not processes.is_first) as step:
            with step("load"):
                student = load_checkpoint(path, said.labels, frames=said.frames, size=said.size, weights=said.weights)
            report = measure(student, question, step, processes)
        if not processes.is_first:
            return
    show_accuracy(report, out, json=json, markdown=markdown)


def _refuse(options: Mapping[str, Path | str | float | None], why: str) -> None:
    from dvfl_mobile.errors import UsageError

    given = [name for name, value in options.items() if value is not None]
    if given:
        raise UsageError(f"{' and '.join(given)}: such options {why}.", hint=f"Leave {' and '.join(given)} out.")


def show_evaluation(
    report: EvaluationReport, folder: Path, *, json: bool, junit: Path | None, markdown: Path | None
) -> None:
    """One evaluation, and the artifact's confusion matrix as a picture in its folder."""
    from dvfl_mobile.report import evaluation
    from dvfl_mobile.report.confusion import PICTURE_NAME

    files = ((junit, evaluation.junit), (markdown, evaluation.markdown))
    print_report(report, evaluation.terminal, files, json=json)
    if report.rows:
        _draw(lambda path: evaluation.draw(report, path), folder / PICTURE_NAME)


def show_accuracy(report: AccuracyReport, out: Path | None, *, json: bool, markdown: Path | None) -> None:
    """A checkpoint's accuracy; report and confusion matrix also go into `out`."""
    from dvfl_mobile.documents import json_text
    from dvfl_mobile.files import write_text
    from dvfl_mobile.report import accuracy
    from dvfl_mobile.report.confusion import PICTURE_NAME

    print_report(report, accuracy.terminal, ((markdown, accuracy.markdown),), json=json)
    if out is not None:
        write_text(out / "accuracy.json", json_text(report))
        _draw(lambda path: accuracy.draw(report, path), out / PICTURE_NAME)
    elif not json:
        print_note("-o FOLDER keeps this report, and the confusion matrix as a picture.")


def _draw(draw: Callable[[Path], None], path: Path) -> None:
    """Draw the matrix: where it can't be drawn, or not there, that is said and no more."""
    error = why_not_drawn(path, draw)
    print_note(
        f"The confusion matrix is {path}." if error is None else f"The confusion matrix wasn't drawn: {error.problem}"
    )
