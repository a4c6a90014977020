"""Artifacts that are damaged, foreign or made to mislead: each is refused for what it is, with a next step."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from dvfl_mobile.artifacts import manifest
from dvfl_mobile.artifacts.make import open_artifact
from dvfl_mobile.errors import ArtifactError, DvflMobileError, UsageError
from dvfl_mobile.model.default import seeded_student
from dvfl_mobile.model.student import save_student
from dvfl_mobile.pipeline.check import check
from dvfl_mobile.pipeline.convert import convert
from dvfl_mobile.pipeline.plan import make_plan
from dvfl_mobile.runners.base import open_runner
from tests.checkpoints import TINY
from tests.conversions import skip_without
from tests.faults import quick

# What a file is refused for is no question of how the child that reads it was started.
pytestmark = pytest.mark.usefixtures("warm_children")

ALL_TARGETS = ("executorch", "coreml", "tflite")
RUN_HERE = ("executorch", "tflite")


@pytest.fixture(scope="module")
def quick_artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output folder with a quick artifact of each target; nobody changes it."""
    for target in ALL_TARGETS:
        skip_without(target)
    folder = tmp_path_factory.mktemp("quick") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dvfl_mobile.artifacts.make.lower", quick.lower)
        convert(seeded_student(TINY), make_plan(ALL_TARGETS, "fp32", folder))
    return folder


@pytest.fixture
def out(quick_artifacts: Path, tmp_path: Path) -> Path:
    """A test's own copy of them: the folder of the model."""
    shutil.copytree(quick_artifacts, tmp_path / "out")
    return tmp_path / "out" / TINY.name


def refusal(folder: Path, of: Callable[[Path], object] | None = None) -> ArtifactError:
    """What a folder is refused with, by `of` or by reading and opening it; it names the place and a next step."""
    with pytest.raises(ArtifactError) as caught:
        (of or _open)(folder)
    error = caught.value
    assert str(folder) in error.problem
    assert error.hint
    assert error.exit_code == 3
    return error


def _open(folder: Path) -> None:
    opened = open_artifact(folder)
    manifest.verify(opened.manifest, folder)
    open_runner(folder, opened.manifest)


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change an artifact's manifest."""
    path = folder / "manifest.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def relist(folder: Path, *names: str) -> None:
    """Make the manifest fit the bytes of these files, as an attacker would."""

    def change(document: dict[str, Any]) -> None:
        document["files"] = [
            {
                "path": name,
                "size_bytes": (folder / name).stat().st_size,
                "sha256": hashlib.sha256((folder / name).read_bytes()).hexdigest(),
            }
            for name in names
        ]

    edit(folder, change)


# The manifest


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "none").problem


def test_a_file_in_place_of_a_folder(out: Path) -> None:
    path = out / "tflite" / "fp32" / "model.tflite"
    assert "is a file; an artifact is a folder" in refusal(path).problem


def test_a_folder_above_artifacts_lists_them(out: Path) -> None:
    error = refusal(out)
    assert "holds no manifest.json" in error.problem
    for target in ALL_TARGETS:
        assert str(out / target / "fp32") in error.hint


def test_a_folder_without_a_manifest(out: Path) -> None:
    folder = out / "tflite" / "fp32"
    (folder / "manifest.json").unlink()
    error = refusal(folder)
    assert "holds no manifest.json" in error.problem
    assert "out/nano/tflite/fp32" in error.hint


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"", "it isn't JSON"),
        (b"{", "it isn't JSON"),
        (b"\xff\xfe\x00", "it isn't JSON"),
        (b"[" * 10_000_000, "it isn't JSON"),
        (b'{"a":' * 2_000_000, "it isn't JSON"),
        (b"[]", "the document"),
        (b"{}", "Field required"),
        (b'{"schema_version": 2}', "schema_version 2; this dvfl-mobile reads 1"),
        (b'{"schema_version": "1"}', "schema_version"),
        (b'{"schema_version": 1e999}', "schema_version"),
    ],
    ids=["empty", "cut", "binary", "brackets", "braces", "list", "nothing", "newer", "text", "infinite"],
)
def test_a_manifest_that_cannot_be_understood(out: Path, text: bytes, problem: str) -> None:
    folder = out / "tflite" / "fp32"
    (folder / "manifest.json").write_bytes(text)
    assert problem in refusal(folder).problem


def test_a_newer_manifest_says_to_update(out: Path) -> None:
    folder = out / "tflite" / "fp32"
    edit(folder, lambda document: document.update(schema_version=2, news=1))
    assert "update" in refusal(folder).hint


def test_a_manifest_larger_than_any(out: Path) -> None:
    path = out / "tflite" / "fp32" / "manifest.json"
    with path.open("ab") as file:
        file.truncate(2**27)
    assert "larger than any manifest" in refusal(path.parent).problem


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document.pop("classes"),
        lambda document: document.update(surplus=1),
        lambda document: document["files"][0].update(sha256="no hash"),
        lambda document: document["files"][0].update(size_bytes=-1),
        lambda document: document["clip"].update(frames=0),
        lambda document: document["files"][0].update(path="x" * 256),
        lambda document: document.update(file="x" * 256),
    ],
    ids=["missing", "surplus", "hash", "size", "clip", "path", "file"],
)
def test_a_manifest_that_says_what_cannot_be(out: Path, change: Callable[[dict[str, Any]], object]) -> None:
    folder = out / "tflite" / "fp32"
    edit(folder, change)
    assert "can't be understood" in refusal(folder).problem


def test_a_target_that_nobody_knows(out: Path) -> None:
    folder = out / "tflite" / "fp32"
    edit(folder, lambda document: document.update(target="abacus"))
    assert "'abacus'" in refusal(folder).problem


# The files


@pytest.mark.parametrize("target", ALL_TARGETS)
@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "its bytes changed"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1] + b"\x01"), "its bytes changed"),
        (lambda path: path.write_bytes(b""), "its bytes changed"),
        (Path.unlink, "is missing"),
    ],
    ids=["cut", "changed", "emptied", "gone"],
)
def test_a_file_that_is_not_the_one(out: Path, target: str, damage: Callable[[Path], object], problem: str) -> None:
    folder = out / target / "fp32"
    file = next(path for path in folder.rglob("*") if path.is_file() and path.name != "manifest.json")
    damage(file)
    error = refusal(folder)
    assert problem in error.problem
    assert str(file) in error.problem
    # What can't be run here isn't passed over either.
    assert problem in refusal(folder, lambda place: check(open_artifact(place))).problem


@pytest.mark.parametrize("path", ["../../../secret", "/etc/hostname", "a/../../x", "with\0zero"])
@pytest.mark.parametrize("where", ["files", "file"])
def test_a_file_outside_the_folder_is_not_touched(out: Path, path: str, where: str) -> None:
    folder = out / "tflite" / "fp32"
    (out.parent / "secret").write_text("secret")

    def change(document: dict[str, Any]) -> None:
        if where == "files":
            document["files"][0]["path"] = path
        else:
            document["file"] = path

    edit(folder, change)
    assert "names a file outside its folder" in refusal(folder).problem


def test_a_link_out_of_the_folder_is_not_followed(out: Path, tmp_path: Path) -> None:
    folder = out / "tflite" / "fp32"
    elsewhere = tmp_path / "elsewhere"
    shutil.move(folder / "model.tflite", elsewhere)
    (folder / "model.tflite").symlink_to(elsewhere)
    assert "model.tflite is a link" in refusal(folder).problem


@pytest.mark.parametrize("target", ALL_TARGETS)
def test_not_even_a_link_inside_the_folder_is_followed(out: Path, target: str) -> None:
    folder = out / target / "fp32"
    file = next(path for path in folder.rglob("*") if path.is_file() and path.name != "manifest.json")
    file.rename(folder / "moved")
    file.symlink_to(folder / "moved")
    assert f"{file.name} is a link" in refusal(folder).problem


def test_a_link_in_place_of_the_manifest(out: Path) -> None:
    path = out / "tflite" / "fp32" / "manifest.json"
    path.rename(path.parent / "elsewhere")
    path.symlink_to("elsewhere")
    assert "manifest.json is a link" in refusal(path.parent).problem


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.symlink_to("/etc/passwd"),
        lambda path: path.symlink_to("/etc", target_is_directory=True),
        os.mkfifo,
    ],
    ids=["link", "link to a folder", "pipe"],
)
@pytest.mark.parametrize("where", [".", "weights"])
def test_what_is_no_file_in_a_package(out: Path, make: Callable[[Path], object], where: str) -> None:
    package = out / "coreml" / "fp32" / "model.mlpackage"
    (package / where).mkdir(exist_ok=True)
    make(package / where / "strange")
    assert "strange is no plain file" in refusal(package.parent).problem


def test_a_pipe_in_place_of_the_model(out: Path) -> None:
    path = out / "tflite" / "fp32" / "model.tflite"
    path.unlink()
    os.mkfifo(path)
    assert "model.tflite is no plain file" in refusal(path.parent).problem


@pytest.mark.parametrize("path", ["a/../model.tflite", "a\\b", "", ".", "\ud83d" * 200, "\x80" * 255])
def test_a_path_that_is_none(out: Path, path: str) -> None:
    folder = out / "tflite" / "fp32"
    edit(folder, lambda document: document["files"][0].update(path=path))
    refusal(folder)


def test_a_file_that_is_listed_twice(out: Path) -> None:
    folder = out / "tflite" / "fp32"
    edit(folder, lambda document: document["files"].append({**document["files"][0], "path": "./model.tflite"}))
    assert "lists a file twice" in refusal(folder).problem


def test_more_files_than_any_artifact_has(out: Path) -> None:
    folder = out / "tflite" / "fp32"
    edit(folder, lambda document: document.update(files=document["files"] * 1001))
    assert "can't be understood: files" in refusal(folder).problem


@pytest.mark.parametrize(
    ("name", "size_bytes"), [("part", 2**32 + 1), ("model.mlmodel", 2**26 + 1), ("Manifest.json", 2**20 + 1)]
)
def test_a_part_larger_than_any(out: Path, name: str, size_bytes: int) -> None:
    folder = out / "coreml" / "fp32"
    part = folder / "model.mlpackage" / name
    with part.open("wb") as file:
        file.truncate(size_bytes)
    entry = {"path": f"model.mlpackage/{name}", "size_bytes": size_bytes, "sha256": "0" * 64}
    edit(folder, lambda document: document.update(files=[*document["files"], entry] if name != "part" else [entry]))
    assert f"{name} is larger than any such file" in refusal(folder).problem


def test_clips_larger_than_any(out: Path) -> None:
    folder = out / "tflite" / "fp32"
    edit(folder, lambda document: document["clip"].update(frames=1024, size=4096))
    assert "tells of clips of (1024, 3, 4096, 4096); none is as large" in refusal(folder).problem


@pytest.mark.parametrize(
    ("contents", "problem"),
    [
        (b"", "can't be understood"),
        (b"[" * 100_000, "can't be understood"),
        (b"[]", "can't be understood"),
        (b'{"itemInfoEntries": {"a": {}}}', "can't be understood"),
        (b'{"itemInfoEntries": {"a": {"path": "/etc/passwd"}}}', "names a file outside its folder: '/etc/passwd'"),
        (b'{"itemInfoEntries": {"a": {"path": "x/../../../y"}}}', "names a file outside its folder"),
        (b'{"itemInfoEntries": {"a": {"path": "gone.mlmodel"}}}', "names 'gone.mlmodel', which isn't there"),
        (b'{"itemInfoEntries": {"a": {"path": ["x"]}}}', "which isn't there"),
    ],
)
def test_a_package_that_names_what_it_does_not_hold(out: Path, contents: bytes, problem: str) -> None:
    folder = out / "coreml" / "fp32"
    (folder / "model.mlpackage" / "Manifest.json").write_bytes(contents)
    relist(folder, "model.mlpackage/part", "model.mlpackage/Manifest.json")
    assert problem in refusal(folder).problem


def test_a_package_that_names_what_it_holds(out: Path) -> None:
    folder = out / "coreml" / "fp32"
    part = folder / "model.mlpackage" / "Data" / "weights" / "part"
    part.parent.mkdir(parents=True)
    part.touch()
    contents = {"itemInfoEntries": {"a": {"path": "weights/part"}, "b": {"path": "weights"}}}
    (folder / "model.mlpackage" / "Manifest.json").write_text(json.dumps(contents))
    names = ("model.mlpackage/part", "model.mlpackage/Manifest.json", "model.mlpackage/Data/weights/part")
    relist(folder, *names)
    manifest.verify(open_artifact(folder).manifest, folder)


def test_links_in_a_circle(out: Path) -> None:
    folder = out / "tflite" / "fp32"
    (folder / "model.tflite").unlink()
    (folder / "model.tflite").symlink_to("model.tflite")
    refusal(folder)


@pytest.mark.parametrize("target", ALL_TARGETS)
def test_a_model_that_the_manifest_does_not_list(out: Path, target: str) -> None:
    folder = out / target / "fp32"
    edit(folder, lambda document: document.update(files=[]))
    assert "isn't listed" in refusal(folder).problem


def test_a_file_slipped_into_a_package(out: Path) -> None:
    folder = out / "coreml" / "fp32"
    (folder / "model.mlpackage" / "slipped-in").touch()
    error = refusal(folder)
    assert "slipped-in isn't listed" in error.problem


@pytest.mark.parametrize("target", RUN_HERE)
@pytest.mark.parametrize("data", [b"", b"no model at all", bytes(1000)], ids=["empty", "text", "zeros"])
def test_what_the_runtime_cannot_load(out: Path, target: str, data: bytes) -> None:
    folder = out / target / "fp32"
    file = next(folder.glob("model.*"))
    file.write_bytes(data)
    relist(folder, file.name)
    assert "can't load" in refusal(folder).problem


# The reference


@pytest.fixture
def checked(out: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., object]:
    """Hold the quick TFLite artifact against a reference."""
    monkeypatch.setattr("dvfl_mobile.pipeline.compare.open_runner", quick.open_runner)
    return lambda **options: check(open_artifact(out / "tflite" / "fp32"), **options)


def reference_in(out: Path) -> Path:
    [path] = out.glob("reference-*.safetensors")
    return path


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (Path.unlink, "is missing"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "its bytes changed"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1] + b"\x01"), "its bytes changed"),
    ],
    ids=["gone", "cut", "changed"],
)
def test_a_reference_that_is_not_the_one(
    out: Path, checked: Callable[..., object], damage: Callable[[Path], object], problem: str
) -> None:
    damage(reference_in(out))
    error = refusal(out / "tflite" / "fp32", lambda _: checked())
    assert problem in error.problem
    assert "/reference-" in error.problem
    assert "`reference=`" in error.hint


@pytest.mark.parametrize("path", ["/etc/passwd", "../../../secret", "secret", "../../a/../../secret", "../.."])
def test_a_reference_anywhere_else_is_not_touched(out: Path, checked: Callable[..., object], path: str) -> None:
    folder = out / "tflite" / "fp32"
    edit(folder, lambda document: document["reference"].update(path=path))
    error = refusal(folder, lambda _: checked())
    assert "names a reference outside" in error.problem or "names a file outside" in error.problem
    assert "`reference=`" in error.hint or "whole folder" in error.hint


def test_a_link_in_place_of_the_reference(out: Path, checked: Callable[..., object], tmp_path: Path) -> None:
    path = reference_in(out)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert "is a link" in refusal(out / "tflite" / "fp32", lambda _: checked()).problem


def test_a_reference_that_is_named_takes_the_stored_one_s_place(checked: Callable[..., Any], tmp_path: Path) -> None:
    other = tmp_path / "other.safetensors"
    save_student(seeded_student(TINY, seed=1), other)
    assert checked().verdict.exit_code == 0
    assert checked(reference=other).verdict.exit_code == 5, "other weights, other logits"


@pytest.mark.parametrize(
    ("change", "shown"),
    [({"num_classes": 6}, "6 classes"), ({"img_size": 32}, "(8, 3, 32, 32)"), ({"num_frames": 4}, "(4, 3, 64, 64)")],
    ids=["classes", "size", "frames"],
)
def test_a_reference_of_another_shape(
    checked: Callable[..., object], tmp_path: Path, change: dict[str, int], shown: str
) -> None:
    other = tmp_path / "other.safetensors"
    save_student(seeded_student(TINY.model_copy(update=change)), other)
    with pytest.raises(UsageError) as caught:
        checked(reference=other)
    assert "other.safetensors" in caught.value.problem or "seeded weights" in caught.value.problem
    assert shown in caught.value.problem
    assert "converted from" in caught.value.hint


def test_a_reference_that_says_nothing_of_its_clips_has_the_artifacts(
    checked: Callable[..., Any], tmp_path: Path
) -> None:
    bare = tmp_path / "bare.pth"
    torch.save(seeded_student(TINY).network.state_dict(), bare)
    assert checked(reference=bare).verdict.exit_code == 0


def test_a_reference_that_is_not_there(checked: Callable[..., object], tmp_path: Path) -> None:
    with pytest.raises(DvflMobileError, match="There is no checkpoint") as caught:
        checked(reference=tmp_path / "none.pth")
    assert caught.value.exit_code == 3


# What other runs left


def test_weights_that_differ_keep_their_own_reference(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = reference_in(out)
    monkeypatch.setattr("dvfl_mobile.artifacts.make.lower", quick.lower)
    convert(seeded_student(TINY, seed=1), make_plan(["tflite"], "fp32", out.parent))
    assert before.exists(), "the other targets' artifacts need it"
    assert len(list(out.glob("reference-*"))) == 2


def test_an_artifact_made_again_loses_its_old_report(
    out: Path, checked: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    checked()
    assert (out / "tflite" / "fp32" / "parity.json").exists()
    monkeypatch.setattr("dvfl_mobile.artifacts.make.lower", quick.lower)
    convert(seeded_student(TINY, seed=1), make_plan(["tflite"], "fp32", out.parent))
    assert not (out / "tflite" / "fp32" / "parity.json").exists()


def test_a_converter_that_fails_leaves_the_old_artifact(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = out / "tflite" / "fp32"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def failing(_target: Any, _request: Any, path: Path) -> None:
        path.write_bytes(b"half")
        raise RuntimeError("the library failed")

    monkeypatch.setattr("dvfl_mobile.artifacts.make.lower", failing)
    with pytest.raises(RuntimeError, match="the library failed"):
        convert(seeded_student(TINY, seed=1), make_plan(["tflite"], "fp32", out.parent))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in folder.parent.iterdir() if path.name.endswith(".partial")] == []
