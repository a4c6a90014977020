"""Packs and results come from outside: whatever is in them, reading ends with a sentence and runs nothing."""

from __future__ import annotations

import io
import json
import stat
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dvfl_mobile.errors import InputError
from dvfl_mobile.pack import archive, results
from dvfl_mobile.pack.judging import judge
from dvfl_mobile.parity.thresholds import thresholds_for
from tests.packs import App

Files = dict[str, bytes]


@pytest.fixture
def files(small_pack: SimpleNamespace) -> Files:
    with zipfile.ZipFile(small_pack.path) as zipped:
        return {name: zipped.read(name) for name in zipped.namelist()}


def written(path: Path, files: Files) -> Path:
    path.write_bytes(archive.pack_bytes(files))
    return path


def refused(path: Path) -> str:
    with pytest.raises(InputError) as error:
        archive.read(path)
    assert error.value.hint
    return error.value.problem


def renamed(path: Path, files: Files, change: Callable[[zipfile.ZipInfo], None]) -> Path:
    """A zip whose README is another kind of member."""
    with zipfile.ZipFile(path, "w") as zipped:
        for name, data in files.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = (stat.S_IFREG | 0o644) << 16
            if name == "README.md":
                change(info)
            zipped.writestr(info, data)
    return path


def test_a_whole_pack_is_read(files: Files, tmp_path: Path) -> None:
    opened = archive.read(written(tmp_path / "p.zip", files))
    assert set(opened.files) == set(files) - {"pack.json"}


@pytest.mark.parametrize("name", ["../out.txt", "/etc/out.txt", "a/../../out.txt", "..\\out.txt", "C:out.txt"])
def test_paths_that_lead_out_are_refused(name: str, files: Files, tmp_path: Path) -> None:
    path = renamed(tmp_path / "p.zip", files, lambda info: setattr(info, "filename", name))
    assert "leads out of it" in refused(path)


def test_links_and_folders_are_refused(files: Files, tmp_path: Path) -> None:
    def link(info: zipfile.ZipInfo) -> None:
        info.external_attr = (stat.S_IFLNK | 0o777) << 16

    assert "no plain file" in refused(renamed(tmp_path / "p.zip", files, link))
    folder = renamed(tmp_path / "f.zip", files | {"README.md": b""}, lambda info: setattr(info, "filename", "x/"))
    assert "no plain file" in refused(folder)


def test_a_name_that_is_there_twice_is_refused(files: Files, tmp_path: Path) -> None:
    path = written(tmp_path / "p.zip", files)
    with zipfile.ZipFile(path, "a") as zipped, pytest.warns(UserWarning, match="Duplicate"):
        zipped.writestr("README.md", b"another")
    assert "twice" in refused(path)


def test_bombs_are_refused_by_what_they_announce_and_by_what_they_hold(files: Files, tmp_path: Path) -> None:
    path = written(tmp_path / "p.zip", files | {"bomb": bytes(65 * 2**20)})
    assert "more than a pack does" in refused(path)
    data = bytearray(path.read_bytes())
    entry = data.rindex(b"bomb") - 46
    assert data[entry : entry + 4] == b"PK\x01\x02"
    data[entry + 24 : entry + 28] = (100).to_bytes(4, "little")
    path.write_bytes(data)
    refused(path)


def test_many_members_and_large_files_are_refused(files: Files, tmp_path: Path) -> None:
    assert "more than a pack" in refused(written(tmp_path / "p.zip", files | {f"{n}": b"" for n in range(300)}))
    (tmp_path / "large.zip").write_bytes(bytes(9 * 2**20))
    assert "larger than any pack" in refused(tmp_path / "large.zip")


def test_changed_missing_and_unlisted_members_are_refused(files: Files, tmp_path: Path) -> None:
    assert "its bytes changed" in refused(written(tmp_path / "a.zip", files | {"README.md": b"x"}))
    assert "is missing from" in refused(
        written(tmp_path / "b.zip", {k: v for k, v in files.items() if k != "README.md"})
    )
    assert "isn't listed" in refused(written(tmp_path / "c.zip", files | {"more": b"x"}))
    assert "holds no pack.json" in refused(written(tmp_path / "d.zip", {"README.md": b"x"}))


@pytest.mark.parametrize(
    "change",
    [
        {"schema_version": 2},
        {"stride": 1},
        {"videos": []},
        {"grid": 8},
        {"unknown": 1},
        {"artifact": None},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_pack_json_that_contradicts_itself_is_refused(change: dict[str, Any], files: Files, tmp_path: Path) -> None:
    document = json.loads(files["pack.json"]) | change
    assert "p.zip" in refused(written(tmp_path / "p.zip", files | {"pack.json": json.dumps(document).encode()}))


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"[" * 100_000, bytes(1000)])
def test_what_is_no_zip_is_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "p.zip").write_bytes(data)
    assert "can't be read as a zip" in refused(tmp_path / "p.zip")
    assert "does not exist" in refused(tmp_path / "none.zip")
    assert "is no file" in refused(tmp_path)


def test_a_zip_cut_off_or_flipped_anywhere_is_refused(files: Files, tmp_path: Path) -> None:
    whole = archive.pack_bytes(files)
    for at in range(1, len(whole), len(whole) // 40):
        (tmp_path / "p.zip").write_bytes(whole[:at])
        refused(tmp_path / "p.zip")
        flipped = bytearray(whole)
        flipped[at] ^= 0xFF
        (tmp_path / "p.zip").write_bytes(flipped)
        with suppress(InputError):  # some bytes nobody reads, such as a time's
            archive.read(tmp_path / "p.zip")


@pytest.fixture
def document(small_pack: SimpleNamespace, tmp_path: Path) -> dict[str, Any]:
    return App(small_pack.opened, None, tensor=None).results(tmp_path)


def refused_results(path: Path, text: str | bytes) -> str:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(InputError) as error:
        results.read(path)
    assert error.value.hint
    assert len(error.value.problem) < 600
    return error.value.problem


def test_results_that_are_no_json_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    for text in ("", "nope", "[" * 100_000, '{"schema_version": NaN}', "9" * 5000, b"\xff\xfe", "null", "[]"):
        assert "can't be understood" in refused_results(path, text)
    assert "larger than any results" in refused_results(path, bytes(17 * 2**20))


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("schema_version",), 2),
        (("schema_version",), "1"),
        (("more",), 1),
        (("pack_sha256",), "x"),
        (("app",), "x" * 300),
        (("videos", 0, "name"), "../../etc/passwd"),
        (("videos", 0, "indices"), [10**30]),
        (("videos", 0, "indices"), list(range(5000))),
        (("videos", 0, "frame_count"), -1),
        (("videos", 0, "frames", 0, "thumbnail"), "zz"),
        (("videos", 0, "frames", 0, "width"), 10**12),
        (("videos", 0, "pixels", "samples"), "a" * 400_000),
        (("videos", 0, "logits"), "123"),
    ],
    ids=lambda value: ".".join(map(str, value)) if isinstance(value, tuple) else None,
)
def test_results_out_of_bounds_are_refused(
    place: tuple[Any, ...], value: Any, document: dict[str, Any], tmp_path: Path
) -> None:
    inside: Any = document
    for step in place[:-1]:
        inside = inside[step]
    inside[place[-1]] = value
    assert "r.json" in refused_results(tmp_path / "r.json", json.dumps(document))


def test_a_video_that_is_there_twice_is_refused(document: dict[str, Any], tmp_path: Path) -> None:
    document["videos"].append(document["videos"][0])
    assert "is there twice" in refused_results(tmp_path / "r.json", json.dumps(document))


def test_results_of_another_pack_or_of_strange_videos_are_refused(
    small_pack: SimpleNamespace, document: dict[str, Any], tmp_path: Path
) -> None:
    def check(changed: dict[str, Any]) -> None:
        found = results.Results.model_validate(changed)
        results.check_belongs(
            found, tmp_path / "r.json", small_pack.opened.contents, small_pack.opened.sha256, small_pack.path
        )

    check(document)
    with pytest.raises(InputError, match="is of another pack"):
        check(document | {"pack_sha256": "0" * 64})
    with pytest.raises(InputError, match="names strange, which isn't in"):
        check(document | {"videos": [document["videos"][0] | {"name": "strange"}]})


@pytest.mark.parametrize(
    "change",
    [
        {"indices": [], "frames": []},
        {"indices": [-5, 99999, 0, 0, 0, 0, 0, 0]},
        {"indices": [0]},
        {"frame_count": 0},
        {"frame_count": 2**31},
        {"frames": [{"width": 0, "height": 0, "sha256": "0" * 64, "thumbnail": ""}] * 8},
        {"pixels": {"count": 0, "sha256": "0" * 64, "samples": ""}},
        {"tensor": {"count": 98304, "sha256": "0" * 64, "samples": "00" * 7}},
        {"logits": ""},
    ],
    ids=lambda change: ", ".join(change),
)
def test_strange_results_are_judged_without_a_fault_of_ours(
    change: dict[str, Any], small_pack: SimpleNamespace, document: dict[str, Any]
) -> None:
    document["videos"][0] |= change
    found = results.Results.model_validate(document)
    report = judge.judge(small_pack.opened, found, Path("p"), Path("r"), thresholds_for("fp32"))
    assert report.verdict.exit_code in (5, 7)


def test_writing_a_pack_leaves_no_half_of_it(tmp_path: Path) -> None:
    archive.write(tmp_path / "folder" / "p.zip", b"data")
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["p.zip"]
    with zipfile.ZipFile(io.BytesIO(archive.pack_bytes({"b": b"1", "a": b"2"}))) as zipped:
        assert zipped.namelist() == ["a", "b"]
