"""Run an artifact over a stream, as an app that watches a camera would."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dvfl_mobile.artifacts.make import Artifact
from dvfl_mobile.artifacts.manifest import ArtifactFacts
from dvfl_mobile.data.camera import TICKS_PER_S
from dvfl_mobile.data.video import Playback
from dvfl_mobile.errors import InputError, VideoError
from dvfl_mobile.model.source import weights_notes
from dvfl_mobile.progress import Step, silent
from dvfl_mobile.runners.base import open_runner
from dvfl_mobile.runners.values import runner_in_words, runner_notes
from dvfl_mobile.spelling import option
from dvfl_mobile.streaming.document import Guess, StreamAnswer, StreamReport, StreamScene, StreamVideo
from dvfl_mobile.streaming.figures import assess, figures_of
from dvfl_mobile.streaming.pace import Pace
from dvfl_mobile.streaming.playlist import Playlist
from dvfl_mobile.streaming.policy import NOTHING, Answer, Policy, series
from dvfl_mobile.streaming.reel import Piece, Reel
from dvfl_mobile.streaming.scenes import Scene, Tally, scenes_of, tally
from dvfl_mobile.streaming.sweep import finest, grid, sweep
from dvfl_mobile.streaming.watch import Watched, watch
from dvfl_mobile.version import __version__

_TOP = 3


@dataclass(frozen=True)
class Streamed:
    """A report, and the logits that it was made of."""

    report: StreamReport
    watched: Watched


def stream(
    artifact: Artifact,
    playlist: Playlist,
    policy: Policy,
    *,
    seed: int = 0,
    sweeps: bool = False,
    paces: Sequence[Pace] = (),
    step: Step = silent,
) -> Streamed:
    """What the artifact says of videos over time, by a policy; and how right that is, where their labels are known.

    Args:
        seed: of the intervals.
        sweeps: also try the policies around this one.

    Raises:
        VideoError: nothing can be read, or it is shorter than one clip.
        InputError: a sweep was asked for, and not all videos have labels.
        CheckFailedError: the artifact's logits aren't finite.
        InconclusiveError: nothing on this machine runs the artifact.
    """
    if sweeps and any(ref.label is None for ref in playlist.refs):
        raise InputError(
            f"{playlist.source}: not all videos have labels, so no policy can be found right.",
            hint=f"Name labelled videos: {option('source')}",
        )
    manifest, reel = artifact.manifest, Reel(playlist.refs)
    runner = open_runner(artifact.folder, manifest)
    every = finest(policy) if sweeps else policy.every
    with step("watch", _expected(reel, every)) as advance:
        all_watched = watch(runner, reel, manifest.clip, every, advance)
    watched, scenes = all_watched.every(policy.every), scenes_of(reel.pieces)
    answers = series(policy, watched.seconds.tolist(), watched.logits)
    said = np.array([[NOTHING if answer.label is None else answer.label for answer in answers]])
    found = tally(scenes, watched.seconds, said) if scenes else None
    report = StreamReport(
        tool_version=__version__,
        artifact=ArtifactFacts.of(manifest, artifact.folder),
        runner=runner_in_words(runner.facts),
        policy=policy,
        clip=manifest.clip,
        source=playlist.source,
        classes=playlist.classes,
        duration_s=reel.end_us / 1e6,
        videos=tuple(_video(piece, playlist.classes) for piece in reel.pieces),
        answers=tuple(
            _said(seconds, answer, playlist.classes)
            for seconds, answer in zip(watched.seconds.tolist(), answers, strict=True)
        ),
        scenes=_scenes(scenes, found, playlist.classes) if found else (),
        figures=figures_of([policy], found, assess(found, seed))[0] if found else None,
        sweep=tuple(sweep(grid(policy), all_watched, scenes, seed)) if sweeps else (),
        paces=tuple(paces),
        seed=seed,
        notes=(
            *weights_notes(manifest.weights.kind),
            *runner_notes(runner.facts),
            *playlist.notes,
            *reel.notes,
        ),
    )
    return Streamed(report, watched)


def _expected(reel: Reel, every: int) -> int | None:
    """About how many clips there will be, by what the containers announce; None where one doesn't."""
    seconds = 0.0
    for ref in reel.refs:
        try:
            duration_s = Playback(ref.path).duration_s()
        except VideoError:  # said when it is to be played
            continue
        if duration_s is None:
            return None
        seconds += duration_s
    return max(1, round(seconds * TICKS_PER_S / every))


def _video(piece: Piece, classes: Sequence[str]) -> StreamVideo:
    label = piece.ref.label
    return StreamVideo(
        name=piece.ref.name or piece.ref.path.name,
        start_s=piece.start_us / 1e6,
        end_s=piece.end_us / 1e6,
        label=None if label is None else classes[label],
    )


def _scenes(scenes: Sequence[Scene], found: Tally, classes: Sequence[str]) -> tuple[StreamScene, ...]:
    delays, right = found.delays[0], found.right[0] / found.lengths
    return tuple(
        StreamScene(
            start_s=scene.start_s,
            end_s=scene.end_s,
            label=classes[scene.label],
            is_cut=scene.is_cut,
            right=float(right[place]),
            decided_s=float(delays[place]) if np.isfinite(delays[place]) else None,
        )
        for place, scene in enumerate(scenes)
    )


def _said(seconds: float, answer: Answer, classes: Sequence[str]) -> StreamAnswer:
    best = sorted(range(len(classes)), key=lambda index: -answer.probabilities[index])[:_TOP]
    return StreamAnswer(
        seconds=seconds,
        label=None if answer.label is None else classes[answer.label],
        probability=answer.probability,
        top=tuple(Guess(name=classes[index], probability=answer.probabilities[index]) for index in best),
    )
