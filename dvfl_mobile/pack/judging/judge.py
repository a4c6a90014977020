"""Judge an app's results stage by stage, by the same thresholds as an artifact's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dvfl_mobile.artifacts.manifest import ArtifactFacts
from dvfl_mobile.documents import Verdict, worst_of
from dvfl_mobile.model.source import weights_notes
from dvfl_mobile.pack.archive import OpenPack
from dvfl_mobile.pack.judging import frames as judge_frames
from dvfl_mobile.pack.judging import numbers as judge_numbers
from dvfl_mobile.pack.judging import pixels as judge_pixels
from dvfl_mobile.pack.judging.checking import IDENTICAL, failed, known, passed
from dvfl_mobile.pack.judging.verdict import STAGES, PackReport, StageCheck
from dvfl_mobile.pack.results import Results
from dvfl_mobile.parity.thresholds import Thresholds
from dvfl_mobile.version import __version__


def judge(pack: OpenPack, results: Results, pack_path: Path, results_path: Path, thresholds: Thresholds) -> PackReport:
    """Judge results that belong to this pack.

    Args:
        thresholds: what the logits of the pack's own clips must reach.
    """
    bench = _Judge(pack, results, judge_numbers.as_computed(pack, results, thresholds))
    checks = tuple(bench.checks())
    first = next((check for check in checks if check.verdict is Verdict.FAIL and check.follows is None), None)
    artifact = pack.contents.artifact
    return PackReport(
        tool_version=__version__,
        verdict=worst_of([check.verdict for check in checks]),
        reasons=tuple(_reasons(checks)),
        first=first,
        artifact=ArtifactFacts(
            model=artifact.model,
            target=artifact.target,
            recipe=artifact.recipe,
            path=str(pack_path),
            classes=artifact.classes,
        ),
        weights=artifact.weights,
        app=results.app,
        device=results.device,
        pack=str(pack_path),
        results=str(results_path),
        checks=checks,
        notes=(*weights_notes(artifact.weights), *thresholds.notes, *bench.notes),
    )


def _reasons(checks: Sequence[StageCheck]) -> Iterator[str]:
    """What failed by itself with its cause, once each; then what is missing."""
    named_before: set[tuple[str, tuple[str, ...]]] = set()
    for check in checks:
        if check.verdict is not Verdict.FAIL or check.follows is not None:
            continue
        named = check.cause.faults if check.cause else ()
        if (check.stage, named) in named_before and named:
            continue
        named_before.add((check.stage, named))
        cause = f" {' and '.join(named)}: {check.cause.sentence}" if check.cause else ""
        yield f"{check.stage}, {check.subject}: {check.sentence}{cause}"
    for stage in STAGES:
        of_stage = [check for check in checks if check.stage == stage]
        open_ones = [check for check in of_stage if check.verdict is Verdict.INCONCLUSIVE]
        if open_ones:
            few = f", {open_ones[0].subject}" if len(open_ones) == 1 else ""
            yield f"{stage}{few}: {len(open_ones)} of {len(of_stage)} not judged: {open_ones[0].sentence}"


@dataclass
class _Judge:
    """Goes through the stages in their order.

    Attributes:
        broken: the stage that failed first, by what it failed on: a video's name, or the stage's own.
    """

    pack: OpenPack
    results: Results
    thresholds: Thresholds
    notes: list[str] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)

    def checks(self) -> Iterator[StageCheck]:
        """Every stage's checks, all subjects of one before the next."""
        pack, golden = self.pack, self.pack.contents.videos
        whole = [video for video in golden if video.clip is not None]
        pictures = {one.name: one for one in self.results.pictures}
        videos = {one.name: one for one in self.results.videos}
        clips = {one.name: one for one in self.results.clips}
        yield from self._model_file()
        for stage in (judge_frames.frame_count, judge_frames.drawn, judge_frames.frames):
            for video in golden:
                yield self._noted(stage(pack, video, videos.get(video.name), self._first(video.name)), video.name)
        for picture in pack.contents.pictures:
            follows = self._first("resize and crop")
            yield self._noted(judge_pixels.picture(pack, picture, pictures.get(picture.name), follows))
        for video in golden:
            follows = self._first(video.name, "resize and crop")
            check = judge_pixels.clip(pack, video, videos.get(video.name), follows, self.notes)
            yield self._noted(check, video.name)
        for video in whole:
            follows = self._first("input tensor")
            yield self._noted(judge_numbers.clip_tensor(pack, video, clips.get(video.name), follows))
        for video in golden:
            follows = self._first("input tensor", video.name)
            yield self._noted(judge_numbers.video_tensor(pack, video, videos.get(video.name), follows), video.name)
        given = {name: one.logits for name, one in clips.items()}
        follows = self._first("model file", "input tensor")
        for check in judge_numbers.logits(pack, "logits", whole, given, self.thresholds, follows):
            yield self._noted(check)
        given = {name: one.logits for name, one in videos.items()}
        thresholds = judge_numbers.video_thresholds(pack, videos, self.thresholds)
        yield from judge_numbers.logits(pack, "logits of videos", golden, given, thresholds, self._first(*self.broken))

    def _first(self, *names: str) -> str | None:
        """What failed first of these."""
        return next((self.broken[name] for name in names if name in self.broken), None)

    def _noted(self, check: StageCheck, video: str | None = None) -> StageCheck:
        """Remember what failed first, for the stages that only follow from it."""
        if check.verdict is Verdict.FAIL:
            self.broken.setdefault(video or check.stage, check.stage)
        return check

    def _model_file(self) -> Iterator[StageCheck]:
        stage, artifact = "model file", self.pack.contents.artifact
        found, files = self.results.model_sha256, artifact.files
        if found is None or len(files) != 1:
            self.notes.append("That the app runs this very model rests on its logits: it gave no hash of its file.")
            return
        right = files[0].sha256
        required = f"sha256 {right[:12]}…"
        if found == right:
            yield passed(stage, artifact.file, IDENTICAL, required)
            return
        measured = f"sha256 {found[:12]}…"
        cause = known("another model file", f"The app's has {measured}")
        yield self._noted(failed(stage, artifact.file, measured, required, "It is another file.", lambda: cause))
