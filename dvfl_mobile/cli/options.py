"""Options that several commands share, each spelled once: write `out: Out = DEFAULT_OUT` in a command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DEFAULT_OUT = Path("out")
DEFAULT_RECIPE = "fp32"

Checkpoint = Annotated[
    Path | None,
    typer.Argument(
        metavar="CHECKPOINT",
        help="A .pth or .safetensors file. Without one: the embedded default student.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Out = Annotated[Path, typer.Option("--out", "-o", metavar="FOLDER", help="Where results are written.")]
Targets = Annotated[
    list[str] | None,
    typer.Option(
        "--target",
        metavar="TARGET",
        help="executorch, coreml or tflite; may be given several times. Default: all three.",
        show_default=False,
    ),
]
Recipe = Annotated[str, typer.Option("--recipe", metavar="RECIPE", help="How to quantize, such as fp32 or fp16.")]
Labels = Annotated[
    Path | None,
    typer.Option("--labels", metavar="CSV", help="Class names: a file of id,name lines.", show_default=False),
]
Clips = Annotated[
    Path | None,
    typer.Option(
        "--clips",
        metavar="SOURCE",
        help="A video, a folder of videos, a folder per class, or a CSV of path,label.",
        show_default=False,
    ),
]
Frames = Annotated[
    int | None,
    typer.Option("--frames", min=1, help="Pictures in a clip. Default: what the checkpoint says.", show_default=False),
]
Size = Annotated[
    int | None,
    typer.Option(
        "--size", min=32, help="Height and width in pixels. Default: what the checkpoint says.", show_default=False
    ),
]
Threads = Annotated[int | None, typer.Option("--threads", min=1, help="Threads that runtimes use.", show_default=False)]
