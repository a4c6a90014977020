"""`dvfl-mobile parity`: an artifact against the reference form, on the same clips."""

from __future__ import annotations

from typing import Annotated

import typer

from dvfl_mobile.cli.options import ArtifactFolder, Clips, Json, JUnit, Markdown, MaxClips, Reference

Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show every clip, not the worst few.")]


def parity(
    artifact: ArtifactFolder,
    clips: Clips = None,
    max_clips: MaxClips = 32,
    reference: Reference = None,
    verbose: Verbose = False,
    json: Json = False,
    junit: JUnit = None,
    markdown: Markdown = None,
) -> None:
    """Check that an artifact computes what PyTorch computes.

    Both run on the same clips, and their logits are compared. It says nothing about accuracy.

    Ends with 0 (pass), 5 (fail) or 7 (nothing here can run it). The report is also left in the artifact's folder.
    """
    from dvfl_mobile import artifacts, pipeline
    from dvfl_mobile.cli.progress import steps
    from dvfl_mobile.cli.show import show_parity

    with steps() as step:
        report = pipeline.check(artifacts.open_artifact(artifact), clips, reference, max_clips, step)
    show_parity(report, verbose=verbose, json=json, junit=junit, markdown=markdown)
    raise typer.Exit(report.verdict.exit_code)
