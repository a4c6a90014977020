"""`dvfl-mobile parity`: compare an artifact with the reference form on the same clips."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from dvfl_mobile.cli.commands.kits.results import compared, is_results
from dvfl_mobile.cli.console import print_rich
from dvfl_mobile.cli.options import (
    Annotations,
    Because,
    Clips,
    DeviceName,
    Json,
    JUnit,
    Markdown,
    MaxClips,
    MinSqnr,
    PageAddress,
    Reference,
)
from dvfl_mobile.cli.output import print_report, show_annotations, show_node_data, show_picture
from dvfl_mobile.errors import UsageError

if TYPE_CHECKING:
    from dvfl_mobile.artifacts.make import Artifact
    from dvfl_mobile.locating.document import Location
    from dvfl_mobile.parity.report import ParityReport


MOST_CLIPS = 32

What = Annotated[
    Path,
    typer.Argument(
        metavar="ARTIFACT",
        help="The folder of an artifact, such as out/nano/tflite/fp16. What check-app and check-package take is taken "
        "here too, and so are a kit's results.",
        show_default=False,
    ),
]
PackFile = Annotated[
    Path | None,
    typer.Option(
        "--pack",
        metavar="FILE",
        help="For an app's results: the pack that they are of. Default: pack.zip beside them.",
        show_default=False,
    ),
]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show every clip, not the worst few.")]
SecondOpinions = Annotated[
    list[str] | None,
    typer.Option(
        "--second-opinion",
        metavar="NAME",
        help="Also run the file by reference (LiteRT's reference kernels) or tensorflow (TensorFlow's interpreter), "
        "for TFLite; or by executor (our own), for Core ML on a Mac; and fail where they disagree. May be given "
        "several times.",
        show_default=False,
    ),
]
Accelerator = Annotated[
    Literal["cpu", "gpu"],
    typer.Option(
        "--accelerator",
        metavar="NAME",
        help="What the native program computes on, with --device host:native or android:SERIAL: cpu or gpu.",
    ),
]
PrecisionOnGpu = Annotated[
    Literal["fp16", "fp32"] | None,
    typer.Option(
        "--precision",
        metavar="PRECISION",
        help="What a GPU computes floats in, fp16 or fp32. Default: fp16, as on a phone.",
        show_default=False,
    ),
]
LeastTaken = Annotated[
    float | None,
    typer.Option(
        "--min-delegated",
        min=0.0,
        max=1.0,
        metavar="SHARE",
        help="With --device gpu or web:webgpu: end with 5 if the GPU took less than this share of the multiply-adds, "
        "0 to 1; with 7 where that isn't known.",
        show_default=False,
    ),
]
MostPieces = Annotated[
    int | None,
    typer.Option(
        "--max-calls",
        min=1,
        metavar="N",
        help="With --device gpu or web:webgpu: end with 5 if the graph fell into more pieces than this on the GPU.",
        show_default=False,
    ),
]
Locate = Annotated[
    bool,
    typer.Option(
        "--locate",
        help="Also hold each operator against the reference, on the worst clip, and name the first that is off.",
    ),
]


def parity(
    artifact: What,
    clips: Clips = None,
    max_clips: MaxClips = MOST_CLIPS,
    reference: Reference = None,
    min_sqnr: MinSqnr = None,
    because: Because = None,
    second_opinions: SecondOpinions = None,
    device: DeviceName = None,
    accelerator: Accelerator = "cpu",
    precision: PrecisionOnGpu = None,
    address: PageAddress = None,
    min_delegated: LeastTaken = None,
    max_calls: MostPieces = None,
    pack: PackFile = None,
    locate: Locate = False,
    verbose: Verbose = False,
    json: Json = False,
    junit: JUnit = None,
    markdown: Markdown = None,
    annotations: Annotations = None,
) -> None:
    """Check that an artifact computes what PyTorch computes.

    Both run on the same clips, and their logits are compared. It says nothing about accuracy.

    Ends with 0 (pass), 5 (fail) or 7 (nothing here can run it). The report is also left in the artifact's folder.
    """
    from dvfl_mobile.artifacts.make import open_artifact
    from dvfl_mobile.cli.progress import steps
    from dvfl_mobile.parity.thresholds import asked_thresholds, check_change
    from dvfl_mobile.pipeline.check import check, check_taken
    from dvfl_mobile.pipeline.check import locate as find
    from dvfl_mobile.runners.tracing import watched_by

    check_change(min_sqnr, because)
    if artifact.suffix.lower() == ".mlpackage":
        if reference is None or any((clips, second_opinions, device, pack, locate, junit, markdown, annotations)):
            raise UsageError(
                f"{artifact} is a package by itself, not an artifact with a manifest.",
                hint="Give --reference ref.npz with its inputs and outputs, and beside it only --min-sqnr and --json.",
            )
        from dvfl_mobile.cli.commands.check_package import check_package

        check_package(artifact, reference, min_sqnr, because, json=json)
    if artifact.suffix.lower() == ".json" and not artifact.is_dir():
        from dvfl_mobile.cli.commands.check_app import check_app

        if any((clips, reference, max_clips != MOST_CLIPS, second_opinions, device, locate)):
            raise UsageError(
                "--clips, --max-clips, --reference, --second-opinion, --device and --locate go with an artifact, and "
                "these are an app's results."
            )
        check_app(artifact, pack, min_sqnr, because, verbose, json, junit, markdown, annotations)
    if is_results(artifact):
        if any((clips, reference, max_clips != MOST_CLIPS, second_opinions, device, locate, pack, min_sqnr)):
            raise UsageError(
                f"{artifact} ran already, as its kit was made: it goes with --json, --verbose and reports."
            )
        worst = 0
        for report, _ in compared(artifact, json=json):
            show_parity(report, verbose=verbose, json=json, junit=junit, markdown=markdown)
            worst = worst or report.verdict.exit_code
        raise typer.Exit(worst)
    if pack is not None:
        raise UsageError(f"--pack goes with an app's results, and {artifact} is no .json file.")
    if not _is_gpu(device) and any(asked is not None for asked in (min_delegated, max_calls)):
        raise UsageError("--min-delegated and --max-calls are of a GPU.", hint="Add --device gpu or web:webgpu.")
    device = _with_gpu(device, accelerator, precision)
    if address is not None:
        from dvfl_mobile.devices.web.device import at_address

        device = at_address(device, address)
    if device is not None and (second_opinions or (locate and not device.startswith("gpu"))):
        raise UsageError("--locate and --second-opinion run on this machine, and --device somewhere else.")
    with steps() as step:
        opened = open_artifact(artifact)
        if locate:
            watched_by(opened.manifest.target)  # that it can be, before any work
        # What a device must reach depends on what it computes in.
        made = opened.manifest
        thresholds = None if min_sqnr is None else asked_thresholds(made.recipe, min_sqnr, because, made.target)
        report = check(opened, clips, reference, max_clips, step, thresholds, second_opinions or [], device)
        located = find(opened, report, clips, reference, max_clips, step, device) if locate else None
    show_parity(report, verbose=verbose, json=json, junit=junit, markdown=markdown, located=located)
    if located is not None:
        show_location(located, opened, json=json)
    if annotations is not None:
        show_annotations(report)
    if report.pooled is not None:
        check_taken(report, min_delegated, max_calls)
    raise typer.Exit(report.verdict.exit_code)


def _is_gpu(device: str | None) -> bool:
    """Whether a device of this name tells what of an artifact it took."""
    return device == "gpu" or (device or "").startswith("web:webgpu")


def _with_gpu(device: str | None, accelerator: str, precision: str | None) -> str | None:
    """The device's name with what computes on it, and in what."""
    from dvfl_mobile.devices.base import on_gpu

    if accelerator == "gpu":
        if device is None:
            raise UsageError(
                "--accelerator is of a native program.", hint="Add --device host:native or android:SERIAL."
            )
        return on_gpu(device, precision)
    if precision is None:
        return device
    if device != "gpu":
        raise UsageError("--precision is of a GPU.", hint="Add --device gpu, or --accelerator gpu.")
    return f"gpu:{precision}"


def show_parity(
    report: ParityReport,
    *,
    verbose: bool,
    json: bool,
    junit: Path | None,
    markdown: Path | None,
    located: Location | None = None,
) -> None:
    """One comparison; as JSON, with where it goes wrong, where that was asked for."""
    from dvfl_mobile.report import parity

    files = ((junit, parity.junit), (markdown, parity.markdown))
    print_report(report, lambda found: parity.terminal(found, verbose=verbose), files, json=json, located=located)


def show_location(located: Location, artifact: Artifact, *, json: bool) -> None:
    """Where an artifact leaves its reference, with a picture beside it; JSON has been given with the comparison."""
    from dvfl_mobile.report import location
    from dvfl_mobile.report.model_explorer.location import node_data

    if not json:
        print_rich(location.terminal(located))
    show_picture(artifact.folder / "locate.png", lambda path: location.plot(located, path))
    show_node_data(artifact.folder / artifact.manifest.file, lambda model: node_data(located, model))
