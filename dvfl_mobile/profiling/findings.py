"""Findings: what makes a measurement doubtful, found in its samples and in the device's states.

Nothing is corrected: a finding says what was seen and what shows it. Each detector is a function below, and a line in
`_DETECTORS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from dvfl_mobile.devices.values import DeviceFacts, DeviceState
from dvfl_mobile.profiling.document import Finding, Round, Sustained
from dvfl_mobile.profiling.statistics import P90_NEEDS_RUNS, Floats, medians, trend
from dvfl_mobile.spelling import option
from dvfl_mobile.wording import percent, plural

_LEAST_ROUNDS = 6
_DRIFT_P, _DRIFT = 0.01, 0.03
_FREQUENCY = 0.1
_BURST, _BURST_SHARE = 1.5, 0.05
_APART, _LESSER_SHARE = 4.5, 0.15
"""Ashman's D of two groups: an even spread, cut in the middle, has 3.5, and a normal one 2.7."""
_GAP = 0.05
_NOISE = 0.1
_COLD = 0.05
_THROTTLED = 0.05
_CALM = ("", "none", "nominal")
_LOW_BATTERY = 20
_OWN_LOAD_HOST = 0.7


@dataclass(frozen=True)
class Evidence:
    """All that findings are made of.

    Attributes:
        rounds: of each artifact.
        before: the state before anything ran.
    """

    device: DeviceFacts
    before: DeviceState
    rounds: tuple[tuple[Round, ...], ...]
    sustained: Sustained | None = None

    @property
    def in_order(self) -> list[Round]:
        """Rounds of all artifacts, as they ran."""
        return sorted((each for rounds in self.rounds for each in rounds), key=lambda each: each.place)

    @property
    def states(self) -> list[DeviceState]:
        """Those read after each round, when the device had just been at work."""
        return [each.state for each in self.in_order]

    @property
    def relative(self) -> Floats:
        """The median of each round over that of its artifact, in the order in which they ran."""
        of_place: dict[int, float] = {}
        for rounds in self.rounds:
            values = medians([each.duration_ns for each in rounds])
            for each, value in zip(rounds, values / np.median(values), strict=True):
                of_place[each.place] = float(value)
        return np.array([of_place[place] for place in sorted(of_place)])


def find(evidence: Evidence) -> tuple[Finding, ...]:
    """Every finding, the gravest kinds first."""
    return tuple(finding for detect in _DETECTORS for finding in detect(evidence))


def _throttling(evidence: Evidence) -> Iterator[Finding]:
    statuses = [state.thermal_status or "" for state in evidence.states]
    hot = [status for status in statuses if status not in _CALM]
    if hot and (evidence.before.thermal_status or "") in _CALM:
        yield _finding(
            "throttling",
            "The device grew hot and said so.",
            f"Thermal status {hot[-1]} after {plural(len(hot), 'round')} of {len(statuses)}.",
        )
    curve = evidence.sustained
    if curve is not None and curve.slowdown > 1 + _THROTTLED:
        where = "settled at" if curve.steady_ns is not None else "ended at"
        yield _finding(
            "throttling",
            "It became slower the longer it ran.",
            f"The first window's median is {curve.first_ns / 1e6:.2f} ms; it {where} {curve.slowdown:.2f} times that.",
        )


def _hot(evidence: Evidence) -> Iterator[Finding]:
    status = evidence.before.thermal_status or ""
    if status not in _CALM:
        yield _finding("hot", "The device was hot before it began.", f"Thermal status {status}.")


def _drift(evidence: Evidence) -> Iterator[Finding]:
    values = evidence.relative
    if evidence.sustained is not None or len(values) < _LEAST_ROUNDS:
        return
    chance, change = trend(values)
    if chance < _DRIFT_P and abs(change) > _DRIFT:
        way = "slower" if change > 0 else "faster"
        yield _finding(
            "drift",
            f"Rounds became {way} during the session.",
            f"{100 * abs(change):.1f} % from the first to the last of {plural(len(values), 'round')} (Mann-Kendall p "
            f"{max(chance, 1e-4):.2g}).",
        )


def _frequency(evidence: Evidence) -> Iterator[Finding]:
    # Only states read right after work: an idle core's frequency says nothing of a busy one's.
    fastest = [max(known) for state in evidence.states if (known := [khz for khz in state.core_khz if khz])]
    if len(fastest) >= 2 and min(fastest) < (1 - _FREQUENCY) * max(fastest):
        yield _finding(
            "frequency",
            "The cores didn't run at one frequency.",
            f"The fastest core had {min(fastest) / 1e6:.2f} to {max(fastest) / 1e6:.2f} GHz after a round.",
        )
    governors = {state.governors for state in (evidence.before, *evidence.states) if state.governors}
    if len(governors) > 1:
        named = "; ".join(sorted(", ".join(each) for each in governors))
        yield _finding("frequency", "What governs the frequencies changed during the session.", f"{named}.")


def _background(evidence: Evidence) -> Iterator[Finding]:
    load = evidence.before.load
    cores = max(1, len(evidence.device.cores))
    # A phone's kernel counts threads that wait for hardware, so that an idle one has a load of several.
    own = _OWN_LOAD_HOST if evidence.device.device.startswith("host") else float(cores)
    if load is not None and load > own:
        yield _finding(
            "background",
            "Other programs were running.",
            f"The load was {load:.2f} before the first run, on {plural(cores, 'core')}.",
        )


def _bursts(evidence: Evidence) -> Iterator[Finding]:
    runs = _relative_runs(evidence)
    late = int(np.sum(runs > _BURST))
    if late >= 3 and late > _BURST_SHARE * len(runs):
        yield _finding(
            "bursts",
            "Some runs took far longer than the others: something else used the device now and then.",
            f"{late} of {plural(len(runs), 'run')} took more than {_BURST:g} times the median of their round.",
        )


def _bimodal(evidence: Evidence) -> Iterator[Finding]:
    for rounds in evidence.rounds:
        found = _two_groups(np.log([duration for each in rounds for duration in each.duration_ns]))
        if found is not None:
            share, ratio = found
            yield _finding(
                "bimodal",
                "Runs fall into two groups, and a median between them means little.",
                f"{percent(share)} of runs are in the slower group, which takes {ratio:.2f} times as long. Cores of "
                "two kinds, or two frequencies, look like this.",
            )


def _noise(evidence: Evidence) -> Iterator[Finding]:
    values = evidence.relative
    if evidence.sustained is not None or len(values) < _LEAST_ROUNDS:
        return
    spread = float(values.std(ddof=1))
    if spread > _NOISE:
        yield _finding(
            "noise",
            "Rounds of one artifact differ a lot.",
            f"Their medians' standard deviation is {100 * spread:.0f} % of the median, over "
            f"{plural(len(values), 'round')}.",
        )


def _warm_up(evidence: Evidence) -> Iterator[Finding]:
    for rounds in evidence.rounds:
        long = [each.duration_ns for each in rounds if len(each.duration_ns) > 3]
        firsts = [runs[0] / float(np.median(runs)) for runs in long]
        slower = sum(first > 1 for first in firsts)
        # One of twelve may be an accident: with fair coins eleven or more come in 3 of 1000 cases.
        if len(firsts) >= _LEAST_ROUNDS and slower >= len(firsts) - 1 and np.median(firsts) > 1 + _COLD:
            yield _finding(
                "warm_up",
                f"Warm-up was too short: more {option('warmup')} runs are needed.",
                f"The first run that counts was slower than its round's median in {slower} of "
                f"{plural(len(firsts), 'round')}, by {100 * (float(np.median(firsts)) - 1):.0f} %.",
            )


def _few_samples(evidence: Evidence) -> Iterator[Finding]:
    fewest = min(sum(len(each.duration_ns) for each in rounds) for rounds in evidence.rounds)
    if fewest < P90_NEEDS_RUNS:
        yield _finding(
            "few_samples",
            "There are too few runs for percentiles.",
            f"{plural(fewest, 'run')}; 90 % needs {P90_NEEDS_RUNS}.",
        )
    least = min(len(rounds) for rounds in evidence.rounds)
    if evidence.sustained is None and least < _LEAST_ROUNDS:
        yield _finding(
            "few_samples",
            "There are too few rounds for an interval.",
            f"{plural(least, 'round')}; {_LEAST_ROUNDS} are needed.",
        )


def _power(evidence: Evidence) -> Iterator[Finding]:
    before = evidence.before
    is_phone = evidence.device.device.startswith(("android", "ios"))
    if is_phone and before.is_charging and before.battery_percent is not None:
        yield _finding(
            "charging",
            "The battery was charging, which warms a phone.",
            f"{before.battery_percent} % before the first run.",
        )
    if any(state.is_low_power for state in (before, *evidence.states)):
        yield _finding("low_power", "The device was saving power.", "Its low-power mode was on.")
    if before.battery_percent is not None and before.battery_percent < _LOW_BATTERY:
        yield _finding(
            "low_battery",
            "The battery was low, and devices slow down to spare it.",
            f"{before.battery_percent} % before the first run.",
        )


def _browser(evidence: Evidence) -> Iterator[Finding]:
    if evidence.device.abi == "wasm32":
        yield _finding(
            "browser",
            "These are a browser's times, not a native program's: for an app the same device runs other kernels.",
            f"{evidence.device.model}, by LiteRT.js; its clock is as coarse as the browser makes it",
        )


_DETECTORS: Sequence[Callable[[Evidence], Iterator[Finding]]] = (
    _browser,
    _throttling,
    _hot,
    _drift,
    _frequency,
    _background,
    _bursts,
    _bimodal,
    _noise,
    _warm_up,
    _few_samples,
    _power,
)


def _finding(kind: str, sentence: str, evidence: str) -> Finding:
    return Finding.model_validate({"kind": kind, "sentence": sentence, "evidence": evidence})


def _relative_runs(evidence: Evidence) -> Floats:
    """Every run over the median of its round."""
    return np.concatenate(
        [np.array(each.duration_ns, np.float64) / np.median(each.duration_ns) for each in evidence.in_order]
    )


def _two_groups(logs: Floats) -> tuple[float, float] | None:
    """The share of the slower of two groups, and its time over the other's; None where there is one group.

    The cut is Otsu's: it leaves the least variance within the groups. Two groups are two where Ashman's D,
    `sqrt(2) |m1 - m2| / sqrt(s1² + s2²)`, is above that of any single hump, and both are large enough.
    """
    ordered = np.sort(logs)
    count = len(ordered)
    if count < P90_NEEDS_RUNS:
        return None
    sizes = np.arange(1, count)
    low = np.cumsum(ordered)[:-1] / sizes
    high = (ordered.sum() - np.cumsum(ordered)[:-1]) / (count - sizes)
    cut = int(np.argmax(sizes * (count - sizes) * (high - low) ** 2)) + 1
    below, above = ordered[:cut], ordered[cut:]
    within = float(np.sqrt(below.var() + above.var()))
    gap = float(above.mean() - below.mean())
    apart = np.sqrt(2) * gap / within if within > 0 else np.inf
    share = len(above) / count
    if apart < _APART or min(share, 1 - share) < _LESSER_SHARE or np.expm1(gap) < _GAP:
        return None
    return share, float(np.exp(gap))
