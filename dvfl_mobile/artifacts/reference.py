"""The stored reference form that a folder's artifacts share: written, found and verified."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from dvfl_mobile.artifacts.make import Artifact
from dvfl_mobile.artifacts.manifest import reference_path
from dvfl_mobile.data.clips import ClipSpec
from dvfl_mobile.errors import ArtifactError, UsageError
from dvfl_mobile.files import directory_lock, sha256_of, writing_to
from dvfl_mobile.model.checkpoint.opened import CheckpointFile
from dvfl_mobile.quantization.lowerable import Lowerable, load_lowerable
from dvfl_mobile.spelling import option

if TYPE_CHECKING:
    from dvfl_mobile.model.student import Student


def save_reference(student: Student, out: Path) -> Path:
    """Store the reference form beside the artifacts that come from it, once for each set of weights.

    With it in `out/<model>/`, parity needs no more than a copy of that folder, on any machine.

    Returns:
        The file, named by its own hash: weights that differ never take each other's place.
    """
    from dvfl_mobile.model.student import save_student

    folder = out / student.architecture.name
    with directory_lock(folder / "reference", wait=True):
        # Named like what a killed run leaves behind, so that the next run removes it.
        workplace = folder / ".reference.incoming.partial"
        try:
            incoming = workplace / "weights.safetensors"
            save_student(student, incoming)
            path = folder / f"reference-{sha256_of(incoming)[:12]}.safetensors"
            with writing_to(path):
                incoming.replace(path)
        finally:
            shutil.rmtree(workplace, ignore_errors=True)
    return path


def reference_of(artifact: Artifact) -> Student:
    """Load the reference form that an artifact came from, out of the folder that holds both.

    Raises:
        ArtifactError: it isn't there, or isn't the one.
    """
    from dvfl_mobile.model.checkpoint.load import read_checkpoint

    entry = artifact.manifest.reference
    path = reference_path(artifact.manifest, artifact.folder)
    hint = f"Name the checkpoint with {option('reference')}, or convert again."
    if not path.is_file():
        raise ArtifactError(f"The reference of {artifact.folder} is missing: {path}.", hint=hint)
    with CheckpointFile(path) as file:
        if path.stat().st_size != entry.size_bytes or file.sha256() != entry.sha256:
            raise ArtifactError(f"{path} isn't the reference of {artifact.folder}: its bytes changed.", hint=hint)
        return read_checkpoint(file)


def reference_student(artifact: Artifact, path: Path | None) -> Student:
    """The student of `reference_model`, which see."""
    return reference_model(artifact, path).student


def reference_model(artifact: Artifact, path: Path | None) -> Lowerable:
    """What an artifact is compared with: a checkpoint's student, a quantized form, or the stored reference.

    Raises:
        ArtifactError: there is no path, and no stored reference.
        CheckpointError: the file can't be read.
        UsageError: it has other classes or clips than the artifact.
    """
    manifest = artifact.manifest
    model = reference_of(artifact) if path is None else _named(path, manifest.clip)
    student = model.student
    if (student.architecture.num_classes, student.clip.shape) != (len(manifest.classes), manifest.clip.shape):
        raise UsageError(
            f"{student.source.name} isn't the model that {artifact.folder} was converted from: it has "
            f"{student.architecture.num_classes} classes for clips of {student.clip.shape}; the artifact has "
            f"{len(manifest.classes)} for {manifest.clip.shape}.",
            hint="Name the checkpoint that the artifact was converted from.",
        )
    return model


def _named(path: Path, clip: ClipSpec) -> Lowerable:
    """The model of a file; what it doesn't say of its clips is as the artifact has it, rather than as published."""
    from dvfl_mobile.model.checkpoint.infer import ABOUT_FRAMES, ABOUT_SIZE, is_assumed
    from dvfl_mobile.model.checkpoint.load import load_checkpoint

    model = load_lowerable(path)
    frames = clip.frames if is_assumed(ABOUT_FRAMES, model.student.notes) else None
    size = clip.size if is_assumed(ABOUT_SIZE, model.student.notes) else None
    # A quantized form has been given both.
    is_said = model.quantization is not None or (frames, size) == (None, None)
    return model if is_said else load_checkpoint(path, frames=frames, size=size)
