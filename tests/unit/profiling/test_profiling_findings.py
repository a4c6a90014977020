"""What a measurement's reader must know: each finding from data that show it, and none from data that don't."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from dvfl_mobile.devices.values import Core, DeviceFacts, DeviceState
from dvfl_mobile.profiling.document import Finding, Round
from dvfl_mobile.profiling.findings import Evidence, find

MS = 1_000_000
ROUNDS, RUNS = 12, 10

Factor = Callable[[int, int], float]


def _device(name: str = "android:A") -> DeviceFacts:
    cores = tuple(Core(number=number) for number in range(8))
    return DeviceFacts(device=name, kind="physical", model="Fake", system="Android", abi="arm64-v8a", cores=cores)


def _rounds(factor: Factor, states: Sequence[DeviceState] = (), seed: int = 0) -> tuple[Round, ...]:
    """Rounds of runs of 10 ms, times a factor by round and run, and 1 % of noise."""
    stream = np.random.default_rng(seed)
    return tuple(
        Round(
            place=place,
            load_ns=MS,
            warmup_ns=(MS,),
            started_ns=tuple(range(RUNS)),
            duration_ns=tuple(
                int(10 * MS * factor(place, run) * np.exp(stream.normal(0, 0.01))) for run in range(RUNS)
            ),
            peak_memory_bytes=None,
            threads=None,
            output_sha256="",
            state=states[place % len(states)] if states else DeviceState(),
        )
        for place in range(ROUNDS)
    )


def _find(
    factor: Factor = lambda _place, _run: 1.0,
    states: Sequence[DeviceState] = (),
    before: DeviceState | None = None,
    device: str = "android:A",
) -> dict[str, Finding]:
    rounds = _rounds(factor, states)
    found = find(Evidence(_device(device), before or DeviceState(), (rounds,)))
    return {finding.kind: finding for finding in found}


def test_nothing_is_found_in_a_quiet_measurement() -> None:
    assert _find() == {}


def test_nothing_is_found_in_quiet_measurements_of_many_seeds() -> None:
    found = [find(Evidence(_device(), DeviceState(), (_rounds(lambda *_: 1.0, seed=seed),))) for seed in range(100)]
    assert sum(map(bool, found)) <= 1


DISTURBED = {
    "drift": lambda place, _run: 1 + 0.1 * place / ROUNDS,
    "bursts": lambda place, run: 2.0 if run in (3, 4) and place % 2 else 1.0,
    "bimodal": lambda place, _run: 1.3 if place % 3 == 0 else 1.0,
    "noise": lambda place, _run: 1 + 0.5 * ((place * 7) % ROUNDS) / ROUNDS,
    "warm_up": lambda _place, run: 1.2 if run == 0 else 1.0,
}


@pytest.mark.parametrize("kind", DISTURBED)
def test_a_disturbance_is_found_by_its_name(kind: str) -> None:
    found = _find(DISTURBED[kind])
    assert kind in found
    assert any(character.isdigit() for character in found[kind].evidence), "it says what shows it"


def test_a_drift_says_which_way_and_how_far() -> None:
    assert "slower" in _find(DISTURBED["drift"])["drift"].sentence
    assert "faster" in _find(lambda place, _run: 1 - 0.1 * place / ROUNDS)["drift"].sentence
    assert _find(DISTURBED["drift"])["drift"].evidence.startswith(("8.", "9."))


def test_frequencies_count_only_right_after_work() -> None:
    fast, slow = (DeviceState(core_khz=(khz, 300_000, None)) for khz in (2_800_000, 1_900_000))
    assert "1.90 to 2.80 GHz" in _find(states=[fast, slow])["frequency"].evidence
    assert _find(states=[fast], before=slow) == {}, "an idle core's frequency says nothing"
    governors = [DeviceState(governors=("schedutil",)), DeviceState(governors=("powersave",))]
    assert "powersave" in _find(states=governors)["frequency"].evidence


def test_a_device_that_grows_hot_is_found_to() -> None:
    calm, hot = DeviceState(thermal_status="none"), DeviceState(thermal_status="severe")
    found = _find(states=[calm, hot], before=calm)
    assert "severe" in found["throttling"].evidence
    assert "hot" not in found
    assert set(_find(states=[hot], before=hot)) == {"hot"}, "it was before"


@pytest.mark.parametrize(
    ("device", "load", "is_found"),
    [
        ("host", 0.5, False),
        ("host", 1.0, True),
        ("android:A", 6.0, False),
        ("android:A", 12.0, True),
    ],
)
def test_background_load_is_found(device: str, load: float, is_found: bool) -> None:
    found = _find(before=DeviceState(load=load), device=device)
    assert ("background" in found) is is_found


def test_power_is_looked_at() -> None:
    before = DeviceState(battery_percent=12, is_charging=True)
    assert set(_find(before=before)) == {"charging", "low_battery"}
    assert set(_find(before=before, device="host")) == {"low_battery"}, "a laptop is cooled"
    assert set(_find(states=[DeviceState(is_low_power=True)])) == {"low_power"}


def test_few_runs_are_said_to_be_few() -> None:
    few = tuple(each.model_copy(update={"duration_ns": each.duration_ns[:1]}) for each in _rounds(lambda *_: 1.0)[:5])
    found = find(Evidence(_device(), DeviceState(), (few,)))
    assert [finding.kind for finding in found] == ["few_samples", "few_samples"]
    assert "5 runs" in found[0].evidence
    assert "5 rounds" in found[1].evidence


def test_two_artifacts_of_different_speed_are_no_disturbance() -> None:
    fast = _rounds(lambda *_: 1.0)
    slow = tuple(each.model_copy(update={"place": each.place + ROUNDS}) for each in _rounds(lambda *_: 1.7, seed=1))
    assert find(Evidence(_device(), DeviceState(), (fast, slow))) == ()
