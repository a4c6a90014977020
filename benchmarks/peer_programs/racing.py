"""Programs in processes of their own, asked in turn: only one computes at a time."""

from __future__ import annotations

import json
import random
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from dvfl_mobile.delegation import Delegation

WORKER = Path(__file__).with_name("worker.py")
_SETTLE_S = 0.03
"""Between two turns: threads of the one before may still be spinning."""
_SAID = 4_000


@dataclass(frozen=True)
class Entrant:
    """What a worker is started with.

    Attributes:
        name: of the program.
        python: the interpreter of the engine's environment.
        engine: which of the worker's.
        model: its file.
        clips: `.npy` of the clips that it gives logits for; None for programs that take none.
        delegation: where its operators run, if known.
    """

    name: str
    python: Path
    engine: str
    model: Path
    clips: Path | None = None
    delegation: Delegation | None = None


class Worker:
    """One program in its process, loaded and run once; use it as a context.

    Args:
        settings: the worker's options: `--threads 2 --clock wall`.
        log: where what its engine prints is written to.

    Attributes:
        name: of the program.
        version: of its engine.
        logits: `(N,K)`, of its clips; None for programs that take none.
    """

    def __init__(self, entrant: Entrant, settings: Sequence[str], log: Path) -> None:
        self.name, self._log = entrant.name, log
        # -P: the folder of this script has names in it that engines have too.
        command = [entrant.python, "-P", WORKER, entrant.engine, entrant.model, *settings]
        command += ["--clips", entrant.clips] if entrant.clips else []
        with log.open("wb") as said:
            self._process = subprocess.Popen(
                list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said
            )
        first = self._answer()
        self.version: str = first["version"]
        self.logits = None if first["logits"] is None else np.array(first["logits"], np.float64)

    def times_ns(self, runs: int) -> list[int]:
        """The times of so many runs."""
        asking = _open(self._process.stdin)
        asking.write(f"{runs}\n".encode())
        asking.flush()
        found: list[int] = self._answer()["times_ns"]
        return found

    def _answer(self) -> dict[str, Any]:
        line = _open(self._process.stdout).readline()
        if not line:
            said = self._log.read_text(encoding="utf-8", errors="replace")[-_SAID:]
            raise RuntimeError(f"{self.name} ended with {self._process.wait()}:\n{said}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, _kind: type[BaseException] | None, _error: object, _trace: TracebackType | None) -> None:
        _open(self._process.stdin).close()
        self._process.wait()


def race(
    workers: Sequence[Worker], rounds: int, runs: int, advance: Callable[[], None] = lambda: None, seed: int = 0
) -> NDArray[np.float64]:
    """Nanoseconds, `(rounds, workers)`: of each round the median of a program's runs; one round more doesn't count.

    In each round all programs run, one after the other, in an order that is drawn for it.
    """
    found = np.zeros((rounds + 1, len(workers)))
    stream = random.Random(seed)
    for row in found:
        for index in stream.sample(range(len(workers)), len(workers)):
            time.sleep(_SETTLE_S)
            row[index] = np.median(workers[index].times_ns(runs))
        advance()
    return found[1:]


def _open(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe
