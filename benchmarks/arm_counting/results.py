"""What was counted: instructions of each program on each core, their ratios, and the bars that ours are held to."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from arm_counting.record import Counts
from dvfl_mobile.devices.emulated import CPUS
from dvfl_mobile.documents import Document
from dvfl_mobile.files import write_text
from dvfl_mobile.wording import decibels

RUNTIMES = {"executorch": "ExecuTorch", "tflite": "TFLite"}
PROGRAMS = {
    ("plain", "fp32"): "plain export, fp32",
    ("ours", "fp32"): "**ours**, fp32",
    ("ours", "int8"): "**ours**, int8",
}
MOST = {("ours", "fp32"): 0.60, ("ours", "int8"): 0.45}
"""Of the instructions of the plain export in fp32."""

HEAD = [
    *("network", "core", "runtime", "program", "instructions a clip", "/ plain export, fp32", "at most"),
    *("FMLA", "SDOT", "SMMLA", "calls of XNNPACK", "operators outside, traced", "SQNR"),
]


class Program(NamedTuple):
    """Which program: network, core, runtime, kind (`plain`, `ours`) and precision (`fp32`, `int8`)."""

    network: str
    core: str
    runtime: str
    kind: str
    precision: str


class Counting(Document):
    """What one program executed for one clip.

    Attributes:
        counts: instructions by kind, of one run.
        first: instructions of the first run, in which what is needed once is made.
        loading: of the process without its runs.
        calls: of XNNPACK, by the artifact's manifest; None of plain exports.
        operators, outside: how many ran on that core, and how many of them outside of XNNPACK, by the trace of a run;
            None where none was traced.
        sqnr_db: of its logits against PyTorch's.
    """

    network: str
    core: str
    runtime: str
    kind: str
    precision: str
    counts: Counts
    first: int
    loading: int
    calls: int | None = None
    operators: int | None = None
    outside: int | None = None
    sqnr_db: float

    @property
    def program(self) -> Program:
        return Program(self.network, self.core, self.runtime, self.kind, self.precision)


class Results(Document):
    """All countings of one or more networks."""

    countings: tuple[Counting, ...] = ()

    @classmethod
    def read(cls, path: Path) -> Results:
        """What was written there; nothing where there is no such file."""
        return cls.model_validate_json(path.read_text(encoding="utf-8")) if path.exists() else cls()

    def write(self, path: Path) -> None:
        write_text(path, self.model_dump_json(indent=2) + "\n")

    def of(self, program: Program) -> Counting | None:
        return next((counting for counting in self.countings if counting.program == program), None)

    def plus(self, counting: Counting) -> Results:
        return Results(countings=(*self.countings, counting))

    def ratio(self, counting: Counting) -> float | None:
        """Its instructions over those of the plain export in fp32 on the same runtime and core; None without that."""
        plain = self.of(counting.program._replace(kind="plain", precision="fp32"))
        return None if plain is None else counting.counts["all"] / plain.counts["all"]

    def missed(self) -> list[Program]:
        """Programs of ours that execute more than their bar allows, or have nothing to be compared with."""
        return [
            counting.program
            for counting in self.countings
            if (most := MOST.get((counting.kind, counting.precision))) is not None
            and ((ratio := self.ratio(counting)) is None or ratio > most)
        ]

    def markdown(self) -> str:
        """The table."""
        rows = [HEAD, ["---"] * len(HEAD), *map(self._row, sorted(self.countings, key=_place))]
        return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"

    def _row(self, counting: Counting) -> list[str]:
        ratio, most = self.ratio(counting), MOST.get((counting.kind, counting.precision))
        share, held = "", ""
        if most is not None and ratio is not None:
            share, held = _percent(ratio, 1), f"{_percent(most, 0)}: {'met' if ratio <= most else 'missed'}"
        return [
            counting.network,
            counting.core,
            RUNTIMES[counting.runtime],
            PROGRAMS[counting.kind, counting.precision],
            _millions(counting.counts["all"]),
            share,
            held,
            *(_millions(counting.counts[kind]) for kind in ("float", "dot", "matrix")),
            "" if counting.calls is None else str(counting.calls),
            "" if counting.operators is None else f"{counting.outside} of {counting.operators}",
            decibels(counting.sqnr_db),
        ]


def _percent(share: float, digits: int) -> str:
    return f"{share * 100:.{digits}f} %"


def _millions(count: int) -> str:
    return f"{count / 1e6:,.1f} M" if count else "0"


def _place(counting: Counting) -> tuple[bool, str, int, int, int]:
    """The default student first, and older cores before newer ones."""
    return (
        counting.network != "pico",
        counting.network,
        list(CPUS).index(counting.core),
        list(RUNTIMES).index(counting.runtime),
        list(PROGRAMS).index((counting.kind, counting.precision)),
    )
