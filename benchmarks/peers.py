"""Our artifacts against other engines, the plain exports and the bare products, each in its own process, in turn.

    python benchmarks/peers.py CHECKPOINT DATA [--artifacts OUT/MODEL] [--rounds 20] [--only NAME ...] [--json FILE]

DATA is in UCF's layout: what is quantized is calibrated on clips of its training groups, and logits are compared with
PyTorch's on a few of its test groups. Programs are made once, below build/peers, and foreign engines get environments
there, with the packages of `benchmarks/peer_programs/requirements-*.txt`. --artifacts is the folder of ours that stand
already (`out/nano`); without it they are made too.

In each round every program runs, in an order that is drawn, so that what slows the machine slows all of them: a ratio
is the median of the rounds' own ratios. Times are of this machine and of no phone.
"""

from __future__ import annotations

import argparse
import tempfile
from contextlib import ExitStack
from pathlib import Path

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

BUILD = Path(__file__).parents[1] / "build" / "peers"


def making_of(options: argparse.Namespace, step: Step) -> Making:
    """What all programs are made of."""
    with tempfile.TemporaryDirectory() as folder:
        clips, labels, _ = write_lists(options.data, Path(folder))
        student = load_student(options.checkpoint, labels)
        found = gather_clips(clips, student.raw_clip, student.classes, step, options.clips)
    work = BUILD / student.source.sha256[:12]
    work.mkdir(parents=True, exist_ok=True)
    return Making(
        student, found.pixels, options.data, options.samples, work, BUILD / "environments", options.artifacts, step
    )


def run(options: argparse.Namespace, step: Step) -> Results:
    making = making_of(options, step)
    entrants = [PROGRAMS[name].entrant(making) for name in options.only or PROGRAMS]
    with step("reference logits (PyTorch)"):
        reference = TorchRunner(making.student).run(making.clips)
    with ExitStack() as stack:
        workers = []
        for entrant in entrants:
            with step(f"start {entrant.name}"):
                log = making.work / f"{entrant.name}.log"
                workers.append(stack.enter_context(Worker(entrant, options.threads, log)))
        with step("race", options.rounds + 1) as advance:
            times = race(workers, options.rounds, options.runs, advance)
    programs = [
        Measured.of(PROGRAMS[entrant.name].which, entrant, worker, column, reference)
        for entrant, worker, column in zip(entrants, workers, times.T, strict=True)
    ]
    return Results(machine=machine(), threads=options.threads, runs=options.runs, programs=tuple(programs))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--artifacts", type=Path, help="the folder of our artifacts, such as out/nano")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--runs", type=int, default=5, help="of each program in a round")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--clips", type=int, default=8, help="to compare logits on")
    parser.add_argument("--samples", type=int, default=64, help="clips to calibrate on")
    parser.add_argument("--only", nargs="+", choices=PROGRAMS, metavar="NAME", help=", ".join(PROGRAMS))
    parser.add_argument("--json", type=Path, help="write all times and figures here")
    options = parser.parse_args()
    with steps() as step:
        results = run(options, step)
    print(results.markdown())
    if options.json:
        write_text(options.json, results.model_dump_json(indent=2) + "\n")


if __name__ == "__main__":
    main()
