"""The table of programs that are raced."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from peer_programs import foreign, making
from peer_programs.making import Making
from peer_programs.racing import Entrant


@dataclass(frozen=True)
class Program:
    """One line of the race.

    Attributes:
        kind: `ours`, `plain`, `bare`, or a foreign engine, which has no other runtime.
        make: gives what a worker is started with, of what it is made of, the program's name, its engine and its
            precision.
    """

    kind: str
    runtime: str
    precision: str
    make: Callable[[Making, str, str, str], Entrant]

    @property
    def which(self) -> tuple[str, str, str]:
        return self.kind, self.runtime, self.precision

    @property
    def name(self) -> str:
        return "-".join(filter(None, self.which))

    def entrant(self, given: Making) -> Entrant:
        return self.make(given, self.name, self.runtime or self.kind, self.precision)


_OWN = tuple(
    Program(kind, runtime, precision, make)
    for kind, make in (("bare", making.bare), ("ours", making.ours), ("plain", making.plain))
    for runtime in ("tflite", "executorch")
    for precision in ("fp32", "int8")
    # litert-torch has no quantizer of its own that quantizes the official form statically without being shown how.
    if (kind, runtime, precision) != ("plain", "tflite", "int8")
)
_FOREIGN = tuple(
    Program(engine, "", precision, make)
    for engine, make in (("onnxruntime", foreign.onnxruntime), ("openvino", foreign.openvino), ("mnn", foreign.mnn))
    for precision in ("fp32", "int8")
    if (engine, precision) != ("mnn", "int8")
)
PROGRAMS = {program.name: program for program in (*_OWN, *_FOREIGN)}
