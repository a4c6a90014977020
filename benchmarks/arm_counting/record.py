"""What the plugin wrote: how many instructions had been executed whenever the program read the clock."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import TypeAlias

Counts: TypeAlias = dict[str, int]
"""Instructions by kind: `all` of them; those that multiply int8 (`dot`: SDOT and its kin, 16 products each; `matrix`:
SMMLA and its kin, 32 products each); those that multiply and add floats (`float`: FMLA, 4 products each; `half`: the
same of half precision, 8 products each)."""

LONGEST_NS = 500_000_000
"""A program reads the clock right after the plugin did; a process that waited for its turn in between takes no longer
than this."""


@dataclass(frozen=True)
class Mark:
    """What was counted until a time of CLOCK_MONOTONIC, in nanoseconds."""

    at_ns: int
    counts: Counts


@dataclass(frozen=True)
class Record:
    """The marks in the order of time, and the counts of the whole program."""

    marks: tuple[Mark, ...]
    end: Mark

    @classmethod
    def read(cls, text: str) -> Record:
        """Read the file that the plugin wrote.

        Raises:
            ValueError: it isn't whole.
        """
        lines = [line.split() for line in text.splitlines()]
        if len(lines) < 2 or lines[0][0] != "names" or lines[-1][0] != "end":
            raise ValueError("The record of instructions isn't whole.")
        names = lines[0][1:]
        marks = [Mark(int(at), dict(zip(names, map(int, counts), strict=True))) for _, at, *counts in lines[1:]]
        return cls(tuple(marks[:-1]), marks[-1])

    def between(self, start_ns: int, end_ns: int) -> Counts:
        """What was executed between two times that the program read from the clock.

        Raises:
            ValueError: the plugin saw no such reading.
        """
        before, after = self._reading(start_ns), self._reading(end_ns)
        if before is after:
            raise ValueError("The two readings of the clock are one.")
        return {kind: after.counts[kind] - count for kind, count in before.counts.items()}

    def _reading(self, said_ns: int) -> Mark:
        """The last mark before the program got `said_ns`: the plugin reads the clock first."""
        found = bisect_right([mark.at_ns for mark in self.marks], said_ns)
        if not found or said_ns - self.marks[found - 1].at_ns > LONGEST_NS:
            raise ValueError(f"No reading of the clock was seen at {said_ns} ns.")
        return self.marks[found - 1]
