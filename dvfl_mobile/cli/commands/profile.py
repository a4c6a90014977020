"""`dvfl-mobile profile`: measure an artifact's latency on a device, with confidence intervals and an output check."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from dvfl_mobile.cli.commands.kits.results import is_results, profiled
from dvfl_mobile.cli.console import print_json, print_note, print_rich
from dvfl_mobile.cli.options import DEFAULT_OUT, Clips, Json, PageAddress, Runs, Threads, Warmup, devices_help
from dvfl_mobile.errors import UsageError
from dvfl_mobile.profiling.plan import RUNS, WARMUP, Plan, cores_of, seconds_of

if TYPE_CHECKING:
    from dvfl_mobile.artifacts.make import Artifact
    from dvfl_mobile.profiling.document import ProfileReport
    from dvfl_mobile.profiling.history import History
    from dvfl_mobile.profiling.subjects import Subject
    from dvfl_mobile.progress import Step


DOCUMENT_NAME = "profile.json"

What = Annotated[
    Path | None,
    typer.Argument(
        metavar="ARTIFACT",
        help="The folder of an artifact, such as out/nano/tflite/fp16. With --history it may also be a history's file, "
        "or left out. A kit's results are taken here too.",
        show_default=False,
    ),
]
Devices = Annotated[
    list[str] | None,
    typer.Option(
        "--device",
        metavar="DEVICE",
        help=devices_help(),
        show_default=False,
    ),
]
Against = Annotated[
    Path | None,
    typer.Option(
        "--against",
        metavar="ARTIFACT",
        help="Also profile this artifact, in turn with the first, and give the ratio of its time to the first one's.",
        show_default=False,
    ),
]
MaxRatio = Annotated[
    float | None,
    typer.Option(
        "--max-ratio",
        metavar="RATIO",
        min=0.0,
        help="With --against: end with 5 if the ratio is surely above this, and with 7 if that stays undecided.",
        show_default=False,
    ),
]
Cores = Annotated[
    str | None,
    typer.Option(
        "--cores",
        metavar="LIST",
        help="Numbers of the cores to run on, such as 4,5. Default: as the system chooses.",
        show_default=False,
    ),
]
Operators = Annotated[
    bool, typer.Option("--operators", help="Also time each operator, in runs apart, where the runtime records them.")
]
ComputeUnits = Annotated[
    str | None,
    typer.Option(
        "--compute-units",
        metavar="UNITS",
        help="Core ML on a device: all, cpuOnly, cpuAndGPU or cpuAndNeuralEngine.",
        show_default=False,
    ),
]
SustainedFor = Annotated[
    str | None,
    typer.Option(
        "--sustained",
        metavar="TIME",
        help="Keep running for so long, such as 90s, 10m or 1h, and give the curve of its slowing down.",
        show_default=False,
    ),
]
ShowHistory = Annotated[
    bool, typer.Option("--history", help="Measure nothing: show what was measured before, version by version.")
]
HistoryFile = Annotated[
    Path | None,
    typer.Option(
        "--history-file",
        metavar="FILE",
        help="The history to add to, or to show. Default: profile-history.jsonl in the folder of all artifacts.",
        show_default=False,
    ),
]
Html = Annotated[
    Path | None,
    typer.Option("--html", metavar="FILE", help="Also write a page with plots.", show_default=False),
]


def profile(
    artifact: What = None,
    devices: Devices = None,
    address: PageAddress = None,
    against: Against = None,
    max_ratio: MaxRatio = None,
    threads: Threads = None,
    runs: Runs = RUNS,
    warmup: Warmup = WARMUP,
    cores: Cores = None,
    operators: Operators = False,
    compute_units: ComputeUnits = None,
    sustained: SustainedFor = None,
    clips: Clips = None,
    history: ShowHistory = False,
    history_file: HistoryFile = None,
    json: Json = False,
    html: Html = None,
) -> None:
    """Measure how long an artifact takes on a device, and whether what was timed computed the right thing.

    It is run in rounds, each a process of its own; noise is measured with it, and what disturbs a measurement is found
    and said. Two artifacts are run in turn, and called different only where they differ by more than noise.

    Ends with 0, with 5 if an output is wrong or --max-ratio surely exceeded, 6 if a device failed, or 7 if --max-ratio
    can't be decided or nothing on the device runs the artifact. The report is also left in the artifact's folder.
    """

    if history:
        if against or devices or sustained or html:
            raise UsageError("--history measures nothing: give it no device and nothing to compare.")
        show_history(_history(artifact, history_file), json=json)
        return
    if artifact is None:
        raise UsageError("No artifact is named.", hint="Name its folder, or ask for --history.")
    if is_results(artifact):
        asked = (devices, against, threads, cores, compute_units, sustained, clips, operators, html)
        if any(asked) or (runs, warmup) != (RUNS, WARMUP):
            raise UsageError(f"{artifact} was measured already, as its kit was made: it goes with --json alone.")
        _judge(artifact, history_file, json=json)
    if max_ratio is not None and against is None:
        raise UsageError("--max-ratio bounds a comparison, and there is none.", hint="Add --against ARTIFACT.")
    plan = Plan(
        runs=runs,
        warmup=warmup,
        threads=threads,
        cores=cores_of(cores),
        compute_units=compute_units,
        operators=operators,
        sustained_s=None if sustained is None else seconds_of(sustained),
    )
    plan.check_takes(1 if against is None else 2)
    if against is not None and any(name.startswith("kit:") for name in devices or []):
        raise UsageError(
            "--against runs two artifacts in turn, and what a kit brought back was run one after the other."
        )
    if address is not None:
        from dvfl_mobile.devices.web.device import at_address

        devices = [at_address(name, address) for name in devices or ["host"]]
    report = _measured([artifact, *([against] if against else [])], devices or [], plan, clips, max_ratio)
    _keep(report, artifact, history_file)
    show_profile(report, json=json, html=html)
    raise typer.Exit(report.exit_code)


def _judge(path: Path, history_file: Path | None, *, json: bool) -> NoReturn:
    """Show the profile of each artifact of a kit, from what it brought back."""
    worst = 0
    for report, made in profiled(path, json=json):
        _keep(report, made.folder, history_file)
        show_profile(report, json=json, html=None)
        worst = worst or report.exit_code
    raise typer.Exit(worst)


def _measured(
    folders: list[Path], names: list[str], plan: Plan, clips: Path | None, bound: float | None
) -> ProfileReport:
    from dvfl_mobile.artifacts.make import open_artifact
    from dvfl_mobile.cli.device_lines import device_lines
    from dvfl_mobile.cli.progress import steps
    from dvfl_mobile.devices.base import find_device
    from dvfl_mobile.profiling.fleet import chosen_devices, profile_fleet
    from dvfl_mobile.profiling.session import check_is_physical

    opened = [open_artifact(folder) for folder in folders]
    with steps() as step:
        with step("look for devices"):
            chosen = chosen_devices(names)
            # One alone that can't be used is refused before anything takes its time.
            only = find_device(chosen[0]) if len(chosen) == 1 else None
            if only is not None:
                check_is_physical(only)
        if only is not None and plan.operators and not only.times_operators:
            print_note(
                f"Nothing on {only.facts.device} times operators, so the report will have none: "
                "--device host:native does, and so does an Android phone."
            )
        subjects = _subjects(opened, clips, step)
        if only is not None:
            return profile_fleet(chosen, subjects, plan, lambda _: step, bound=bound, find=lambda _: only)
    with device_lines() as step_for:
        return profile_fleet(chosen, subjects, plan, step_for, bound=bound)


def _subjects(opened: list[Artifact], clips: Path | None, step: Step) -> list[Subject]:
    """Each artifact with the one clip that it is timed on."""
    from dvfl_mobile.data.gather import gather_clips
    from dvfl_mobile.profiling.subjects import subject_of

    found = []
    for artifact in opened:
        manifest = artifact.manifest
        [clip, *_] = gather_clips(clips, manifest.clip, manifest.classes, step, 1).clips
        with step("run the reference form"):
            found.append(subject_of(artifact, clip))
    return found


def _history(what: Path | None, file: Path | None) -> History:
    from dvfl_mobile.artifacts.make import open_artifact
    from dvfl_mobile.profiling.history import NAME, default_path, history_of

    if what is None or what.is_file():
        return history_of(what or file or DEFAULT_OUT / NAME)
    manifest = open_artifact(what).manifest
    return history_of(file or default_path(what), manifest.model, manifest.target, manifest.recipe)


def _keep(report: ProfileReport, folder: Path, history_file: Path | None) -> None:
    """Leave the report beside its artifact, and a line for each profile in the history."""
    from dvfl_mobile.cli.console import print_warning
    from dvfl_mobile.documents import leave
    from dvfl_mobile.errors import OutputError
    from dvfl_mobile.profiling import history

    if report.devices:
        leave(report, folder / DOCUMENT_NAME)
    try:
        history.append(history_file or history.default_path(folder), history.entries_of(report))
    except OutputError as error:
        # What was measured is worth more than its line in the history.
        print_warning(f"The history wasn't written: {error.problem}")


def show_profile(report: ProfileReport, *, json: bool, html: Path | None) -> None:
    """One profile, on however many devices."""
    from dvfl_mobile.cli.progress import quiet_vendors
    from dvfl_mobile.files import write_text
    from dvfl_mobile.report.profile import html as profile_html
    from dvfl_mobile.report.profile.terminal import terminal

    try:
        if html is not None:
            with quiet_vendors():
                page = profile_html.html(report)
            write_text(html, page)
            print_note(f"The report is {html}.")
    finally:  # a file that can't be written takes nothing from what was found
        if json:
            print_json(report)
        else:
            print_rich(terminal(report))


def show_history(history: History, *, json: bool) -> None:
    """The versions of what was profiled before."""
    from dvfl_mobile.report.profile.history import terminal

    if json:
        print_json(history)
    else:
        print_rich(terminal(history))
