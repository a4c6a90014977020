"""Instructions are counted as they are executed, each of its kind; and what is said of them is what was counted."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.benchmark_packages import BENCHMARKS, bring
from tests.device_tools import tool

pytestmark = pytest.mark.skipif(not BENCHMARKS.is_dir(), reason="benchmarks are in a checkout, not in a wheel")

EACH_TIME = {"all": 30, "dot": 7, "matrix": 3, "float": 5, "half": 4}
"""Instructions of one turn of the loop of known.S, by its own text."""

BEFORE, AROUND, AFTER = 6, 4, 3
"""Of the kind `all`: until the clock is read first, from there to the second reading beside the loop, and after it."""


@pytest.fixture(autouse=True)
def _brought() -> None:
    bring("arm_counting")


def made_known(times: int, folder: Path) -> Path:
    """The program of known.S for 64-bit Arm, which goes through its loop `times` times."""
    program = folder / f"known-{times}"
    source = BENCHMARKS / "arm_counting" / "known.S"
    compiler = tool("aarch64-linux-gnu-gcc")
    subprocess.run([compiler, "-nostdlib", "-static", f"-DDVFL_TIMES={times}", "-o", program, source], check=True)
    return program


@pytest.mark.parametrize("times", [1, 1_000, 70_001])
def test_every_instruction_of_a_known_program_is_counted_once(times: int, tmp_path: Path) -> None:
    from arm_counting.record import Record
    from arm_counting.tools import counter

    tool("qemu-aarch64-plugins")
    program, record = made_known(times, tmp_path), tmp_path / "record.txt"
    for _ in range(2):
        subprocess.run([*counter().launcher("cortex-a710", str(record)), program], check=True, timeout=60)
        read = Record.read(record.read_text(encoding="ascii"))
        first, second = read.marks
        wanted = {kind: each * times for kind, each in EACH_TIME.items()}
        assert first.counts == dict.fromkeys(EACH_TIME, 0) | {"all": BEFORE}
        assert read.between(first.at_ns, second.at_ns) == wanted | {"all": wanted["all"] + AROUND}
        assert read.end.counts == wanted | {"all": wanted["all"] + BEFORE + AROUND + AFTER}


def test_debian_s_own_emulator_steps_as_often_as_we_count(tmp_path: Path) -> None:
    """Counted another way: one instruction to a block, and a line of the log for each block."""
    qemu, log = tool("qemu-aarch64"), tmp_path / "log"
    program = made_known(100, tmp_path)
    stepping = ["-cpu", "cortex-a710", "-one-insn-per-tb", "-d", "exec,nochain", "-D", str(log)]
    subprocess.run([qemu, *stepping, program], check=True, timeout=60)
    steps = sum(line.startswith("Trace ") for line in log.read_text(encoding="ascii").splitlines())
    assert steps == 100 * EACH_TIME["all"] + BEFORE + AROUND + AFTER


RECORD = """names all dot
mark 1000 10 0
mark 2000 200 40
mark 2000900000 300 50
end 2000900100 310 50
"""


def test_a_record_tells_what_was_executed_between_two_readings() -> None:
    from arm_counting.record import Record

    record = Record.read(RECORD)
    assert record.between(1_020, 2_001) == {"all": 190, "dot": 40}
    assert record.between(1_999, 2_000_900_050) == {"all": 290, "dot": 50}
    assert record.end.counts == {"all": 310, "dot": 50}


@pytest.mark.parametrize(
    ("start_ns", "end_ns", "says"),
    [
        (999, 2_001, "No reading of the clock was seen at 999"),
        (1_020, 1_000_000_000, "No reading of the clock was seen at 1000000000"),
        (1_020, 1_030, "are one"),
    ],
)
def test_a_time_that_the_plugin_saw_no_reading_of_is_refused(start_ns: int, end_ns: int, says: str) -> None:
    from arm_counting.record import Record

    with pytest.raises(ValueError, match=says):
        Record.read(RECORD).between(start_ns, end_ns)


@pytest.mark.parametrize("cut", ["", "names all dot\n", RECORD[: RECORD.index("end")], RECORD.replace(" 40", "")])
def test_a_record_that_is_not_whole_is_refused(cut: str) -> None:
    from arm_counting.record import Record

    with pytest.raises(ValueError, match=r"isn't whole|argument"):
        Record.read(cut)


def counting(**changed: Any) -> Any:
    from arm_counting.results import Counting

    plain = {
        **{"network": "pico", "core": "cortex-a76", "runtime": "tflite", "kind": "plain", "precision": "fp32"},
        **{"counts": {"all": 1000, "dot": 0, "matrix": 0, "float": 500, "half": 0}, "first": 1100},
        **{"loading": 7, "calls": 1, "sqnr_db": 120.0},
    }
    return Counting.model_validate_json(json.dumps(plain | changed))


def of_all(count: int, **changed: Any) -> Any:
    return counting(counts={"all": count, "dot": 0, "matrix": 0, "float": 0, "half": 0}, **changed)


def test_a_ratio_is_to_the_plain_float_export_of_the_same_core_and_runtime(tmp_path: Path) -> None:
    from arm_counting.results import Results

    others = [of_all(1, core="cortex-a710"), of_all(2, runtime="executorch"), of_all(3, network="nano")]
    ours, int8 = of_all(600, kind="ours"), of_all(451, kind="ours", precision="int8")
    results = Results(countings=(*others, counting(), ours, int8))
    assert results.ratio(ours) == 0.6
    assert results.ratio(int8) == 0.451
    assert results.missed() == [int8.program]
    assert "| 60.0 % | 60 %: met |" in results.markdown()
    assert "| 45.1 % | 45 %: missed |" in results.markdown()
    results.write(tmp_path / "counted.json")
    assert Results.read(tmp_path / "counted.json") == results


def test_what_has_no_plain_export_beside_it_misses_its_bar() -> None:
    from arm_counting.results import Results

    ours = of_all(1, kind="ours")
    assert Results(countings=(ours, counting(core="cortex-a710"))).missed() == [ours.program]
