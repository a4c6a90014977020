"""Options that several commands share, each declared once: write `out: Out = DEFAULT_OUT` in a command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from dvfl_mobile import targets
from dvfl_mobile.devices import kinds
from dvfl_mobile.wording import either

DEFAULT_OUT = Path("out")
_COUNTS = ("", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def target_help() -> str:
    """Help on --target: those of the table that are made by default come first."""
    known = sorted(targets.every(), key=lambda target: target.only_by_name)
    usual = sum(not target.only_by_name for target in known)
    names = either([target.name for target in known])
    return f"{names}; may be given several times. Default: all of the first {_COUNTS[usual]} that are installed."


def minimum_ios_help() -> str:
    """Help on --minimum-ios: which targets let one choose, and from what."""
    choosing = [target for target in targets.every() if target.ios]
    titles = ", ".join(target.title for target in choosing)
    choices = either(sorted({oldest for target in choosing for oldest in target.ios}))
    return f"{titles} only: the oldest iOS to run on, {choices}. Default: 17, or what the recipe needs."


def soc_help() -> str:
    """Help on --soc: which targets are compiled for a chip."""
    compiled = [target for target in targets.every() if target.socs]
    names = ", ".join(target.name for target in compiled)
    return f"{names} only: the chip to compile for, such as {compiled[0].socs[0]}. All of them: dvfl-mobile doctor"


def device_help() -> str:
    """Help on --device of commands that take one."""
    *others, last = kinds.spellings(emulated=True)
    return f"Where to run it: {', '.join(others)}, or {last}. Default: this machine. See: dvfl-mobile devices"


def devices_help() -> str:
    """Help on --device of commands that time: an emulated device has no latency."""
    named = ", ".join(kinds.spellings(emulated=False))
    return f"host, {named}, or all that are ready; may be given several times. Default: host. See: dvfl-mobile devices"


def min_delegated_help() -> str:
    """Help on --min-delegated: of which targets only the device knows."""
    return (
        "End with 5 if less than this share of the multiply-adds is delegated, 0 to 1; with 7 where only the device "
        f"knows ({_undecided()})."
    )


def max_calls_help() -> str:
    """Help on --max-calls: of which targets only the device knows."""
    return (
        "End with 5 if the graph falls into more pieces than this on the delegate; with 7 where only the device knows "
        f"({_undecided()})."
    )


def _undecided() -> str:
    return ", ".join(target.name for target in targets.every() if target.undecided)


Checkpoint = Annotated[
    Path | None,
    typer.Argument(
        metavar="CHECKPOINT",
        help="A .pth or .safetensors file, or for convert and deploy a quantized form (.pt2). Without one: the "
        "embedded default student, a pico.",
        show_default=False,
    ),
]
Weights = Annotated[
    str | None,
    typer.Option(
        "--weights",
        metavar="NAME",
        help="Which weights of the checkpoint, where it holds several sets, such as model_ema. Default: model or "
        "state_dict.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout, and nothing else there.")]
Out = Annotated[
    Path, typer.Option("--out", "-o", metavar="FOLDER", help="The folder to write to: FOLDER/MODEL/TARGET/RECIPE.")
]
Targets = Annotated[
    list[str] | None,
    typer.Option(
        "--target",
        metavar="TARGET",
        help=target_help(),
        show_default=False,
    ),
]
Recipe = Annotated[
    str | None,
    typer.Option(
        "--recipe",
        metavar="RECIPE",
        help="How numbers are stored and computed. Default: fp32, or what a quantized form was quantized by.",
        show_default=False,
    ),
]
Recipes = Annotated[
    list[str] | None,
    typer.Option(
        "--recipe",
        metavar="RECIPE",
        help="How numbers are stored and computed; may be given several times. Default: fp32, or what a quantized form "
        "was quantized by.",
        show_default=False,
    ),
]
Calib = Annotated[
    str | None,
    typer.Option(
        "--calib",
        metavar="SOURCE",
        help="Clips to find scales on: ucf50, ucf101, hmdb51, ssv2, kinetics400, a folder, a CSV of path,label; or "
        "noise, which marks the result.",
        show_default=False,
    ),
]
Samples = Annotated[
    int,
    typer.Option(
        "--num-calibration-samples", min=8, metavar="N", help="Clips to find scales on, balanced over classes."
    ),
]
Observer = Annotated[
    str,
    typer.Option(
        "--observer", metavar="NAME", help="How ranges are chosen: minmax, moving_average, mse or percentile."
    ),
]
Seed = Annotated[int, typer.Option("--seed", min=0, metavar="N", help="Of the choice and the order of clips.")]
Labels = Annotated[
    Path | None,
    typer.Option(
        "--labels",
        metavar="FILE",
        help="Class names: lines of id,name, or of number and name; or a .txt of one name a line.",
        show_default=False,
    ),
]
Clips = Annotated[
    Path | None,
    typer.Option(
        "--clips",
        metavar="SOURCE",
        help="A video, a folder of videos, a folder per class, or a CSV of path,label. Default: shapes, drawn.",
        show_default=False,
    ),
]
Frames = Annotated[
    int | None,
    typer.Option(
        "--frames",
        min=1,
        metavar="N",
        help="Pictures in a clip. Default: what the checkpoint was trained with.",
        show_default=False,
    ),
]
Size = Annotated[
    int | None,
    typer.Option(
        "--size",
        min=32,
        metavar="PIXELS",
        help="Height and width of a clip. Default: what the checkpoint was trained with.",
        show_default=False,
    ),
]
MaxClips = Annotated[
    int,
    typer.Option("--max-clips", min=1, metavar="N", help="Read at most N videos of SOURCE, spread evenly over all."),
]
Data = Annotated[
    str,
    typer.Option(
        "--data",
        metavar="SOURCE",
        help="Labelled videos: a data set's name (ucf50, ucf101, hmdb51, ssv2, kinetics400), its folder, a folder per "
        "class, or a CSV of path,label.",
        show_default=False,
    ),
]
DataRoot = Annotated[
    Path | None,
    typer.Option(
        "--data-root",
        metavar="FOLDER",
        help="Where data sets that are given by name lie. Default: the folder that DVFL_MOBILE_DATA names.",
        show_default=False,
    ),
]
SplitChoice = Annotated[
    Literal["train", "test"], typer.Option("--split", metavar="SPLIT", help="Which part of it: train or test.")
]
MaxVideos = Annotated[
    int | None,
    typer.Option(
        "--max-clips",
        min=1,
        metavar="N",
        help="Take at most N videos of the split, spread evenly by class. Default: all.",
        show_default=False,
    ),
]
MinimumIos = Annotated[
    int | None,
    typer.Option(
        "--minimum-ios",
        metavar="N",
        help=minimum_ios_help(),
        show_default=False,
    ),
]
Soc = Annotated[
    str | None,
    typer.Option("--soc", metavar="SOC", help=soc_help(), show_default=False),
]
NoToomCook = Annotated[
    bool,
    typer.Option(
        "--no-toom-cook",
        help="Compute all temporal convolutions directly, also those that are faster by Toom-Cook: a smaller file.",
    ),
]
MinDelegated = Annotated[
    float | None,
    typer.Option(
        "--min-delegated",
        min=0.0,
        max=1.0,
        metavar="SHARE",
        help=min_delegated_help(),
        show_default=False,
    ),
]
MaxCalls = Annotated[
    int | None,
    typer.Option("--max-calls", min=1, metavar="N", help=max_calls_help(), show_default=False),
]
JUnit = Annotated[
    Path | None, typer.Option("--junit", metavar="FILE", help="Also write JUnit XML, for CI.", show_default=False)
]
Markdown = Annotated[
    Path | None,
    typer.Option("--markdown", metavar="FILE", help="Also write Markdown, for a job summary.", show_default=False),
]
ArtifactFolder = Annotated[
    Path,
    typer.Argument(
        metavar="ARTIFACT", help="The folder of an artifact, such as out/nano/tflite/fp16.", show_default=False
    ),
]
Reference = Annotated[
    Path | None,
    typer.Option(
        "--reference",
        metavar="CHECKPOINT",
        help="Compare with this checkpoint. Default: the reference stored with the artifact.",
        show_default=False,
    ),
]
DeviceName = Annotated[
    str | None,
    typer.Option(
        "--device",
        metavar="DEVICE",
        help=device_help(),
        show_default=False,
    ),
]
PageAddress = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="ADDRESS",
        help="With --device web: serve the page at this address of this machine, such as 192.168.1.5, or for the "
        "Android phone android:SERIAL over its cable, and wait for a browser that somebody opens. Default: start a "
        "browser here, without a window.",
        show_default=False,
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(
        "--threads", min=1, max=1024, metavar="N", help="Default: as the runtime chooses.", show_default=False
    ),
]
Runs = Annotated[
    int, typer.Option("--runs", min=1, metavar="N", help="Runs that count, over twelve rounds of a process each.")
]
Warmup = Annotated[
    int, typer.Option("--warmup", min=0, metavar="N", help="Runs at the beginning of each round that don't count.")
]
MinSqnr = Annotated[
    float | None,
    typer.Option(
        "--min-sqnr",
        metavar="DB",
        help="The least SQNR that passes, in place of the recipe's. Needs --because.",
        show_default=False,
    ),
]
Because = Annotated[
    str | None,
    typer.Option(
        "--because", metavar="TEXT", help="Why --min-sqnr is right; every report shows it.", show_default=False
    ),
]
Annotations = Annotated[
    Literal["github"] | None,
    typer.Option(
        "--annotations",
        metavar="KIND",
        help="Also print what failed on stderr as annotations of a CI server: github.",
        show_default=False,
    ),
]
