"""Whose a folder on a device is: a claim lasts as long as its process, and no longer."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dvfl_mobile.devices.android.claims import MOST_AGE_S, Claim, Found, host_id, is_abandoned, is_name
from dvfl_mobile.errors import OutputError
from dvfl_mobile.files import CACHE_VARIABLE

_CLAIMING = """
from dvfl_mobile.devices.android.claims import Claim
claim = Claim()
print(claim.name, flush=True)
input()
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of this test's own."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    return tmp_path / "devices"


def _found(name: str, age_s: int = 0) -> Found:
    return Found(name, age_s, host_id())


def test_a_claim_lasts_until_it_is_released(cache: Path) -> None:
    claim = Claim()
    assert is_name(claim.name)
    assert claim.host == host_id()
    # However old: its owner lives.
    assert not is_abandoned(_found(claim.name, 10 * MOST_AGE_S))
    claim.release()
    claim.release()
    assert is_abandoned(_found(claim.name))
    assert [path.name for path in cache.iterdir()] == ["host"]


def test_a_claim_ends_with_its_process_even_a_killed_one(cache: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", _CLAIMING], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    name = process.stdout.readline().strip()
    assert not is_abandoned(_found(name))
    process.kill()
    process.communicate()
    assert (cache / f"{name}.lock").exists()
    assert is_abandoned(_found(name))
    assert not (cache / f"{name}.lock").exists()


@pytest.mark.parametrize(("age_s", "abandoned"), [(0, False), (MOST_AGE_S, False), (MOST_AGE_S + 1, True)])
@pytest.mark.parametrize("host", ["0" * 32, "", "nonsense"])
def test_what_another_host_claims_is_its_own_for_a_day(host: str, age_s: int, abandoned: bool) -> None:
    assert is_abandoned(Found("dvfl-mobile-0123456789abcdef", age_s, host)) is abandoned


@pytest.mark.parametrize("text", ["", "dvfl-mobile-", "dvfl-mobile-x", "dvfl-mobile-0123456789abcdef0", "../etc"])
def test_other_names_are_none_of_ours(text: str) -> None:
    assert not is_name(text)


def test_a_host_has_one_name_even_when_many_ask_at_once() -> None:
    with ThreadPoolExecutor(16) as threads:
        assert len(set(threads.map(lambda _: host_id(), range(64)))) == 1


def test_a_damaged_name_is_named(cache: Path) -> None:
    host_id()
    (cache / "host").write_bytes(b"\xff\x00")
    with pytest.raises(OutputError, match="isn't what dvfl-mobile wrote there"):
        host_id()


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "file"))
    with pytest.raises(OutputError, match="Can't write"):
        Claim()
