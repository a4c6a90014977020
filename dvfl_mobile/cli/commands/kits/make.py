"""`dvfl-mobile kit`: artifacts, clips and programs in a zip, for somebody who has a phone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dvfl_mobile.cli.console import print_json, print_text
from dvfl_mobile.cli.options import Clips, Json, Runs, Threads, Warmup
from dvfl_mobile.profiling.plan import RUNS, WARMUP, Plan

DEFAULT_KIT = Path("kit.zip")
MOST_CLIPS = 8

Artifacts = Annotated[
    list[Path],
    typer.Argument(metavar="ARTIFACT...", help="Folders of artifacts for TFLite or ExecuTorch.", show_default=False),
]
KitFile = Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="The zip to write.")]
MaxClips = Annotated[int, typer.Option("--max-clips", min=1, metavar="N", help="Take no more clips for parity.")]


def kit(
    artifacts: Artifacts,
    clips: Clips = None,
    max_clips: MaxClips = MOST_CLIPS,
    runs: Runs = RUNS,
    warmup: Warmup = WARMUP,
    threads: Threads = None,
    out: KitFile = DEFAULT_KIT,
    json: Json = False,
) -> None:
    """Make a kit for somebody else's Android phone.

    It holds the artifacts, clips and programs, and a script that runs them on a phone with nothing but adb. It leaves
    kit-results.zip, which profile and parity judge here, as if it had been measured here.
    """
    from dvfl_mobile.artifacts.make import open_artifact
    from dvfl_mobile.cli.progress import steps
    from dvfl_mobile.pipeline.kit import make_kit

    plan = Plan(runs=runs, warmup=warmup, threads=threads)
    with steps() as step:
        made = make_kit([open_artifact(folder) for folder in artifacts], out, clips, max_clips, plan, step)
    if json:
        facts = {"path": made.path, "id": made.kit_id, "size_bytes": made.size_bytes, "starts": made.starts}
        print_json({"schema_version": 1, **facts})
    else:
        print_text(f"{made.path}: {made.size_bytes / 1e6:.1f} MB, {made.starts} starts on a phone.")
        print_text("Unpack it where adb sees the phone, and start run.sh or run.cmd. Then, here:")
        print_text("    dvfl-mobile profile kit-results.zip")
        print_text("    dvfl-mobile parity kit-results.zip")
