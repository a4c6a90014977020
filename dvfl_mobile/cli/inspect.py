"""`dvfl-mobile inspect`: what is in an artifact, what is delegated, what fell back."""

from __future__ import annotations

from typing import Annotated

import typer

from dvfl_mobile.cli.options import ArtifactFolder, Json

Operators = Annotated[bool, typer.Option("--operators", help="Show every operator, not the sums.")]


def inspect(artifact: ArtifactFolder, operators: Operators = False, json: Json = False) -> None:
    """Show what is in an artifact, what is delegated and what fell back; its bytes are checked first."""
    from dvfl_mobile import manifest
    from dvfl_mobile.cli.show import show_manifest

    found = manifest.read(artifact)
    manifest.verify(found, artifact)
    show_manifest(found, artifact, operators=operators, json=json)
