"""`dvfl-mobile stream`: what an app would say of a video, second by second."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dvfl_mobile.cli.console import print_note
from dvfl_mobile.cli.options import Json
from dvfl_mobile.cli.output import print_report

if TYPE_CHECKING:
    from dvfl_mobile.streaming.policy import Policy
    from dvfl_mobile.streaming.stream import Streamed

Videos = Annotated[
    Path,
    typer.Argument(
        metavar="VIDEO",
        help="A video of any length; or a folder of videos, a folder per class, or a CSV of path,label, laid end to "
        "end.",
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


def stream(
    video: Videos,
    artifact: Folder,
    policy: PolicyFile = None,
    every: Every = None,
    half_life: HalfLife = None,
    threshold: Threshold = None,
    hysteresis: Hysteresis = None,
    html: Html = None,
    jsonl: Jsonl = None,
    srt: Srt = None,
    save_policy: SavePolicy = None,
    json: Json = False,
) -> None:
    """Show what an app would say of a video, second by second.

    The artifact is asked as an app asks it that watches a camera, and what it says goes through the policy: how often
    to ask, how to smooth, when to say a label and when nothing.
    """
    from dvfl_mobile.artifacts.make import open_artifact
    from dvfl_mobile.cli.progress import steps
    from dvfl_mobile.data.videos import find_videos
    from dvfl_mobile.errors import UsageError
    from dvfl_mobile.streaming.reel import Reel
    from dvfl_mobile.streaming.stream import stream as watch

    chosen = chosen_policy(policy, every=every, half_life_s=half_life, threshold=threshold, hysteresis=hysteresis)
    opened = open_artifact(artifact)
    refs = find_videos(video, opened.manifest.classes)
    if srt is not None and len(refs) > 1:
        raise UsageError(f"--srt: subtitles go with one video, and {video} is {len(refs)}.", hint="Name one of them.")
    with steps() as step:
        streamed = watch(opened, Reel(refs), chosen, str(video), step)
    show_stream(streamed, json=json, html=html, jsonl=jsonl, srt=srt, save_policy=save_policy)


def chosen_policy(path: Path | None, **fields: float | None) -> Policy:
    """The policy of a file, or the default one, with the fields that were given."""
    from dvfl_mobile.streaming.policy import Policy, read_policy

    base = Policy() if path is None else read_policy(path)
    given = {name: value for name, value in fields.items() if value is not None}
    return Policy.model_validate({**base.model_dump(), **given})


def show_stream(
    streamed: Streamed,
    *,
    json: bool,
    html: Path | None,
    jsonl: Path | None,
    srt: Path | None,
    save_policy: Path | None,
) -> None:
    """Print a stream's report, and write the files that were asked for."""
    from dvfl_mobile.documents import json_text
    from dvfl_mobile.report.stream import html as page
    from dvfl_mobile.report.stream import lines, terminal

    files = (
        (html, page.html),
        (jsonl, lambda _: lines.json_lines(streamed)),
        (srt, lines.subtitles),
        (save_policy, lambda report: json_text(report.policy)),
    )
    print_report(streamed.report, terminal.terminal, files, json=json)
    if html is not None:
        print_note(f"The page is {html}.")
