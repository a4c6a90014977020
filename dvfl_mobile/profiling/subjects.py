"""The subject of a profile: an artifact, its timed clip, and the reference form's logits for that clip."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from dvfl_mobile.artifacts.make import Artifact
from dvfl_mobile.artifacts.manifest import Manifest
from dvfl_mobile.artifacts.reference import reference_of
from dvfl_mobile.data.clips import Clip
from dvfl_mobile.errors import DvflMobileError
from dvfl_mobile.runners.values import Logits


@dataclass(frozen=True)
class Subject:
    """An artifact with its clip.

    Attributes:
        expected: the reference form's logits of the clip, `(K,)`; None where `why_not` says why they can't be had.
    """

    artifact: Artifact
    clip: Clip
    expected: Logits | None
    why_not: str = ""


def subject_of(artifact: Artifact, clip: Clip) -> Subject:
    """The artifact with its clip, and the reference form's logits. Run before anything is timed: it uses every core."""
    try:
        from dvfl_mobile.runners.pytorch import TorchRunner

        expected = TorchRunner(reference_of(artifact)).run(clip.pixels[None])[0]
    except DvflMobileError as error:
        return Subject(artifact, clip, None, error.problem)
    except ModuleNotFoundError as error:
        return Subject(artifact, clip, None, f"{error.name} isn't installed, which runs the reference form.")
    return Subject(artifact, clip, expected)


def sha256_of_artifact(manifest: Manifest) -> str:
    """What tells two versions of an artifact apart: its file's sha256, or that of the list of a package's files."""
    if len(manifest.files) == 1:
        return manifest.files[0].sha256
    lines = sorted(f"{entry.sha256}  {entry.path}\n" for entry in manifest.files)
    return hashlib.sha256("".join(lines).encode()).hexdigest()
