"""`dvfl-mobile pack`: make a conformance pack, golden videos with expected results for an app's own tests."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dvfl_mobile.cli.console import print_json, print_rich
from dvfl_mobile.cli.options import ArtifactFolder, Json, Reference

if TYPE_CHECKING:
    from dvfl_mobile.pack.making.build import BuiltPack


DEFAULT_PACK = Path("pack.zip")

Videos = Annotated[
    Path,
    typer.Option(
        "--clips",
        metavar="SOURCE",
        help="Videos to take golden ones from: a video, a folder of videos, a folder per class, or a CSV of "
        "path,label.",
        show_default=False,
    ),
]
PackFile = Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="The zip to write.")]


def pack(
    artifact: ArtifactFolder,
    clips: Videos,
    out: PackFile = DEFAULT_PACK,
    reference: Reference = None,
    json: Json = False,
) -> None:
    """Make the conformance pack that an app is tested against.

    It holds a few short videos, what each stage from the file to the logits must make of them, and a Kotlin and a
    Swift test to drop in. What these write, check-app judges.
    """
    from dvfl_mobile.artifacts.make import open_artifact
    from dvfl_mobile.cli.progress import steps
    from dvfl_mobile.pack import archive
    from dvfl_mobile.pack.making.build import build

    with steps() as step:
        built = build(open_artifact(artifact), clips, reference, step)
    archive.write(out, built.data)
    show_pack(built, out, json=json)


def show_pack(built: BuiltPack, path: Path, *, json: bool) -> None:
    """A conformance pack that was made."""
    from dvfl_mobile.report import conformance

    if json:
        made = {"path": str(path), "size_bytes": len(built.data), "notes": list(built.notes)}
        print_json({"schema_version": 1, **made, "pack": built.contents.model_dump(mode="json")})
    else:
        print_rich(conformance.pack_terminal(built, str(path)))
