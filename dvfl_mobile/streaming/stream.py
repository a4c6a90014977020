"""Run an artifact over a stream, as an app that watches a camera would."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dvfl_mobile.artifacts.make import Artifact
from dvfl_mobile.artifacts.manifest import ArtifactFacts
from dvfl_mobile.data.camera import TICKS_PER_S
from dvfl_mobile.data.video import Playback
from dvfl_mobile.errors import VideoError
from dvfl_mobile.model.source import weights_notes
from dvfl_mobile.progress import Step, silent
from dvfl_mobile.runners.base import open_runner
from dvfl_mobile.runners.values import runner_in_words, runner_notes
from dvfl_mobile.streaming.document import Guess, StreamAnswer, StreamReport, StreamVideo
from dvfl_mobile.streaming.policy import Answer, Policy, series
from dvfl_mobile.streaming.reel import Piece, Reel
from dvfl_mobile.streaming.watch import Watched, watch
from dvfl_mobile.version import __version__

_TOP = 3


@dataclass(frozen=True)
class Streamed:
    """A report, and the logits that it was made of."""

    report: StreamReport
    watched: Watched


def stream(artifact: Artifact, reel: Reel, policy: Policy, source: str, step: Step = silent) -> Streamed:
    """What the artifact says of a reel over time, by a policy.

    Raises:
        VideoError: nothing can be read, or the reel is shorter than one clip.
        CheckFailedError: the artifact's logits aren't finite.
        InconclusiveError: nothing on this machine runs the artifact.
    """
    manifest = artifact.manifest
    runner = open_runner(artifact.folder, manifest)
    with step("watch", _expected(reel, policy.every)) as advance:
        watched = watch(runner, reel, manifest.clip, policy.every, advance)
    answers = series(policy, watched.seconds.tolist(), watched.logits)
    report = StreamReport(
        tool_version=__version__,
        artifact=ArtifactFacts.of(manifest, artifact.folder),
        runner=runner_in_words(runner.facts),
        policy=policy,
        clip=manifest.clip,
        source=source,
        duration_s=reel.end_us / 1e6,
        videos=tuple(_video(piece, manifest.classes) for piece in reel.pieces),
        answers=tuple(
            _said(seconds, answer, manifest.classes)
            for seconds, answer in zip(watched.seconds.tolist(), answers, strict=True)
        ),
        notes=(*weights_notes(manifest.weights.kind), *runner_notes(runner.facts), *reel.notes),
    )
    return Streamed(report, watched)


def _expected(reel: Reel, every: int) -> int | None:
    """About how many clips there will be, by what the containers announce; None where one doesn't."""
    seconds = 0.0
    for ref in reel.refs:
        try:
            duration_s = Playback(ref.path).duration_s
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


def _said(seconds: float, answer: Answer, classes: Sequence[str]) -> StreamAnswer:
    best = sorted(range(len(classes)), key=lambda index: -answer.probabilities[index])[:_TOP]
    return StreamAnswer(
        seconds=seconds,
        label=None if answer.label is None else classes[answer.label],
        probability=answer.probability,
        top=tuple(Guess(name=classes[index], probability=answer.probabilities[index]) for index in best),
    )
