"""The plan of a profile: rounds, runs and durations."""

from __future__ import annotations

import math
import random
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dvfl_mobile.errors import UsageError
from dvfl_mobile.spelling import option

if TYPE_CHECKING:
    from dvfl_mobile.devices.values import RunOptions

ROUNDS = 12
RUNS = 120
WARMUP = 3
_MOST_S = 24 * 3600
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}


@dataclass(frozen=True)
class Plan:
    """What was asked for.

    Attributes:
        runs: that count, of each artifact, over all rounds; each round makes as many, rounded up.
        sustained_s: run for so many seconds in place of rounds; None: rounds.
        operators: also time each operator, in runs apart.
        seed: of the coins that order each pair of rounds.
    """

    runs: int = RUNS
    warmup: int = WARMUP
    threads: int | None = None
    cores: tuple[int, ...] = ()
    compute_units: str | None = None
    operators: bool = False
    sustained_s: float | None = None
    seed: int = 0

    @property
    def rounds(self) -> int:
        """Processes that each load the artifact anew: twelve, which give six pairs of one artifact's own rounds."""
        return min(ROUNDS, self.runs)

    @property
    def runs_in_round(self) -> int:
        return math.ceil(self.runs / self.rounds)

    def check_takes(self, artifacts: int) -> None:
        """Check that so many artifacts can be profiled by it, in one session.

        Raises:
            UsageError: they can't.
        """
        if self.sustained_s is not None and artifacts > 1:
            raise UsageError(
                f"{option('sustained_s')} and {option('rival')} exclude each other: heat would be the other's."
            )

    def options(self, runs: int | None = None, *, operators: bool = False) -> RunOptions:
        """What a device is asked for one round."""
        from dvfl_mobile.devices.values import RunOptions

        return RunOptions(
            warmup=self.warmup,
            runs=runs or self.runs_in_round,
            threads=self.threads,
            cores=self.cores,
            operators=operators,
            compute_units=self.compute_units,
        )

    def order(self) -> list[tuple[int, int]]:
        """For each pair of rounds which of two artifacts is first: (0, 1) or (1, 0), by a coin each."""
        coins = random.Random(self.seed)
        return [(0, 1) if coins.random() < 0.5 else (1, 0) for _ in range(self.rounds)]


def seconds_of(text: str) -> float:
    """`90s`, `10m` or `1h` in seconds; a bare number is seconds.

    Raises:
        UsageError: it is none of these, or no time that a device is kept busy for.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text.strip())
    seconds = float(found[1]) * _UNITS[found[2]] if found else 0.0
    if not 10 <= seconds <= _MOST_S:
        raise UsageError(
            f"{option('sustained_s', text)} is no time from 10 seconds to 24 hours.",
            hint="Give one such as 90s, 10m or 1h.",
        )
    return seconds


def cores_of(text: str | None) -> tuple[int, ...]:
    """`4,5` as numbers; none for None.

    Raises:
        UsageError: it isn't a list of different numbers.
    """
    if text is None:
        return ()
    words = text.split(",")
    if not all(re.fullmatch(r"\d{1,4}", word) for word in words) or len(set(words)) < len(words):
        raise UsageError(f"{option('cores', text)} is no list of cores.", hint="Give different numbers, such as 4,5.")
    return tuple(map(int, words))
