"""`dvfl-mobile inspect`: show an artifact's contents, which operators are delegated, and which fall back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dvfl_mobile.cli.console import print_json, print_rich, print_warning
from dvfl_mobile.cli.options import ArtifactFolder, Json
from dvfl_mobile.cli.output import joined

if TYPE_CHECKING:
    from dvfl_mobile.artifacts.manifest import Manifest
    from dvfl_mobile.gpu_delegate.report import GpuDelegateReport


Operators = Annotated[bool, typer.Option("--operators", help="Show every operator, not the sums by stage.")]


def inspect(artifact: ArtifactFolder, operators: Operators = False, json: Json = False) -> None:
    """Show what is in an artifact, and what is delegated.

    Its bytes are checked against the manifest first. What fell back from the delegate is listed, and of a TFLite
    artifact what a phone's GPU delegate would refuse, by its published rules. It needs no torch.
    """
    from dvfl_mobile.artifacts import manifest

    found = manifest.read(artifact)
    manifest.verify(found, artifact)
    show_manifest(found, artifact, operators=operators, json=json, gpu=_gpu_delegate(found, artifact))


def _gpu_delegate(found: Manifest, folder: Path) -> GpuDelegateReport | None:
    """The GPU-delegate report, left beside it; None of a target without rules for it, and where it can't be read."""
    from dvfl_mobile import targets
    from dvfl_mobile.documents import leave
    from dvfl_mobile.errors import ArtifactError
    from dvfl_mobile.gpu_delegate.report import NAME, gpu_delegate_report

    target = targets.find(found.target)
    if target is None or not target.gpu_rules:
        return None
    try:
        report = gpu_delegate_report(found, folder)
    except ArtifactError as error:
        print_warning(f"There is no report on the GPU delegate: {error.problem}")
        return None
    leave(report, folder / NAME)
    return report


def show_manifest(
    manifest: Manifest, folder: Path, *, operators: bool, json: bool, gpu: GpuDelegateReport | None = None
) -> None:
    """What is in an artifact, and what a GPU delegate would take of it where that is known."""
    from dvfl_mobile.report import contents, gpu_delegate

    if json:
        print_json(manifest if gpu is None else joined(manifest, "gpu_delegate", gpu))
        return
    print_rich(contents.terminal(manifest, folder, operators=operators))
    if gpu is not None:
        print_rich(gpu_delegate.terminal(gpu, operators=operators))
