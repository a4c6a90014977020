"""A/A and A/B comparison: the noise between rounds of one artifact, and whether another differs by more."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from dvfl_mobile.documents import Verdict
from dvfl_mobile.profiling.document import Comparison, Interval, Noise, Round
from dvfl_mobile.profiling.statistics import Floats, chance_ratio, medians, ratio_interval
from dvfl_mobile.spelling import option

_LEAST_ROUNDS = 4

_Result = Literal["faster", "slower", "no difference", "too few rounds"]


def noise_of(rounds: Sequence[Round], rival: Sequence[Round] = ()) -> Noise | None:
    """The A/A comparison of an artifact's own rounds, in the order in which they ran; None below four rounds.

    The floor rests on every two rounds that follow each other, of the artifact or of its rival, whichever of the two
    gives more: a dozen differences tell a spread only roughly, and a floor that is too low would be trusted. In a
    comparison the other one's round lies between them: they are further apart than the rounds of a pair, which makes
    the floor rather too high as well.
    """
    if len(rounds) < _LEAST_ROUNDS:
        return None
    logs = _logs(rounds)
    paired = logs[: len(logs) // 2 * 2].reshape(-1, 2)
    ratio, interval = ratio_interval(paired[:, 1] - paired[:, 0])
    floor = max(chance_ratio(np.diff(_logs(each)), len(rounds)) for each in (rounds, rival) if each)
    if interval is not None and not interval[0] <= 1 <= interval[1]:
        # The machine itself made a difference where there is none: that much is not to be believed of others either.
        floor = max(floor, ratio, 1 / ratio)
    return Noise(ratio=ratio, interval=interval, floor=floor, pairs=len(rounds))


def compare(
    rounds_a: Sequence[Round],
    rounds_b: Sequence[Round],
    noise: Noise | None,
    order: Sequence[tuple[int, int]],
    bound: float | None = None,
) -> Comparison:
    """B against A, from pairs of rounds.

    Args:
        rounds_a, rounds_b: round i of both is pair i.
        order: which was first in each pair.
        bound: what B's time over A's must not exceed.
    """
    ratio, interval = ratio_interval(_logs(rounds_b) - _logs(rounds_a))
    result = _result(ratio, interval, noise)
    verdict = _judge(interval, bound)
    return Comparison(
        ratio=ratio,
        interval=interval,
        order=" ".join("AB" if first == 0 else "BA" for first, _ in order),
        result=result,
        bound=bound,
        verdict=verdict,
        sentence=_sentence(ratio, interval, noise, result) + _bound_sentence(bound, verdict),
    )


def _logs(rounds: Sequence[Round]) -> Floats:
    return np.log(np.maximum(medians([each.duration_ns for each in rounds]), 1))


def _result(ratio: float, interval: Interval | None, noise: Noise | None) -> _Result:
    if interval is None or noise is None:
        return "too few rounds"
    if interval[0] <= 1 <= interval[1] or abs(math.log(ratio)) <= math.log(noise.floor):
        return "no difference"
    return "slower" if ratio > 1 else "faster"


def _judge(interval: Interval | None, bound: float | None) -> Verdict:
    if bound is None:
        return Verdict.PASS
    if interval is None:
        return Verdict.INCONCLUSIVE
    if interval[0] > bound:
        return Verdict.FAIL
    return Verdict.PASS if interval[1] <= bound else Verdict.INCONCLUSIVE


def _sentence(ratio: float, interval: Interval | None, noise: Noise | None, result: _Result) -> str:
    if interval is None or noise is None:
        return f"B takes {ratio:.3f} times as long as A in the few rounds there were: too few to tell."
    measured = f"B takes {ratio:.3f} times as long as A ({interval[0]:.3f} to {interval[1]:.3f})"
    floor = f"{100 * (noise.floor - 1):.1f} %"
    if result != "no difference":
        return f"{measured}: B is {result}, by more than the {floor} that noise alone gives here."
    if interval[0] <= 1 <= interval[1]:
        return f"{measured}: no difference. Below {floor} none can be measured here."
    return f"{measured}: no difference, since noise alone gives up to {floor} here."


def _bound_sentence(bound: float | None, verdict: Verdict) -> str:
    if bound is None:
        return ""
    found = {
        Verdict.PASS: f" It is at most {bound:g}, as asked.",
        Verdict.FAIL: f" It is above the {bound:g} that was asked for.",
        Verdict.INCONCLUSIVE: f" Whether it is above {bound:g} can't be decided from these runs; more "
        f"{option('runs')} may.",
    }
    return found[verdict]
