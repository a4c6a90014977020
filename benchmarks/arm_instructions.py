"""Instructions that artifacts execute on emulated Arm cores, against the plain export of the official form.

    python benchmarks/arm_instructions.py DATA [--checkpoint FILE --network NAME] [--cores CPU ...] [--json FILE]
    python benchmarks/arm_instructions.py --read FILE... --page

DATA is in UCF's layout: int8 is calibrated on clips of its training groups. Without --checkpoint the network is the
embedded default student. Each artifact is run on one clip by the native program for 64-bit Arm, with one thread, under
a qemu that has plugins (`scripts/device-tools build/device-tools qemu-plugins` makes one), and a plugin of ours counts
what is executed between the two readings of the clock around the run: the model's load isn't in it.

What --json names already has isn't counted again. --page writes the table of all that --read names into
docs/benchmarks.md. A count of instructions is no time: how long one takes differs by kind and by core.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from itertools import product
from pathlib import Path

import numpy as np
from arm_counting.results import MOST, PROGRAMS, RUNTIMES, Counting, Program, Results
from arm_counting.running import count
from arm_counting.tools import Counter, counter
from arm_counting.tracing import kernels, traced
from numpy.typing import NDArray
from pages import write_between
from peer_programs import making
from peer_programs.making import Making
from peer_programs.racing import Entrant
from real_clips import write_lists

from dvfl_mobile.artifacts.make import open_artifact
from dvfl_mobile.cli.progress import steps
from dvfl_mobile.data.gather import gather_clips
from dvfl_mobile.devices.harness.build import bundle_for
from dvfl_mobile.devices.values import OperatorTime
from dvfl_mobile.metrics import logits_sqnr_db
from dvfl_mobile.pipeline.load import load_student
from dvfl_mobile.progress import Step
from dvfl_mobile.runners.pytorch import TorchRunner

ROOT = Path(__file__).parents[1]
BUILD, PAGE = ROOT / "build" / "arm-counting", ROOT / "docs" / "benchmarks.md"
BEGIN, END = "<!-- benchmark:arm-instructions -->", "<!-- /benchmark -->"
CORES = ("cortex-a76", "cortex-a710")


def making_of(options: argparse.Namespace, step: Step) -> Making:
    """The network with one test clip of the data, and where its programs go."""
    with tempfile.TemporaryDirectory() as folder:
        clips, labels, _ = write_lists(options.data, Path(folder))
        student = load_student(options.checkpoint, options.checkpoint and labels)
        found = gather_clips(clips, student.raw_clip, student.classes, step, 1)
    work = BUILD / student.source.sha256[:12]
    work.mkdir(parents=True, exist_ok=True)
    return Making(student, found.pixels, options.data, 16, work, BUILD / "environments", options.artifacts, step)


def entrant_of(given: Making, program: Program) -> Entrant:
    """The artifact, made first where it isn't there."""
    make = making.ours if program.kind == "ours" else making.plain
    return make(given, f"{program.kind}-{program.runtime}-{program.precision}", program.runtime, program.precision)


def run(options: argparse.Namespace, step: Step) -> Results:
    results = Results.read(options.json)
    tool, given = counter(), making_of(options, step)
    with step("reference logits (PyTorch)"):
        reference = TorchRunner(given.student).run(given.clips)
    for core, runtime, which in product(options.cores, options.targets, options.only):
        program = Program(options.network, core, runtime, *which.split("-"))
        if results.of(program) is None:
            counting = counted(tool, given, program, reference, options, step)
            results = results.plus(counting)
            results.write(options.json)
    return results


def counted(
    tool: Counter,
    given: Making,
    program: Program,
    reference: NDArray[np.float32],
    options: argparse.Namespace,
    step: Step,
) -> Counting:
    """Count one program, and trace it, if it is ours and traces are asked for."""
    entrant = entrant_of(given, program)
    assert entrant.clips is not None
    bundle = bundle_for("linux-arm64", program.runtime, step)
    with step(f"count {' '.join(program)}"):
        found = count(
            tool, bundle, program.runtime, program.core, entrant.model, np.load(entrant.clips)[0], options.runs
        )
    operators: tuple[OperatorTime, ...] = ()
    if options.traces and program.kind == "ours":
        with step(f"trace {' '.join(program)}"):
            operators = traced(tool, program.core, open_artifact(entrant.model.parent), given.clips[0])
        print(f"{' '.join(program)}: {kernels(operators)}", flush=True)
    all_runs = sum(each["all"] for each in found.runs)
    return Counting(
        **program._asdict(),
        counts=found.runs[-1],
        first=found.runs[0]["all"],
        loading=found.whole["all"] - all_runs,
        calls=entrant.delegation and entrant.delegation.calls,
        operators=len(operators) or None,
        outside=sum(not each.delegated for each in operators) if operators else None,
        sqnr_db=logits_sqnr_db(reference, found.logits),
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--checkpoint", type=Path, help="left out: the embedded default student")
    parser.add_argument("--network", default="pico", help="its name in the table")
    parser.add_argument(
        "--artifacts", type=Path, help="the folder of our artifacts, such as out/nano; else they are made"
    )
    parser.add_argument("--cores", nargs="+", default=CORES, metavar="CPU", help=f"default: {' '.join(CORES)}")
    parser.add_argument("--targets", nargs="+", choices=sorted(RUNTIMES), default=sorted(RUNTIMES))
    names = {"-".join(which): which for which in PROGRAMS}
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="PROGRAM", help=", ".join(names))
    parser.add_argument("--runs", type=int, default=2, help="of the network in one process; the last is what counts")
    parser.add_argument("--traces", action="store_true", help="also look which operators ran in XNNPACK; six runs more")
    parser.add_argument("--json", type=Path, default=BUILD / "counted.json", help="what was counted, and is added to")
    parser.add_argument("--read", type=Path, nargs="+", metavar="FILE", help="show what --json wrote")
    parser.add_argument("--page", action="store_true", help="write the table into docs/benchmarks.md")
    options = parser.parse_args()
    if options.read:
        found = [counting for path in options.read for counting in Results.read(path).countings]
        results = Results(countings=tuple(found))
    elif options.data is None:
        parser.error("name DATA, or --read FILE")
    else:
        with steps() as step:
            results = run(options, step)
    print(results.markdown())
    if options.page:
        write_between(PAGE, BEGIN, f"\n{results.markdown()}", END)
    missed = results.missed()
    bars = ", ".join(f"{precision} {most:.0%}" for (_, precision), most in MOST.items())
    print(f"Bars ({bars} of the plain export's in fp32): {f'MISSED by {len(missed)}' if missed else 'met'}")
    return 5 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
