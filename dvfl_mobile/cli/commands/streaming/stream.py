"""`dvfl-mobile stream`: what an app would say of a video, second by second."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from dvfl_mobile.cli.commands.streaming.options import (
    AllowLeaks,
    Data,
    Every,
    Folder,
    HalfLife,
    Html,
    Hysteresis,
    Jsonl,
    MaxGroups,
    PolicyFile,
    Profile,
    SavePolicy,
    Seed,
    Srt,
    Sweep,
    Threshold,
    Videos,
)
from dvfl_mobile.cli.console import print_note
from dvfl_mobile.cli.options import DataRoot, Json, SplitChoice
from dvfl_mobile.cli.output import print_report

if TYPE_CHECKING:
    from dvfl_mobile.streaming.playlist import Playlist
    from dvfl_mobile.streaming.policy import Policy
    from dvfl_mobile.streaming.stream import Streamed


def stream(
    artifact: Folder,
    video: Videos = None,
    data: Data = None,
    split: SplitChoice = "test",
    data_root: DataRoot = None,
    max_groups: MaxGroups = None,
    allow_leaks: AllowLeaks = False,
    seed: Seed = 0,
    policy: PolicyFile = None,
    every: Every = None,
    half_life: HalfLife = None,
    threshold: Threshold = None,
    hysteresis: Hysteresis = None,
    sweep: Sweep = False,
    profile: Profile = None,
    html: Html = None,
    jsonl: Jsonl = None,
    srt: Srt = None,
    save_policy: SavePolicy = None,
    json: Json = False,
) -> None:
    """Show what an app would say of a video, second by second.

    The artifact is asked as an app asks it that watches a camera, and what it says goes through the policy: how often
    to ask, how to smooth, when to say a label and when nothing.

    With --data, labelled videos are laid end to end, and it is counted how long it is right, how soon after a cut, and
    how often it changes its mind.
    """
    from dvfl_mobile.artifacts.make import open_artifact
    from dvfl_mobile.cli.progress import steps
    from dvfl_mobile.streaming.pace import read_paces
    from dvfl_mobile.streaming.stream import stream as watch

    chosen = chosen_policy(policy, every=every, half_life_s=half_life, threshold=threshold, hysteresis=hysteresis)
    asked = _Asked(video, data, split, data_root, max_groups, allow_leaks, seed)
    opened = open_artifact(artifact)
    paces = () if profile is None else read_paces(profile, opened.manifest)
    playlist = _playlist(asked, opened.manifest.classes)
    _refuse_subtitles_of_many(srt, playlist)
    with steps() as step:
        streamed = watch(opened, playlist, chosen, seed=seed, sweeps=sweep, paces=paces, step=step)
    show_stream(streamed, json=json, html=html, jsonl=jsonl, srt=srt, save_policy=save_policy)


def chosen_policy(path: Path | None, **fields: float | None) -> Policy:
    """The policy of a file, or the default one, with the fields that were given."""
    from dvfl_mobile.streaming.policy import Policy, read_policy

    base = Policy() if path is None else read_policy(path)
    given = {name: value for name, value in fields.items() if value is not None}
    return Policy.model_validate({**base.model_dump(), **given})


@dataclass(frozen=True)
class _Asked:
    """What is to be played: a video or more, or a split of labelled ones."""

    video: Path | None
    data: str | None
    split: Literal["train", "test"]
    data_root: Path | None
    max_groups: int | None
    allow_leaks: bool
    seed: int


def _playlist(asked: _Asked, classes: Sequence[str]) -> Playlist:
    from dvfl_mobile.errors import UsageError
    from dvfl_mobile.evaluation.videos import VideoSelection
    from dvfl_mobile.streaming.playlist import laid_end_to_end, named

    if asked.data is None and asked.video is not None:
        return named(asked.video, classes)
    if asked.data is None or asked.video is not None:
        raise UsageError(
            "What is to be watched is a video, or --data: one of both.",
            hint="Name a video, or labelled videos: --data FOLDER",
        )
    selection = VideoSelection(asked.data, asked.split, asked.data_root, None, asked.allow_leaks)
    return laid_end_to_end(classes, selection, asked.seed, asked.max_groups)


def _refuse_subtitles_of_many(srt: Path | None, playlist: Playlist) -> None:
    from dvfl_mobile.errors import UsageError

    if srt is not None and len(playlist.refs) > 1:
        raise UsageError(
            f"--srt: subtitles go with one video, and {playlist.source} is {len(playlist.refs)}.",
            hint="Name one of them.",
        )


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
