"""Make a conformance pack: golden videos, expected results, and test templates for an app."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dvfl_mobile.artifacts.make import Artifact
from dvfl_mobile.artifacts.manifest import verify
from dvfl_mobile.artifacts.reference import reference_student
from dvfl_mobile.errors import InconclusiveError
from dvfl_mobile.metrics import logits_sqnr_db
from dvfl_mobile.model.source import weights_notes
from dvfl_mobile.pack.contents import Pack, Tolerances
from dvfl_mobile.pack.making import golden
from dvfl_mobile.pack.making.assemble import Expected, assemble
from dvfl_mobile.pack.making.golden import Golden
from dvfl_mobile.parity.thresholds import thresholds_for
from dvfl_mobile.progress import Step, silent
from dvfl_mobile.runners.base import check_runs_here, open_runner
from dvfl_mobile.runners.values import Facts

if TYPE_CHECKING:
    from dvfl_mobile.model.student import Student

_NOISE_LEVELS = 3
_DISTURBANCES = 2
_MARGIN_DB = 6.0


@dataclass(frozen=True)
class BuiltPack:
    """A pack that was made: the zip's bytes, its `pack.json`, and what to know of it."""

    data: bytes
    contents: Pack
    notes: tuple[str, ...]


def build(artifact: Artifact, clips: Path, reference: Path | None = None, step: Step = silent) -> BuiltPack:
    """Make the pack of an artifact.

    Args:
        clips: videos in any of the known layouts; a few are taken.
        reference: the checkpoint to compare with, in place of the one stored with the artifact.

    Raises:
        InputError: it can't be made small enough.
        UsageError: the checkpoint is another model's.
    """
    manifest = artifact.manifest
    recipe = thresholds_for(manifest.recipe, target=manifest.target)
    verify(manifest, artifact.folder)
    student = reference_student(artifact, reference)
    found, notes = golden.gather(clips, manifest.clip, manifest.classes, step)
    expected, noisy_db = _reference_logits(student, found, step)
    made, facts = _artifact_logits(artifact, found, step, notes)
    tolerances = _tolerances(noisy_db, recipe.min_sqnr_db)
    data, pack = assemble(Expected(manifest, found, expected, made, tolerances, facts))
    whole = sum(video.clip is not None for video in pack.videos)
    if whole < len(found):
        notes.append(f"{whole} of {len(found)} clips are in the pack whole, as many as fit.")
    return BuiltPack(data, pack, (*weights_notes(manifest.weights.kind), *notes))


def _reference_logits(student: Student, found: Sequence[Golden], step: Step) -> tuple[NDArray[Any], float]:
    """The reference's logits, and the SQNR that is left of them where pixels are off by a few levels."""
    from dvfl_mobile.runners.pytorch import TorchRunner

    runner = TorchRunner(student)
    clips = np.stack([one.clip for one in found])
    versions = [clips, *(_disturbed(clips, seed) for seed in range(_DISTURBANCES))]
    rows: list[list[NDArray[Any]]] = [[] for _ in versions]
    with step("reference logits (PyTorch)", len(clips)) as advance:
        for index in range(len(clips)):
            for version, row in zip(versions, rows, strict=True):
                row.append(runner.run(version[index][None])[0])
            advance()
    right, *others = (np.stack(row).astype(np.float64) for row in rows)
    reached = (logits_sqnr_db(right, other) for other in others)
    return right, min((decibels for decibels in reached if decibels is not None), default=float("inf"))


def _artifact_logits(
    artifact: Artifact, found: Sequence[Golden], step: Step, notes: list[str]
) -> tuple[NDArray[Any] | None, Facts]:
    """The artifact's logits and what ran it; None where nothing here can."""
    try:
        check_runs_here(artifact.manifest)
        with step(f"run on {artifact.manifest.target}", len(found)) as advance:
            runner = open_runner(artifact.folder, artifact.manifest)
            rows = []
            for one in found:
                rows.append(runner.run(one.clip[None])[0])
                advance()
    except InconclusiveError as error:
        notes.append(f"The pack holds PyTorch's logits, and none of the artifact's own: {error.problem}")
        return None, {}
    return np.stack(rows), runner.facts


def _disturbed(clips: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
    """Clips as another decoder might give them: noise of a few levels, or every value a few levels brighter."""
    stream = np.random.RandomState(seed)
    noise = stream.randint(-_NOISE_LEVELS, _NOISE_LEVELS + 1, clips.shape) if seed == 0 else _NOISE_LEVELS
    return (clips.astype(np.int16) + noise).clip(0, 255).astype(np.uint8)


def _tolerances(noisy_db: float, recipe_db: float) -> Tolerances:
    least = min(recipe_db, noisy_db - _MARGIN_DB)
    reason = (
        f"Pixels that are {_NOISE_LEVELS} levels off leave {noisy_db:.1f} dB of the reference's logits, and "
        f"{_MARGIN_DB:g} dB are left for decoders that differ otherwise."
    )
    return Tolerances(video_sqnr_db=float(np.floor(least * 10) / 10), video_sqnr_reason=reason)
