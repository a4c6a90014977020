"""What is read from what Android's tools print.

The samples are written by hand from the documented formats and AOSP's sources, and shortened: no phone was at hand.
"""

from __future__ import annotations

import random

import pytest

from dvfl_mobile.devices.android.facts import is_android, parse_facts
from dvfl_mobile.devices.android.state import parse_state
from dvfl_mobile.devices.values import Core, DeviceFacts, DeviceState

_PHONE = """
== properties
ro.product.manufacturer=Google
ro.product.model=Pixel 8
ro.soc.manufacturer=Google
ro.soc.model=Tensor G3
ro.board.platform=zuma
ro.build.version.release=14
ro.build.version.sdk=34
ro.product.cpu.abi=arm64-v8a
ro.kernel.qemu=
ro.boot.qemu=
== machine
aarch64
== system
== board

== cpuinfo
processor\t: 0
BogoMIPS\t: 49.15
Features\t: fp asimd evtstrm aes asimddp sve i8mm
CPU implementer\t: 0x41

processor\t: 8
Features\t: fp asimd evtstrm aes asimddp i8mm
== cores
0 1704000
1 1704000
10 2914000
8
== memory
MemTotal:        7812436 kB
MemFree:          123456 kB
"""

_BOARD = """
== properties
ro.product.model=
== machine
aarch64
== system
NAME="Debian GNU/Linux"
PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"
== board
Raspberry Pi 5 Model B Rev 1.0\x00
== cpuinfo
== cores
0 2400000
== memory
"""

_STATE = """
== cores
0 1401000 sched_pixel
1 - sched_pixel
10 2914000 performance
== battery
Current Battery Service state:
  AC powered: false
  USB powered: true
  Max charging current: 500000
  status: 2
  health: 2
  present: true
  level: 45
  scale: 50
  voltage: 4123
  temperature: 312
  technology: Li-ion
== heat
IsStatusOverride: false
ThermalEventListeners:
\tcallbacks: 1
Thermal Status: 2
Cached temperatures:
\tTemperature{mValue=30.5, mType=3, mName=VIRTUAL-SKIN, mStatus=0}
HAL Ready: true
Current temperatures from HAL:
\tTemperature{mValue=41.25, mType=3, mName=VIRTUAL-SKIN, mStatus=2}
\tTemperature{mValue=-274.0, mType=0, mName=broken, mStatus=0}
== zones
48200 cpu-big
- battery_cycle
25 odd
== load
3.42 2.10 1.00 2/1234 5678
== power
1
"""


def test_a_phone() -> None:
    facts = parse_facts("android:X", _PHONE)
    assert facts == DeviceFacts(
        device="android:X",
        kind="physical",
        model="Google Pixel 8",
        soc="Google Tensor G3",
        system="Android 14 (API 34)",
        abi="arm64-v8a",
        # sve is on some cores alone: nothing may rely on it.
        features=("fp", "asimd", "evtstrm", "aes", "asimddp", "i8mm"),
        cores=(
            Core(number=0, most_khz=1704000),
            Core(number=1, most_khz=1704000),
            Core(number=8),
            Core(number=10, most_khz=2914000),
        ),
        memory_bytes=7812436 * 1024,
    )
    assert is_android(facts)


def test_a_board_that_is_no_android() -> None:
    facts = parse_facts("android:X", _BOARD)
    assert (facts.model, facts.system, facts.abi) == (
        "Raspberry Pi 5 Model B Rev 1.0",
        "Debian GNU/Linux 12 (bookworm)",
        "arm64-v8a",
    )
    assert (facts.soc, facts.features, facts.memory_bytes) == (None, (), None)
    assert not is_android(facts)


@pytest.mark.parametrize("name", ["ro.kernel.qemu", "ro.boot.qemu"])
def test_an_emulator_says_that_it_is_one(name: str) -> None:
    assert parse_facts("android:X", _PHONE.replace(f"{name}=", f"{name}=1")).kind == "emulated"


def test_a_maker_that_is_in_the_model_is_not_said_twice() -> None:
    text = _PHONE.replace("manufacturer=Google\nro.product.model=Pixel 8", "manufacturer=vivo\nro.product.model=Vivo 9")
    assert parse_facts("android:X", text).model == "Vivo 9"


def test_the_state_of_a_phone() -> None:
    assert parse_state(_STATE) == DeviceState(
        core_khz=(1401000, None, 2914000),
        governors=("performance", "sched_pixel"),
        battery_percent=90,
        is_charging=True,
        thermal_status="moderate",
        temperatures_c={"battery": 31.2, "VIRTUAL-SKIN": 41.25, "cpu-big": 48.2, "odd": 0.025},
        load=3.42,
        is_low_power=True,
    )


@pytest.mark.parametrize(("status", "is_charging"), [(1, None), (2, True), (3, False), (4, False), (5, False)])
def test_only_a_battery_that_charges_is_charging(status: int, is_charging: bool | None) -> None:
    assert parse_state(_STATE.replace("  status: 2", f"  status: {status}")).is_charging is is_charging


@pytest.mark.parametrize("text", ["", "== cores\n", "== battery\nCan't find service: battery\n", "nonsense"])
def test_what_is_unknown_is_none(text: str) -> None:
    assert parse_state(text) == DeviceState()
    facts = parse_facts("android:X", text)
    assert (facts.model, facts.system, facts.abi, facts.cores) == ("unknown", "unknown", "unknown", ())


def test_nonsense_is_never_more_than_a_fact_that_is_missing_or_can_be_shown() -> None:
    chance = random.Random(0)
    for _ in range(500):
        for text in (_PHONE, _BOARD, _STATE):
            damaged = list(text)
            for _ in range(chance.randint(1, 40)):
                at = chance.randrange(len(damaged))
                damaged[at] = chance.choice(
                    ["", "\x1b", "\n", "9" * 30, "== cores\n", ":", "-", "\ufffd", damaged[at] * 3]
                )
            facts, state = parse_facts("android:X", "".join(damaged)), parse_state("".join(damaged))
            shown = (facts.model, facts.soc or "", facts.system, facts.abi, *facts.features, *state.governors)
            assert all(text.isprintable() for text in (*shown, *state.temperatures_c))
            assert DeviceFacts.model_validate_json(facts.model_dump_json()) == facts
            assert DeviceState.model_validate_json(state.model_dump_json()) == state
