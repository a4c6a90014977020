"""What a child is held to: from the size of the files, or from the environment."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from dvfl_mobile.errors import UsageError
from dvfl_mobile.runners.child.limits import DEADLINE_VARIABLE, MEMORY_VARIABLE, MIB, limits_for

pytestmark = pytest.mark.installed


def test_limits_grow_with_the_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    small, large = limits_for(0), limits_for(100 * MIB)
    assert (small.deadline_s, large.deadline_s) == (120, 220)
    assert (small.memory_bytes, large.memory_bytes) == ((2048 + 4 * 128) * MIB, (2048 + 4 * 128 + 800) * MIB)
    assert (small.written_bytes, large.written_bytes) == (64 * MIB, 264 * MIB)


def test_an_emulator_gets_more_seconds_and_no_more_memory() -> None:
    usual, emulated = limits_for(MIB), limits_for(MIB, slowness=20)
    assert emulated.deadline_s == 20 * usual.deadline_s
    assert (emulated.memory_bytes, emulated.written_bytes) == (usual.memory_bytes, usual.written_bytes)


def test_the_environment_has_its_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DEADLINE_VARIABLE, "2.5")
    monkeypatch.setenv(MEMORY_VARIABLE, "100")
    assert (limits_for(MIB).deadline_s, limits_for(MIB).memory_bytes) == (2.5, 100 * MIB)
    monkeypatch.setenv(DEADLINE_VARIABLE, "")
    assert limits_for(MIB).deadline_s == 121
    monkeypatch.setenv(DEADLINE_VARIABLE, "3")
    assert limits_for(MIB, slowness=20).deadline_s == 3


@pytest.mark.parametrize("variable", [DEADLINE_VARIABLE, MEMORY_VARIABLE])
@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "1e999", "soon", "1,5"])
def test_what_is_no_number_is_refused(monkeypatch: pytest.MonkeyPatch, variable: str, text: str) -> None:
    monkeypatch.setenv(variable, text)
    with pytest.raises(UsageError, match=variable) as caught:
        limits_for(MIB)
    assert text in caught.value.problem


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux holds a process to a limit of memory")
def test_a_process_is_held_to_its_limits() -> None:
    code = """
import resource
from dvfl_mobile.runners.child import limits
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 6000))
limits.limit_files(7000)
assert resource.getrlimit(resource.RLIMIT_FSIZE) == (5000, 6000), "a limit that stands already is not raised"
limits.limit_files(4000)
assert resource.getrlimit(resource.RLIMIT_FSIZE) == (4000, 4000)
assert resource.getrlimit(resource.RLIMIT_CORE) == (0, 0)
for seconds in (100, 50):
    limits.limit_cpu(seconds)
    soft, hard = resource.getrlimit(resource.RLIMIT_CPU)
    assert seconds <= soft <= seconds * 1000 and hard != soft, "it is raised and lowered again, run by run"
limits.limit_memory(50 * 2**20)
bytes(10 * 2**20)
try:
    bytes(60 * 2**20)
except MemoryError:
    print("held")
"""
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "held\n", done.stderr
