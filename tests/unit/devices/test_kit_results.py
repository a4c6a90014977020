"""What a kit brings back is taken whole and unchanged, or not at all."""

from __future__ import annotations

import hashlib
import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from dvfl_mobile.devices.kit.place import RecordedPlace
from dvfl_mobile.devices.kit.record import STARTS_NAME, KitRecord, keep
from dvfl_mobile.devices.kit.results import FIRST, MEMBER, Results, open_results
from dvfl_mobile.errors import ArtifactError, DeviceError
from dvfl_mobile.files import CACHE_VARIABLE

PROGRAM = "dvfl-mobile-run-litert"
STARTS = (b"dvfl-mobile-options 1\nmode run\n", b"dvfl-mobile-options 1\nmode time\n")
DAMAGED = 500


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _record(salt: str = "") -> KitRecord:
    starts = "".join(f"{index:03d} {PROGRAM} {'1' * 64} {'2' * 64}\n" for index in range(len(STARTS)))
    listed = {STARTS_NAME: starts.encode(), "device.sh": salt.encode()}
    listed |= {f"starts/{index:03d}": options for index, options in enumerate(STARTS)}
    sums = "".join(f"{_sha256(data)}  {name}\n" for name, data in sorted(listed.items()))
    facts = {"bundles": {}, "artifacts": (), "clips": None, "most": 1, "runs": 1, "warmup": 0, "threads": None}
    return KitRecord.model_validate({"version": "0.1.0", "sums": sums, "starts": starts, **facts})


def _files(record: KitRecord) -> dict[str, bytes]:
    files = {"sums": record.sums.encode(), "when": b"2026-01-31T12:00:00Z\n", "facts": b"== machine\naarch64\n"}
    files["state"] = b"== load\n0.5\n"
    for index, options in enumerate(STARTS):
        parts = {"options": options, "lines": b"a line\nanother\n", "status": b"0\n", "state": b"", "output": b"1234"}
        files |= {f"{index:03d}.{part}": data for part, data in parts.items()}
    return files


def _written(files: dict[str, bytes]) -> bytes:
    data, index = FIRST, b""
    for name, content in files.items():
        line = f"{name} {len(content)} {_sha256(content)}\n".encode()
        index, data = index + line, data + line + content
    return data + f"end {_sha256(index)}\n".encode()


def _zip(path: Path, data: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(MEMBER, data)
    return path


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """Results of a kit that was made here."""
    record = _record()
    keep(record, _sha256(record.sums.encode()))
    return _zip(tmp_path / "kit-results.zip", _written(_files(record)))


def _content(results: Results) -> object:
    return results.when, results.facts, results.state, results.starts


def test_whole_results_are_read(whole: Path) -> None:
    results = open_results(whole)
    assert results.when == "2026-01-31T12:00:00Z"
    assert [start.options for start in results.starts] == list(STARTS)
    assert results.starts[0].lines == ("a line", "another")
    assert results.starts[0].output == b"1234"


def test_of_hundreds_of_damaged_ones_none_is_taken_for_another(whole: Path, tmp_path: Path) -> None:
    right, data, coins = _content(open_results(whole)), whole.read_bytes(), random.Random(0)
    with zipfile.ZipFile(whole) as archive:
        inner = archive.read(MEMBER)
    refused = 0
    for _ in range(DAMAGED):
        path = tmp_path / "damaged.zip"
        if coins.random() < 0.5:
            path.write_bytes(_damaged(data, coins))
        else:
            _zip(path, _damaged(inner, coins))
        try:
            assert _content(open_results(path)) == right
        except ArtifactError:
            refused += 1
    assert refused > 0.9 * DAMAGED


def _damaged(data: bytes, coins: random.Random) -> bytes:
    start = coins.randrange(len(data))
    end = min(len(data), start + coins.randint(1, 60))
    ways: list[Callable[[], bytes]] = [
        lambda: data[:start] + bytes([data[start] ^ 1 << coins.randrange(8)]) + data[start + 1 :],
        lambda: data[:start],
        lambda: data[:start] + data[end:],
        lambda: data[:end] + data[start:end] + data[end:],
        lambda: data[:start] + coins.randbytes(end - start) + data[end:],
    ]
    return coins.choice(ways)()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"000.options": STARTS[1]}, "other options than the kit's"),
        ({"when": b"yesterday"}, "when it was measured"),
        ({"000.status": b"fine"}, "no exit status"),
        ({"another": b""}, "files that no kit leaves"),
        ({"001.lines": None}, "its 001.lines is missing"),
        ({"sums": b"0"}, "from no kit that was made by this user"),
    ],
)
def test_what_a_stranger_wrote_anew_is_refused_by_name(
    change: dict[str, bytes | None], words: str, whole: Path, tmp_path: Path
) -> None:
    files = {name: data for name, data in (_files(_record()) | change).items() if data is not None}
    with pytest.raises(ArtifactError, match=words):
        open_results(_zip(tmp_path / "other.zip", _written(files)))
    assert open_results(whole)


def test_results_of_another_kit_are_foreign(whole: Path, tmp_path: Path) -> None:
    assert open_results(whole)
    with pytest.raises(ArtifactError, match="from no kit that was made by this user") as caught:
        open_results(_zip(tmp_path / "foreign.zip", _written(_files(_record("salt")))))
    assert CACHE_VARIABLE in caught.value.hint


def test_a_start_is_played_once_to_who_asks_for_the_very_same(whole: Path, tmp_path: Path) -> None:
    place, options, said = RecordedPlace(open_results(whole)), tmp_path / "run.options", list[str]()
    options.write_bytes(STARTS[1])
    place.put(options, "run.options")
    assert place.run(PROGRAM, ("run.options",), 1, said.append) == 0
    assert said == ["a line", "another"]
    assert place.get("output.bin", 4) == b"1234"
    with pytest.raises(DeviceError, match=r"holds no output\.bin"):
        place.get("output.bin", 3)
    for text in (STARTS[1], b"others"):
        options.write_bytes(text)
        place.put(options, "run.options")
        with pytest.raises(DeviceError, match="holds no such run"):
            place.run(PROGRAM, ("run.options",), 1, said.append)
