"""Where an artifact first goes wrong, on a drawn clip."""

from __future__ import annotations

from typing import Any

from dvfl_mobile.artifacts.make import Artifact
from dvfl_mobile.artifacts.manifest import ArtifactFacts
from dvfl_mobile.data.drawn import moving_shapes
from dvfl_mobile.locating.document import Location
from dvfl_mobile.locating.locate import locate


def locate_in(artifact: Artifact, logits: Any = None) -> Location:
    """Locate on the second of two clips."""
    [*_, clip] = moving_shapes(artifact.manifest.clip, 2, seed=5)
    facts = ArtifactFacts.of(artifact.manifest, artifact.folder)
    return locate(artifact, clip.pixels, clip.name, facts, logits=logits)
