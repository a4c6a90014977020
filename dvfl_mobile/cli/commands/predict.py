"""`dvfl-mobile predict`: classify a video with an artifact."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dvfl_mobile.cli.console import print_json, print_rich
from dvfl_mobile.cli.options import Json

if TYPE_CHECKING:
    from dvfl_mobile.pipeline.prediction import Prediction


Video = Annotated[Path, typer.Argument(metavar="VIDEO", help="A video file, of any length.", show_default=False)]
Folder = Annotated[
    Path,
    typer.Option("--artifact", metavar="FOLDER", help="The folder of an artifact, such as out/nano/executorch/fp32."),
]


def predict(video: Video, artifact: Folder, json: Json = False) -> None:
    """Classify a video with an artifact.

    Shows its five likeliest classes, by one view of the video.
    """
    from dvfl_mobile.artifacts.make import open_artifact
    from dvfl_mobile.cli.progress import steps
    from dvfl_mobile.pipeline.prediction import predict

    opened = open_artifact(artifact)
    with steps(quiet=True) as step, step("predict"):
        prediction = predict(opened, video)
    show_prediction(prediction, json=json)


def show_prediction(prediction: Prediction, *, json: bool) -> None:
    """What an artifact says of a video."""
    from dvfl_mobile.report.prediction import terminal

    if json:
        print_json(prediction)
    else:
        print_rich(terminal(prediction))
