"""`dvfl-mobile inspect`: what is in an artifact, what is delegated, what fell back."""

from __future__ import annotations

from typing import Annotated

import typer

from dvfl_mobile.cli.options import ArtifactFolder, Json

Operators = Annotated[bool, typer.Option("--operators", help="Show every operator, not the sums by stage.")]


def inspect(artifact: ArtifactFolder, operators: Operators = False, json: Json = False) -> None:
    """Show what is in an artifact, and what is delegated.

    Its bytes are checked against the manifest first. What fell back from the delegate is listed. It needs no torch.
    """
    from dvfl_mobile import manifest
    from dvfl_mobile.cli.show import show_manifest

    found = manifest.read(artifact)
    manifest.verify(found, artifact)
    show_manifest(found, artifact, operators=operators, json=json)
