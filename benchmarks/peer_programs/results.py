"""What a race gave: times, agreement with PyTorch, ratios in pairs, and the bars they are held to."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from export import interval
from numpy.typing import NDArray

from dvfl_mobile.documents import Document
from dvfl_mobile.metrics import logits_sqnr_db
from dvfl_mobile.wording import decibels, plural
from peer_programs.racing import Entrant, Worker

RUNTIMES = {"tflite": "TFLite", "executorch": "ExecuTorch"}
KINDS = {"bare": "bare products", "ours": "**ours**", "plain": "plain export"}

HEAD = [
    *("program", "engine", "precision", "median", "/ ours on TFLite", "/ ours on ExecuTorch"),
    *("SQNR", "top-1 as PyTorch", "pieces (operators outside)", "size"),
]
BAR_HEAD = ["ratio", "runtime", "precision", "median", "bar", ""]


class Measured(Document):
    """One program.

    Attributes:
        kind, runtime, precision: which; a foreign engine is its own runtime.
        engine: with its version.
        round_ns: the median time of each round.
        sqnr_db: against PyTorch's logits on the clips; None for programs that give none.
        agreeing: on how many of the `clips` it has PyTorch's top-1.
        pieces, outside: calls of the delegate, and operators outside of it; None where that isn't known.
    """

    kind: str
    runtime: str
    precision: str
    engine: str
    round_ns: tuple[float, ...]
    sqnr_db: float | None = None
    agreeing: int | None = None
    clips: int | None = None
    pieces: int | None = None
    outside: int | None = None
    size_bytes: int

    @classmethod
    def of(
        cls,
        program: tuple[str, str, str],
        entrant: Entrant,
        worker: Worker,
        round_ns: NDArray[np.float64],
        reference: NDArray[np.float64],
    ) -> Measured:
        """Of a worker that has raced.

        Args:
            program: kind, runtime and precision.
            reference: PyTorch's logits, `(N,K)`.
        """
        kind, runtime, precision = program
        logits, delegation = worker.logits, entrant.delegation
        return cls(
            kind=kind,
            runtime=runtime,
            precision=precision,
            engine=worker.version,
            round_ns=tuple(map(float, round_ns)),
            sqnr_db=None if logits is None else logits_sqnr_db(reference, logits),
            agreeing=None if logits is None else int((reference.argmax(1) == logits.argmax(1)).sum()),
            clips=None if logits is None else len(logits),
            pieces=delegation and delegation.calls,
            outside=delegation and delegation.outside,
            size_bytes=_size(entrant.model),
        )

    @property
    def times(self) -> NDArray[np.float64]:
        return np.array(self.round_ns)


class Bar(NamedTuple):
    """A ratio of two programs, each named as in `PROGRAMS`, that is to be at most, or at least, so large."""

    says: str
    over: str
    under: str
    least: float | None = None
    most: float | None = None


BARS = (
    *(Bar("ours / bare products", f"ours-{t}-fp32", f"bare-{t}-fp32", most=1.0) for t in RUNTIMES),
    *(Bar("OpenVINO / ours", "openvino-fp32", f"ours-{t}-fp32", least=1.2) for t in RUNTIMES),
    *(Bar("ours / bare products", f"ours-{t}-int8", f"bare-{t}-int8", most=1.35) for t in RUNTIMES),
    *(Bar("OpenVINO / ours", "openvino-int8", f"ours-{t}-int8", least=1.5) for t in RUNTIMES),
    *(Bar("plain export in fp32 / ours in int8", f"plain-{t}-fp32", f"ours-{t}-int8", least=3.8) for t in RUNTIMES),
)


class Results(Document):
    """All of a race."""

    machine: str
    clock: str
    threads: int
    runs: int
    no_amx: bool = False
    programs: tuple[Measured, ...]

    def table(self) -> list[list[str]]:
        """Rows of the table, its head first."""
        return [HEAD, ["---"] * len(HEAD), *map(self._row, sorted(self.programs, key=_place))]

    def bars(self) -> Iterator[tuple[Bar, NDArray[np.float64]]]:
        """Each bar whose two programs were raced, with the ratio of each round."""
        found = {_name(program): program for program in self.programs}
        for bar in BARS:
            if bar.over in found and bar.under in found:
                yield bar, found[bar.over].times / found[bar.under].times

    def markdown(self) -> str:
        """The table, the bars and where it was measured."""
        parts = [self.table()]
        bars = [_bar(bar, ratios) for bar, ratios in self.bars()]
        if bars:
            parts.append([BAR_HEAD, ["---"] * len(BAR_HEAD), *bars])
        tables = ("\n".join(f"| {' | '.join(row)} |" for row in rows) for rows in parts)
        return "\n\n".join([*tables, self.where()]) + "\n"

    def where(self) -> str:
        rounds = len(self.programs[0].round_ns)
        clock = "processor time, " if self.clock == "cpu" else ""
        threads = plural(self.threads, "thread")
        machine = self.machine.replace("AMX", "AMX left unused") if self.no_amx else self.machine
        return f"{machine}, {clock}{threads}, {rounds} rounds of {plural(self.runs, 'run')} each."

    def _row(self, program: Measured) -> list[str]:
        kind = KINDS.get(program.kind, "")
        where = RUNTIMES.get(program.runtime, "")
        name = f"{kind}, {where}" if kind else program.engine.rsplit(" ", 1)[0]
        ours = {p.runtime: p for p in self.programs if p.kind == "ours" and p.precision == program.precision}
        others = [None if ours.get(runtime) is program else ours.get(runtime) for runtime in RUNTIMES]
        ratios = ["" if other is None else interval(program.times / other.times) for other in others]
        same = "" if program.agreeing is None else f"{program.agreeing} of {program.clips}"
        quality = "" if program.sqnr_db is None else decibels(program.sqnr_db)
        size = f"{program.size_bytes / 1e6:.1f} MB"
        pieces = "" if program.pieces is None else f"{program.pieces} ({program.outside})"
        median = f"{np.median(program.times) / 1e6:.1f} ms"
        return [name, program.engine, program.precision, median, *ratios, quality, same, pieces, size]


def machine() -> str:
    """The processor, and of what makes int8 fast what it has."""
    system = platform.processor() or platform.machine()
    try:
        facts = dict(line.split(":", 1) for line in Path("/proc/cpuinfo").read_text().splitlines() if ":" in line)
    except OSError:
        return f"{system}, {os.cpu_count()} cores"
    known = {name.strip(): value.strip() for name, value in facts.items()}
    flags = known.get("flags", "").split()
    has = [says for flag, says in (("avx512_vnni", "AVX-512 VNNI"), ("amx_int8", "AMX")) if flag in flags]
    return ", ".join([known.get("model name", system), f"{os.cpu_count()} cores", *has])


def _bar(bar: Bar, ratios: NDArray[np.float64]) -> list[str]:
    runtime, precision = next(part for part in (bar.under, bar.over) if part.startswith("ours")).split("-")[1:]
    wanted = f"at most {bar.most}" if bar.most is not None else f"at least {bar.least}"
    median = float(np.median(ratios))
    is_met = median <= bar.most if bar.most is not None else median >= (bar.least or 0)
    return [bar.says, RUNTIMES[runtime], precision, interval(ratios), wanted, "met" if is_met else "missed"]


def _name(program: Measured) -> str:
    return "-".join(filter(None, (program.kind, program.runtime, program.precision)))


def _place(program: Measured) -> tuple[int, int]:
    return ("fp32", "int8").index(program.precision), [*KINDS, program.kind].index(program.kind)


def _size(model: Path) -> int:
    """Of a model in one file, or in two of the same name."""
    return sum(path.stat().st_size for path in model.parent.glob(f"{model.stem}.*") if path.suffix != ".log")
