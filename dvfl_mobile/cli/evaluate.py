"""`dvfl-mobile evaluate`: an artifact's accuracy on a labelled split, beside PyTorch's."""

from __future__ import annotations

from typing import Annotated

import typer

from dvfl_mobile.cli.options import (
    ArtifactFolder,
    Data,
    DataRoot,
    Json,
    JUnit,
    Markdown,
    MaxVideos,
    Reference,
    SplitChoice,
)

Views = Annotated[
    int,
    typer.Option("--views", min=1, max=100, metavar="N", help="Clips drawn over a video's length; the paper's are 4."),
]
Crops = Annotated[
    int, typer.Option("--crops", min=1, max=3, metavar="N", help="Crops of each clip, 1 or 3; the paper's are 3.")
]
MaxDrop = Annotated[
    float,
    typer.Option(
        "--max-drop", min=0.0, max=0.99, metavar="SHARE", help="How much top-1 accuracy may drop: 0.01 is one point."
    ),
]
Confidence = Annotated[
    float,
    typer.Option("--confidence", min=0.5, max=0.999999, metavar="SHARE", help="How sure the verdict must be."),
]


def evaluate(
    artifact: ArtifactFolder,
    data: Data,
    split: SplitChoice = "test",
    data_root: DataRoot = None,
    views: Views = 1,
    crops: Crops = 1,
    max_drop: MaxDrop = 0.01,
    confidence: Confidence = 0.95,
    max_clips: MaxVideos = None,
    reference: Reference = None,
    json: Json = False,
    junit: JUnit = None,
    markdown: Markdown = None,
) -> None:
    """Check how much accuracy an artifact lost, on labelled videos.

    PyTorch and the artifact answer on the same clips, and what counts is on how many videos the answer got worse.

    Ends with 0 (the drop is surely below --max-drop), 5 (surely above) or 7 (too few videos to tell, or nothing here
    can run it). The report is also left in the artifact's folder.
    """
    from dvfl_mobile import artifacts
    from dvfl_mobile.cli.progress import steps
    from dvfl_mobile.cli.show import show_evaluation
    from dvfl_mobile.evaluation import Question
    from dvfl_mobile.evaluation import evaluate as ask

    question = Question(
        source=data,
        split=split,
        data_root=data_root,
        views=views,
        crops=crops,
        max_drop=max_drop,
        confidence=confidence,
        most=max_clips,
    )
    with steps() as step:
        report = ask(artifacts.open_artifact(artifact), question, reference, step)
    show_evaluation(report, json=json, junit=junit, markdown=markdown)
    raise typer.Exit(report.verdict.exit_code)
