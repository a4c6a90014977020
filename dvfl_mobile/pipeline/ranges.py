"""Measure anew, on clips of one's own, how large the values become that an artifact was lowered from."""

from __future__ import annotations

from pathlib import Path

from dvfl_mobile.artifacts.make import Artifact, lowered_form
from dvfl_mobile.artifacts.reference import reference_of
from dvfl_mobile.data.gather import gather_clips
from dvfl_mobile.model.ranges import Ranges
from dvfl_mobile.pipeline.check import MOST_CLIPS
from dvfl_mobile.progress import Step, silent
from dvfl_mobile.recipes import recipe_named
from dvfl_mobile.targets import target_named


def ranges_on(artifact: Artifact, clips: Path, step: Step = silent, most: int = MOST_CLIPS) -> Ranges:
    """The ranges of an artifact's graph on other clips than those that it was made with; nothing of it is changed.

    Of a recipe that was calibrated, the network before it was quantized: int8 weights aren't stored beside an artifact.

    Args:
        clips: videos, as `gather_clips` takes them.
        most: how many of them, at most.

    Raises:
        ArtifactError: the reference form that the artifact is stored with is missing.
        VideoError: there is no video, or none can be read.
    """
    from dvfl_mobile.converters.ranges import measure_ranges

    manifest = artifact.manifest
    found = gather_clips(clips, manifest.clip, manifest.classes, step, most)
    with step("measure ranges"):
        student, target, recipe = reference_of(artifact), target_named(manifest.target), recipe_named(manifest.recipe)
        if manifest.quantization is None:
            form = lowered_form(student, target, recipe, manifest.clip, manifest.temporal)
        else:
            from dvfl_mobile.quantization.graph.forms import deploy_form

            form = deploy_form(
                student, manifest.quantization.per_token_scaled, target.normalizer_of(recipe.name), target.token_scaling
            )
        return measure_ranges(form, found.pixels, found.facts.source)
