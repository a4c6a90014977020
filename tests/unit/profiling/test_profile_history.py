"""The history of profiles: appended whole, read in spite of damage, and its versions held against each other."""

from __future__ import annotations

import fcntl
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from dvfl_mobile.errors import InputError, OutputError
from dvfl_mobile.profiling import history
from dvfl_mobile.profiling.history import Entry, History
from dvfl_mobile.report.profile import history as profile_history

MS = 1_000_000
OLD, NEW = "a" * 64, "b" * 64


def _entry(
    sha256: str, day: int, milliseconds: float, seed: int = 0, floor: float | None = 1.02, **changed: object
) -> Entry:
    rounds = milliseconds * MS * np.exp(np.random.default_rng(seed + day).normal(0, 0.005, 12))
    values = {
        "when": f"2026-11-{day:02}T12:00:00Z",
        "tool_version": "1",
        "device": "android:A",
        "device_model": "Fake",
        "model": "nano",
        "target": "tflite",
        "recipe": "fp32",
        "path": "out/nano/tflite/fp32",
        "sha256": sha256,
        "threads": 4,
        "cores": (),
        "compute_units": None,
        "runs": 120,
        "p50_ns": float(np.median(rounds)),
        "round_ns": tuple(rounds),
        "floor": floor,
    }
    return Entry.model_validate(values | changed)


def _history(path: Path, *entries: Entry) -> History:
    history.append(path, entries)
    return history.history_of(path)


def test_a_slower_version_is_a_regression(tmp_path: Path) -> None:
    found = _history(tmp_path / "h.jsonl", _entry(OLD, 1, 10), _entry(NEW, 2, 11))
    [series] = found.series
    change = series.versions[1].change
    assert change is not None
    assert change.result == "slower"
    assert change.ratio == pytest.approx(1.1, abs=0.01)
    assert series.regressed
    back = _history(tmp_path / "h.jsonl", _entry(OLD, 3, 10))
    assert [version.sha256 for version in back.series[0].versions] == [OLD, NEW, OLD]
    assert not back.series[0].regressed
    assert back.series[0].versions[2].change is not None
    assert back.series[0].versions[2].change.result == "faster"


def test_a_difference_within_the_noise_is_no_regression(tmp_path: Path) -> None:
    found = _history(tmp_path / "h.jsonl", _entry(OLD, 1, 10), _entry(NEW, 2, 10.3, floor=1.05))
    change = found.series[0].versions[1].change
    assert change is not None
    assert change.interval is not None
    assert change.interval[0] > 1, "the interval alone would call it"
    assert change.result == "no change"
    assert not found.series[0].regressed


def test_what_days_make_of_one_version_is_noise_too(tmp_path: Path) -> None:
    # One version took 10 ms on one day and 11 ms on another: 11 ms of the next version is no news.
    found = _history(tmp_path / "h.jsonl", _entry(OLD, 1, 10), _entry(OLD, 2, 11), _entry(NEW, 3, 11))
    old, new = found.series[0].versions
    assert old.sessions == 2
    assert new.change is not None
    assert new.change.floor >= 1.08
    assert new.change.result == "no change"


def test_too_few_rounds_decide_nothing(tmp_path: Path) -> None:
    few = {"round_ns": (10.0 * MS, 10.0 * MS), "floor": None}
    found = _history(tmp_path / "h.jsonl", _entry(OLD, 1, 10, **few), _entry(NEW, 2, 20, **few))
    change = found.series[0].versions[1].change
    assert change is not None
    assert change.result == "too few rounds"


def test_only_what_was_measured_alike_is_compared(tmp_path: Path) -> None:
    others = [{"device": "android:B"}, {"recipe": "fp16"}, {"threads": 1}, {"cores": (4,)}, {"device_model": "Other"}]
    entries = [_entry(OLD, 1, 10), *(_entry(NEW, 2, 20, **changed) for changed in others)]
    found = _history(tmp_path / "h.jsonl", *entries)
    assert len(found.series) == 6
    assert not any(series.regressed for series in found.series)
    assert len(history.history_of(tmp_path / "h.jsonl", "nano", "tflite", "fp16").series) == 1


def test_lines_come_in_the_order_of_time(tmp_path: Path) -> None:
    found = _history(tmp_path / "h.jsonl", _entry(NEW, 9, 11), _entry(OLD, 1, 10))
    assert [version.sha256 for version in found.series[0].versions] == [OLD, NEW]


def test_a_torn_last_line_is_said_and_takes_nothing_from_the_next(tmp_path: Path) -> None:
    path = tmp_path / "h.jsonl"
    history.append(path, [_entry(OLD, 1, 10), _entry(OLD, 2, 10)])
    data = path.read_bytes()
    path.write_bytes(data[: len(data) - 100])
    entries, notes = history.read(path)
    assert len(entries) == 1
    assert notes == ("1 line of the history can't be read and isn't shown: 2. A run was ended while it wrote it.",)
    history.append(path, [_entry(NEW, 3, 10)])
    entries, notes = history.read(path)
    assert [entry.sha256 for entry in entries] == [OLD, NEW]
    assert len(notes) == 1


@pytest.mark.parametrize(
    "line", ["", "null", "[]", '{"schema_version": 2}', "\x00\xff", '{"when": 1}', "[" * 100_000, '{"p50_ns": NaN}']
)
def test_lines_that_are_no_entries_are_left_out(tmp_path: Path, line: str) -> None:
    path = tmp_path / "h.jsonl"
    history.append(path, [_entry(OLD, 1, 10)])
    path.write_bytes(path.read_bytes() + line.encode("latin-1") + b"\n")
    history.append(path, [_entry(NEW, 2, 10)])
    entries, notes = history.read(path)
    assert len(entries) == 2
    assert len(notes) == (1 if line else 0)


def test_a_full_disk_leaves_the_history_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno
    import os

    path = tmp_path / "h.jsonl"
    history.append(path, [_entry(OLD, 1, 10)])
    before = path.read_bytes()
    write = os.write

    def full(handle: int, data: bytes) -> int:
        if len(data) <= 100:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(handle, data[:-100])

    monkeypatch.setattr(history.os, "write", full)
    with pytest.raises(OutputError, match="disk is full"):
        history.append(path, [_entry(NEW, 2, 10)])
    assert path.read_bytes() == before


WRITER = """
import sys
from pathlib import Path
from dvfl_mobile.profiling.history import Entry, append
entry = Entry.model_validate_json(sys.argv[2])
for _ in range(25):
    append(Path(sys.argv[1]), [entry, entry])
"""


def test_runs_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "h.jsonl"
    written = [_entry(sha256, 1, 10).model_dump_json() for sha256 in (OLD, NEW)]
    writers = [subprocess.Popen([sys.executable, "-P", "-c", WRITER, str(path), entry]) for entry in written]
    assert [writer.wait(120) for writer in writers] == [0, 0]
    entries, notes = history.read(path)
    assert sorted(entry.sha256 for entry in entries) == [OLD] * 50 + [NEW] * 50
    assert notes == ()


def test_a_run_waits_for_another_that_writes(tmp_path: Path) -> None:
    path = tmp_path / "h.jsonl"
    with path.open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        writer = threading.Thread(target=history.append, args=(path, [_entry(OLD, 1, 10)]))
        writer.start()
        writer.join(0.3)
        assert writer.is_alive()
        assert path.stat().st_size == 0
    writer.join(30)
    assert len(history.read(path)[0]) == 1


def test_a_history_that_isnt_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no history"):
        history.history_of(tmp_path / "none.jsonl")


def test_it_lies_beside_all_artifacts() -> None:
    assert history.default_path(Path("/x/out/nano/tflite/fp32")) == Path("/x/out/profile-history.jsonl")


def test_the_table_marks_what_became_slower(tmp_path: Path) -> None:
    from rich.console import Console

    found = _history(tmp_path / "h.jsonl", _entry(OLD, 1, 10), _entry(NEW, 2, 11))
    console = Console(width=120, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    console.print(profile_history.terminal(found))
    text = console.export_text()
    assert "nano/tflite/fp32 on android:A (Fake), threads 4  REGRESSION" in text
    assert "slower" in text
    assert "profile A against B" in text
