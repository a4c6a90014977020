"""Make an artifact: convert a student to one target by one recipe, written atomically with its manifest."""

from __future__ import annotations

import platform
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dvfl_mobile.artifacts import manifest as manifests
from dvfl_mobile.artifacts.manifest import Manifest, Metadata, TensorEntry
from dvfl_mobile.converters.base import Lowered, Request, lower, versions
from dvfl_mobile.data.clips import ClipSpec
from dvfl_mobile.data.gather import ClipSet
from dvfl_mobile.errors import ArtifactError
from dvfl_mobile.files import atomic_directory, directory_lock
from dvfl_mobile.model.ranges import Ranges
from dvfl_mobile.quantization.lowerable import Lowerable
from dvfl_mobile.recipes import Recipe
from dvfl_mobile.targets import Target, TemporalConvolution
from dvfl_mobile.version import __version__

if TYPE_CHECKING:
    from dvfl_mobile.model.student import Student

_MEASURED_CLIPS = 4
"""To find ranges on: a forward pass in float32 for each, and for each target."""


@dataclass(frozen=True)
class Artifact:
    """One target's file with its manifest, in its folder."""

    folder: Path
    manifest: Manifest


def folder_of(student: Student, target: Target, recipe: Recipe, out: Path) -> Path:
    """Where the artifact of a student goes: `out/<model>/<target>/<recipe>/`."""
    return out / student.architecture.name / target.name / recipe.name


@dataclass(frozen=True)
class Wanted:
    """An artifact that is to be made, or to be found made already.

    Attributes:
        model: a student, or its quantized form.
        out: the artifact goes to `out/<model>/<target>/<recipe>/`.
        reference: what `save_reference` wrote for this student.
        minimum_os: the oldest system to run on; only Core ML lets one choose.
        temporal: how temporal convolutions are computed.
    """

    model: Lowerable
    target: Target
    recipe: Recipe
    out: Path
    reference: Path
    minimum_os: str
    temporal: TemporalConvolution

    @property
    def folder(self) -> Path:
        return folder_of(self.model.student, self.target, self.recipe, self.out)


def make_artifact(wanted: Wanted, clips: ClipSet) -> Artifact:
    """Lower a student, or its quantized form, and write the artifact's folder, the manifest last.

    Args:
        clips: to find on how large its values become: a few of them, spread over all.

    Raises:
        MissingDependencyError: the target's packages aren't installed.
        OutputError: the place can't be written, or another run is writing it.
    """
    student, target, recipe, folder = wanted.model.student, wanted.target, wanted.recipe, wanted.folder
    known = _known_fields(wanted)
    spec = known["clip"]
    with directory_lock(folder), atomic_directory(folder) as partial:
        request = Request(
            form=lowered_form(wanted.model, target, recipe, spec, wanted.temporal),
            shape=spec.shape,
            recipe=recipe.name,
            metadata=_metadata(student, spec, recipe).model_dump_json(),
            minimum_os=wanted.minimum_os,
            soc=target.soc,
            by_token=wanted.model.by_token(target.token_scaling),
        )
        ranges = _ranges(request.form, clips)
        lowered = lower(target, request, partial / target.file)
        manifest = Manifest(
            **known,
            file=target.file,
            files=manifests.entries(partial, target.file),
            inputs=(_input_entry(target, spec, lowered),),
            outputs=(TensorEntry(name=target.output_name, shape=(1, len(student.classes)), dtype="float32"),),
            delegation=lowered.delegation,
            ranges=ranges,
            command=shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        )
        manifests.write(manifest, partial)
    return Artifact(folder, manifest)


def standing_artifact(wanted: Wanted) -> Artifact | None:
    """The artifact that `make_artifact` would make, if it stands there whole and its manifest differs in nothing.

    What must be the same: weights, classes, ClipSpec, recipe, scales, the oldest system, how temporal convolutions are
    computed, and the version of every tool.
    """
    try:
        found = open_artifact(wanted.folder)
        manifests.verify(found.manifest, wanted.folder)
    except ArtifactError:
        return None
    known = _known_fields(wanted).items()
    return found if all(getattr(found.manifest, name) == value for name, value in known) else None


def open_artifact(folder: Path) -> Artifact:
    """Read an artifact that `make_artifact` wrote.

    Raises:
        ArtifactError: there is none, or its manifest can't be understood.
    """
    return Artifact(folder, manifests.read(folder))


def lowered_form(
    model: Lowerable, target: Target, recipe: Recipe, spec: ClipSpec, temporal: TemporalConvolution
) -> Any:
    """What the target's converter lowers: the deploy form, or the quantized graph of it."""
    if recipe.is_calibrated:
        return model.to_lower(target, recipe.name)
    form = model.student.to_lower(target, recipe.name, temporal)
    if recipe.mode == "dynamic" and target.folds_weights:
        from dvfl_mobile.quantization.graph.dynamic import dynamic_graph

        return dynamic_graph(form, spec.shape)
    return form


def _ranges(form: Any, clips: ClipSet) -> Ranges:
    from dvfl_mobile.converters.ranges import measure_ranges

    step = max(1, len(clips.clips) // _MEASURED_CLIPS)
    return measure_ranges(form, clips.pixels[::step][:_MEASURED_CLIPS], clips.facts.source)


def _known_fields(wanted: Wanted) -> dict[str, Any]:
    """The fields of a manifest that are known before anything is lowered."""
    student, target, recipe, reference = wanted.model.student, wanted.target, wanted.recipe, wanted.reference
    return {
        "model": student.architecture.name,
        "target": target.name,
        "recipe": recipe.name,
        "recipe_meaning": target.meanings[recipe.name].text,
        "architecture": student.architecture,
        "classes": tuple(student.classes),
        "clip": student.raw_clip,
        "weights": student.source,
        "reference": manifests.entry_of(reference, f"../../{reference.name}"),
        "minimum_os": wanted.minimum_os,
        "temporal": wanted.temporal,
        "quantization": wanted.model.quantization,
        "tools": {"dvfl-mobile": __version__, "python": platform.python_version(), **versions(target)},
    }


def _input_entry(target: Target, spec: ClipSpec, lowered: Lowered) -> TensorEntry:
    if lowered.input_scale is None:
        return TensorEntry(name=target.input_name, shape=spec.shape, dtype="float32")
    scale, zero_point = lowered.input_scale
    return TensorEntry(name=target.input_name, shape=spec.shape, dtype="int8", scale=scale, zero_point=zero_point)


def _metadata(student: Student, spec: ClipSpec, recipe: Recipe) -> Metadata:
    return Metadata(
        model=student.architecture.name,
        recipe=recipe.name,
        classes=student.classes,
        clip=spec,
        weights=student.source.kind,
        tool=f"dvfl-mobile {__version__}",
    )
