"""Our artifacts against other engines, the plain exports and the bare products, each in its own process, in turn.

    python benchmarks/peers.py CHECKPOINT DATA [--artifacts OUT/MODEL] [--rounds 20] [--only NAME ...] [--json FILE]
    python benchmarks/peers.py --read FILE --page

DATA is in UCF's layout: what is quantized is calibrated on clips of its training groups, and logits are compared with
PyTorch's on a few of its test groups. Programs are made once, below build/peers, and foreign engines get environments
there, with the packages of `benchmarks/peer_programs/requirements-*.txt`. --artifacts is the folder of ours that stand
already (`out/nano`); without it they are made too.

In each round every program runs, in an order that is drawn, so that what slows the machine slows all of them: a ratio
is the median of the rounds' own ratios. Times are of this machine and of no phone; --no-amx leaves a unit unused that
no phone has. Where others use the machine too, `--threads 1 --clock cpu` still says how much work a program is.

--page writes the tables into docs/benchmarks.md, whose plot docs/scripts/plot_peers.py draws; --read takes what --json
wrote in place of a race.
"""

from __future__ import annotations

import argparse
import tempfile
from contextlib import ExitStack
from pathlib import Path

from pages import write_between
from peer_programs.making import Making
from peer_programs.programs import PROGRAMS
from peer_programs.racing import Worker, race
from peer_programs.results import Measured, Results, machine
from real_clips import write_lists

from dvfl_mobile.cli.progress import steps
from dvfl_mobile.data.gather import gather_clips
from dvfl_mobile.files import write_text
from dvfl_mobile.pipeline.load import load_student
from dvfl_mobile.progress import Step
from dvfl_mobile.runners.pytorch import TorchRunner

ROOT = Path(__file__).parents[1]
BUILD, PAGE = ROOT / "build" / "peers", ROOT / "docs" / "benchmarks.md"
BEGIN, END = "<!-- benchmark:peers -->", "<!-- /benchmark -->"


def making_of(options: argparse.Namespace, step: Step) -> Making:
    """What all programs are made of."""
    with tempfile.TemporaryDirectory() as folder:
        clips, labels, _ = write_lists(options.data, Path(folder))
        student = load_student(options.checkpoint, labels)
        found = gather_clips(clips, student.raw_clip, student.classes, step, options.clips)
    work = BUILD / f"{student.source.sha256[:12]}-by-{options.samples}"
    work.mkdir(parents=True, exist_ok=True)
    return Making(
        student, found.pixels, options.data, options.samples, work, BUILD / "environments", options.artifacts, step
    )


def run(options: argparse.Namespace, step: Step) -> Results:
    making = making_of(options, step)
    entrants = [PROGRAMS[name].entrant(making) for name in options.only or PROGRAMS]
    with step("reference logits (PyTorch)"):
        reference = TorchRunner(making.student).run(making.clips)
    settings = ["--threads", str(options.threads), "--clock", options.clock, *["--no-amx"] * options.no_amx]
    with ExitStack() as stack:
        workers = []
        for entrant in entrants:
            with step(f"start {entrant.name}"):
                log = making.work / f"{entrant.name}.log"
                workers.append(stack.enter_context(Worker(entrant, settings, log)))
        with step("race", options.rounds + 1) as advance:
            times = race(workers, options.rounds, options.runs, advance)
    programs = [
        Measured.of(PROGRAMS[entrant.name].which, entrant, worker, column, reference)
        for entrant, worker, column in zip(entrants, workers, times.T, strict=True)
    ]
    chosen = {name: getattr(options, name) for name in ("clock", "threads", "runs", "no_amx")}
    return Results(machine=machine(), programs=tuple(programs), **chosen)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path, nargs="?")
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--artifacts", type=Path, help="the folder of our artifacts, such as out/nano")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--runs", type=int, default=5, help="of each program in a round")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="cpu: time of the processor")
    parser.add_argument("--no-amx", action="store_true", help="as on a processor without AMX; Linux on x86-64 only")
    parser.add_argument("--clips", type=int, default=8, help="to compare logits on")
    parser.add_argument("--samples", type=int, default=16, help="clips that others are calibrated on; ours are on 64")
    parser.add_argument("--only", nargs="+", choices=PROGRAMS, metavar="NAME", help=", ".join(PROGRAMS))
    parser.add_argument("--json", type=Path, help="write all times and figures here")
    parser.add_argument("--read", type=Path, metavar="FILE", help="show what --json wrote")
    parser.add_argument("--page", action="store_true", help="write the tables into docs/benchmarks.md")
    options = parser.parse_args()
    if options.read:
        results = Results.model_validate_json(options.read.read_text(encoding="utf-8"))
    elif options.data is None:
        parser.error("name CHECKPOINT and DATA, or --read FILE")
    else:
        with steps() as step:
            results = run(options, step)
    print(results.markdown())
    if options.json:
        write_text(options.json, results.model_dump_json(indent=2) + "\n")
    if options.page:
        write_between(PAGE, BEGIN, f"\n{results.markdown()}", END)


if __name__ == "__main__":
    main()
