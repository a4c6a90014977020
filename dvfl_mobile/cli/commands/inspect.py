"""`dvfl-mobile inspect`: show an artifact's contents, which operators are delegated, and which fall back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dvfl_mobile.cli.console import print_json, print_rich, print_warning
from dvfl_mobile.cli.options import ArtifactFolder, Clips, Json
from dvfl_mobile.cli.output import joined
from dvfl_mobile.errors import ArtifactError, UsageError
from dvfl_mobile.spelling import option

if TYPE_CHECKING:
    from dvfl_mobile.artifacts.manifest import Manifest
    from dvfl_mobile.gpu_delegate.report import GpuDelegateReport


Operators = Annotated[bool, typer.Option("--operators", help="Show every operator, not the sums by stage.")]
RangesShown = Annotated[
    bool,
    typer.Option("--ranges", help="Show how large each operator's values become, and what leaves half precision."),
]


def inspect(
    artifact: ArtifactFolder,
    operators: Operators = False,
    ranges: RangesShown = False,
    clips: Clips = None,
    json: Json = False,
) -> None:
    """Show what is in an artifact, and what is delegated.

    Its bytes are checked against the manifest first. What fell back from the delegate is listed, and of a TFLite
    artifact what a phone's GPU delegate would refuse, by its published rules. It needs no torch.

    With --ranges: how large the values of each operator became when it was made, or with --clips become on those, and
    which of them half precision or an int8 scale can't hold. With 5 where an artifact computes in half precision and
    they leave it.
    """
    from dvfl_mobile.artifacts import manifest

    if clips is not None and not ranges:
        raise UsageError("Clips are for --ranges.", hint="Give both, or neither.")
    found = manifest.read(artifact)
    manifest.verify(found, artifact)
    if ranges:
        show_ranges(found, artifact, clips, json=json)
        return
    show_manifest(found, artifact, operators=operators, json=json, gpu=_gpu_delegate(found, artifact))


def show_ranges(manifest: Manifest, folder: Path, clips: Path | None, *, json: bool) -> None:
    """How large an artifact's values become, with a picture beside it."""
    from dvfl_mobile.artifacts.make import Artifact
    from dvfl_mobile.cli.output import show_node_data, show_picture
    from dvfl_mobile.cli.progress import steps
    from dvfl_mobile.pipeline.convert import check_ranges
    from dvfl_mobile.pipeline.ranges import ranges_on
    from dvfl_mobile.report import ranges as report
    from dvfl_mobile.report.model_explorer.ranges import node_data

    found = manifest.ranges
    if clips is not None:
        with steps() as step:
            found = ranges_on(Artifact(folder, manifest), clips, step)
    if found is None:
        raise ArtifactError(
            f"{folder} was made before ranges were measured.",
            hint=f"Measure them with {option('clips')}, or convert again.",
        )
    if json:
        print_json(found)
    else:
        print_rich(report.terminal(found))
    name = f"{manifest.model}/{manifest.target}/{manifest.recipe}"
    show_picture(folder / "ranges.png", lambda path: report.plot(found, name, path))
    show_node_data(folder / manifest.file, lambda model: node_data(found, model))
    check_ranges([Artifact(folder, manifest.model_copy(update={"ranges": found}))])


def _gpu_delegate(found: Manifest, folder: Path) -> GpuDelegateReport | None:
    """The GPU-delegate report, left beside it; None of a target without rules for it, and where it can't be read."""
    from dvfl_mobile import targets
    from dvfl_mobile.documents import leave
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
