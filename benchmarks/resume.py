"""Kill a training at random steps, and compare its final weights with those of an uninterrupted run.

    python benchmarks/resume.py DATA [--kills 20]

DATA is any source that `dvfl-mobile train` takes. The network is the small one of the tests; each run is the command
itself, in a process of its own, ended by SIGKILL once its journal has reached a step drawn at random.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from dvfl_mobile import load_checkpoint
from dvfl_mobile.training.journal import read_journal
from dvfl_mobile.training.result import RESULT_NAME

_SHAPE = ("--model", "focalnet-16-1_1", "--size", "32", "--frames", "4", "--batch", "8", "--micro-batch", "4")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    draws = random.Random(given.seed)
    with tempfile.TemporaryDirectory() as folder:
        whole, killed = Path(folder, "whole"), Path(folder, "killed")
        _start(given.data, given.epochs, whole).wait()
        steps = _done(whole)
        targets = sorted(draws.sample(range(1, steps), given.kills))
        landed = [_kill_at(given.data, given.epochs, killed, target) for target in targets]
        _start(given.data, given.epochs, killed).wait()
        print(f"{len(landed)} kills in {steps} steps, after steps {landed}")
        for name in ("best.safetensors", "last/student.safetensors"):
            ours, theirs = (load_checkpoint(out / name).network.state_dict() for out in (killed, whole))
            differing = [key for key in theirs if not ours[key].equal(theirs[key])]
            print(f"{name}: {len(theirs) - len(differing)} of {len(theirs)} weights equal to the bit")


def _start(data: str, epochs: int, out: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "dvfl_mobile", "train", "--data", data, *_SHAPE, "--epochs", str(epochs)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([*command, "-o", str(out)], stdout=subprocess.DEVNULL, env=environment)


def _kill_at(data: str, epochs: int, out: Path, target: int) -> int:
    """Train until so many steps are in the journal, then kill; returns after which step it was."""
    process = _start(data, epochs, out)
    while _done(out) < target:
        if process.poll() is not None:
            raise SystemExit(f"training ended by itself ({process.returncode}) before step {target}")
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    if (out / RESULT_NAME).exists():
        raise SystemExit("training had finished before it was killed: give more --epochs")
    return _done(out)


def _done(out: Path) -> int:
    return max((line.get("step", 0) for line in read_journal(out / "log.jsonl")), default=0)


if __name__ == "__main__":
    main()
