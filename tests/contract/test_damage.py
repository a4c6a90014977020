"""Real artifacts with a fault that their manifests know nothing of: the runtime, or what it finds, refuses them."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dvfl_mobile.artifacts.make import open_artifact
from dvfl_mobile.errors import ArtifactError
from dvfl_mobile.model.default import seeded_student
from dvfl_mobile.model.student import save_student
from dvfl_mobile.pipeline.check import check
from dvfl_mobile.runners.base import open_runner
from tests.checkpoints import TINY
from tests.conversions import Make, skip_without

RUN_HERE = pytest.mark.parametrize("target", ["executorch", "tflite", "coreai"])


@RUN_HERE
@pytest.mark.parametrize("share", [0.001, 0.5, 0.999])
@pytest.mark.parametrize("fits", [False, True], ids=["another-hash", "its-hash"])
def test_a_cut_model_is_refused(made: Make, tmp_path: Path, target: str, share: float, fits: bool) -> None:
    folder = _copy(made, target, tmp_path)
    listed = open_artifact(folder).manifest.files
    largest = max(listed, key=lambda entry: entry.size_bytes)
    file = folder / largest.path
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * share)])
    if fits:
        data = file.read_bytes()
        cut = {"path": largest.path, "size_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        entries = [cut if entry is largest else entry.model_dump() for entry in listed]
        _edit(folder, lambda document: document.update(files=entries))
        file = folder / open_artifact(folder).manifest.file
    with pytest.raises(ArtifactError, match="can't load" if fits else "its bytes changed") as caught:
        open_runner(folder, open_artifact(folder).manifest)
    assert str(file) in caught.value.problem
    assert caught.value.hint


@RUN_HERE
@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda document: document["clip"].update(size=32), "(8, 3, 32, 32)"),
        (lambda document: document["clip"].update(frames=16), "(16, 3, 64, 64)"),
        (lambda document: document.update(classes=["one", "two"]), "(1, 2)"),
    ],
    ids=["size", "frames", "classes"],
)
def test_a_manifest_of_another_model_is_refused(
    made: Make, tmp_path: Path, target: str, change: Callable[[dict[str, Any]], object], problem: str
) -> None:
    folder = _copy(made, target, tmp_path)
    _edit(folder, change)
    with pytest.raises(ArtifactError) as caught:
        open_runner(folder, open_artifact(folder).manifest)
    assert "takes (8, 3, 64, 64) and gives (1, 5); its manifest says" in caught.value.problem
    assert problem in caught.value.problem


@RUN_HERE
def test_other_weights_fail(made: Make, tmp_path: Path, target: str) -> None:
    other = tmp_path / "other.safetensors"
    save_student(seeded_student(made(target, "fp32").student.architecture, seed=1), other)
    report = check(open_artifact(_copy(made, target, tmp_path)), reference=other)
    assert report.verdict.exit_code == 5
    assert any("SQNR" in reason for reason in report.reasons)


@pytest.mark.parametrize("target", ["coreml", "tflite", "coreai"])
def test_a_disk_that_fills_while_the_model_is_written(tmp_path: Path, target: str) -> None:
    skip_without(target)
    checkpoint, disk = tmp_path / "tiny.safetensors", tmp_path / "disk"
    save_student(seeded_student(TINY), checkpoint)
    disk.mkdir()
    # Room for the reference, and not for the model beside it.
    size = f"size={checkpoint.stat().st_size * 3 // 2}"
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", size, "small", str(disk)], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"not allowed to mount a small disk: {done.stderr.decode().strip()}")
    try:
        # In a process of its own: a library may take the whole process with it.
        code = "from dvfl_mobile.cli.main import main; main()"
        command = [sys.executable, "-c", code, "convert", str(checkpoint), "--target", target, "-o", str(disk)]
        ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        assert ended.returncode == 3, ended.stderr
        assert f"Can't write {disk}" in ended.stderr
        assert "the disk is full" in ended.stderr
        assert [path.name for path in disk.rglob("*") if path.is_file() and path.suffix != ".lock"] == [
            path.name for path in disk.rglob("reference-*")
        ]
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def _copy(made: Make, target: str, tmp_path: Path) -> Path:
    """A copy of the shared artifact, with the model's folder around it."""
    folder = made(target, "fp32").artifact.folder
    return Path(shutil.copytree(folder, tmp_path / "copy" / target / "fp32"))


def _edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / "manifest.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
