"""The options of stream, each declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Videos = Annotated[
    Path | None,
    typer.Argument(
        metavar="VIDEO",
        help="A video of any length; or a folder of videos, a folder per class, or a CSV of path,label, laid end to "
        "end. Or else: --data.",
        show_default=False,
    ),
]
Folder = Annotated[
    Path,
    typer.Option("--artifact", metavar="FOLDER", help="The folder of an artifact, such as out/nano/tflite/fp16."),
]
PolicyFile = Annotated[
    Path | None,
    typer.Option(
        "--policy", metavar="FILE", help="A policy, as JSON; the options below change it.", show_default=False
    ),
]
Every = Annotated[
    int | None,
    typer.Option(
        "--every",
        min=1,
        max=3000,
        metavar="N",
        help="From one answer to the next, in ticks of a clock of 30 a second. Default: 8.",
        show_default=False,
    ),
]
HalfLife = Annotated[
    float | None,
    typer.Option(
        "--half-life",
        min=0,
        max=3600,
        metavar="S",
        help="Seconds after which what the model said counts half; 0: only its last answer counts. Default: 0.5.",
        show_default=False,
    ),
]
Threshold = Annotated[
    float | None,
    typer.Option(
        "--threshold",
        min=0,
        max=1,
        metavar="P",
        help="The least probability at which a label is said. Default: 0.5.",
        show_default=False,
    ),
]
Hysteresis = Annotated[
    float | None,
    typer.Option(
        "--hysteresis",
        min=0,
        max=1,
        metavar="P",
        help="By how much less than the threshold, and than another, a label that was said may have. Default: 0.1.",
        show_default=False,
    ),
]
Html = Annotated[
    Path | None,
    typer.Option("--html", metavar="FILE", help="Also write a page with the time line.", show_default=False),
]
Jsonl = Annotated[
    Path | None,
    typer.Option(
        "--jsonl",
        metavar="FILE",
        help="Also write a JSON line for each answer, with its logits.",
        show_default=False,
    ),
]
Srt = Annotated[
    Path | None,
    typer.Option("--srt", metavar="FILE", help="Also write subtitles for the video.", show_default=False),
]
SavePolicy = Annotated[
    Path | None,
    typer.Option("--save-policy", metavar="FILE", help="Also write the policy, for an app.", show_default=False),
]
Data = Annotated[
    str | None,
    typer.Option(
        "--data",
        metavar="SOURCE",
        help="Labelled videos, laid end to end by whole groups, to say how right it is: ucf50, ucf101, hmdb51, ssv2, "
        "kinetics400, a folder, or a CSV of path,label.",
        show_default=False,
    ),
]
MaxGroups = Annotated[
    int | None,
    typer.Option(
        "--max-groups",
        min=2,
        metavar="N",
        help="Take at most N groups of the split, spread evenly by class. Default: all.",
        show_default=False,
    ),
]
AllowLeaks = Annotated[
    bool, typer.Option("--allow-leaks", help="Take a test split that shares videos or groups with the training split.")
]
Seed = Annotated[int, typer.Option("--seed", min=0, max=2**32 - 1, metavar="N", help="Of the order, and of intervals.")]
Sweep = Annotated[
    bool, typer.Option("--sweep", help="Also try strides and smoothings around the policy: which does nothing beat?")
]
Profile = Annotated[
    Path | None,
    typer.Option(
        "--profile",
        metavar="FILE",
        help="A profile.json of this artifact, to say which policies its devices keep up with.",
        show_default=False,
    ),
]
