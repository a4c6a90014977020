"""The package in an ExecuTorch program that Core ML runs: found, judged, and refused where it can't be the whole."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from dvfl_mobile.errors import ArtifactError
from dvfl_mobile.mil.executor import MilExecutor
from dvfl_mobile.runners.executorch_coreml.package import extract_package, opened_package
from tests.conversions import Make

Edit = Callable[[bytearray], None]


@pytest.fixture
def program(made: Make, tmp_path: Path) -> Path:
    path = tmp_path / "model.pte"
    shutil.copy(made("executorch-coreml", "fp16").file, path)
    return path


def test_the_package_is_what_executorch_s_own_reader_takes_out(program: Path, tmp_path: Path) -> None:
    from executorch.backends.apple.coreml import executorchcoreml

    package = extract_package(program, tmp_path / "ours")
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    data = program.read_bytes()
    # Its reader is given a delegate's bytes: up to the end of the list of files, which begins, back to front, with "{".
    end = data.rindex(b'"sedon"{') + len(b'"sedon"{')
    start = data.index(b'{"inputNames"')
    assert executorchcoreml.unflatten_directory_contents(data[start:end], str(theirs))
    [root] = theirs.iterdir()

    def files(folder: Path) -> dict[str, bytes]:
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    assert files(package.parent) == files(root)
    assert "model.mlpackage/Manifest.json" in files(root)


def test_it_computes_in_half_as_the_recipe_says(made: Make) -> None:
    kinds = {}
    for recipe in ("fp32", "fp16"):
        artifact = made("executorch-coreml", recipe).artifact
        with opened_package(artifact.folder / artifact.manifest.file, artifact.manifest) as (package, _):
            operations = MilExecutor(package).operations
        kinds[recipe] = {
            output.type.dtype.name
            for operation in operations
            for output in operation.outputs
            if output.type is not None and operation.kind in ("linear", "conv", "gelu", "layer_norm", "add", "mul")
        }
    assert kinds == {"fp32": {"fp32"}, "fp16": {"fp16"}}


def _other_name(data: bytearray) -> None:
    """Another name for a file, of the same length, where its folder lists it: out of the folder."""
    before, after = b'{"weight.bin":'[::-1], b'{"../../evil":'[::-1]
    at = data.rindex(before)
    data[at : at + len(before)] = after


def _no_folder(data: bytearray) -> None:
    at = data.rindex(b'"nodes"'[::-1])
    data[at : at + 7] = b'"nodex"'[::-1]


def _beyond(data: bytearray) -> None:
    """A file that is said to be larger than all that there is."""
    text = bytes(data[::-1])
    found = re.search(rb'"size":(\d{6,})', text)
    assert found is not None
    start = len(data) - found.end(1)
    data[start : start + len(found[1])] = b"9" * len(found[1])


def _itself(data: bytearray) -> None:
    """A folder that holds itself."""
    text = bytes(data[::-1])
    found = re.search(rb'"com.apple.CoreML":(\d)\}', text)
    assert found is not None
    start = len(data) - found.end(1)
    holder = re.search(rb'"Data":(\d)', text)
    assert holder is not None
    data[start : start + 1] = holder[1]


def _other_delegate(data: bytearray) -> None:
    at = data.index(b"CoreMLBackend")
    data[at : at + 13] = b"CoreMXBackend"


def _no_method(data: bytearray) -> None:
    at = data.index(b"forward\0")
    data[at : at + 7] = b"backward"[:7]


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (_other_name, "a file is called"),
        (_no_folder, "can't be understood"),
        (_beyond, "lie outside of a delegate's"),
        (_itself, "lie too deep|roots"),
        (_other_delegate, "isn't one call of CoreMLBackend and no more"),
        (_no_method, "has no method forward"),
    ],
)
def test_a_program_that_is_not_whole_is_refused(program: Path, tmp_path: Path, edit: Edit, said: str) -> None:
    data = bytearray(program.read_bytes())
    edit(data)
    program.write_bytes(data)
    into = tmp_path / "into"
    into.mkdir()
    with pytest.raises(ArtifactError, match=said):
        extract_package(program, into)
    assert not (tmp_path / "evil").exists()
    assert not (tmp_path.parent / "evil").exists()


def test_a_program_of_another_delegate_is_refused(made: Make, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="isn't one call of CoreMLBackend and no more: 1 of XnnpackBackend"):
        extract_package(made("executorch", "fp32").file, tmp_path)


def test_a_cut_program_is_refused(program: Path, tmp_path: Path) -> None:
    data = program.read_bytes()
    for kept in (0, 6, 40, 500, len(data) // 2, len(data) - 1000):
        program.write_bytes(data[:kept])
        with pytest.raises(ArtifactError):
            extract_package(program, tmp_path / str(kept))


def test_names_that_executorch_reads_are_held_to_one_input_and_one_output(program: Path, made: Make) -> None:
    data = bytearray(program.read_bytes())
    at = data.index(b'{"inputNames": ["clip"]')
    data[at : at + 23] = json.dumps({"inputNames": []}).encode()[:-1].ljust(23)
    program.write_bytes(data)
    with (
        pytest.raises(ArtifactError, match="doesn't name one input and one output"),
        opened_package(program, made("executorch-coreml", "fp16").artifact.manifest),
    ):
        raise AssertionError("it was opened")
