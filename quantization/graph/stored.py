"""Quantized forms as files: a `.pt2` that stock torch loads, and that this project reads without running anything.

The archive is what `torch.export.save` writes of the fake-quantized program, so that `torch.export.load` gives
anyone a module that computes with the int8 weights. What dvfl-mobile itself reads of it are three entries beside that
program, plain JSON and safetensors, checked against their hashes: the program is never deserialized here.
"""

from __future__ import annotations

import hashlib
import io
import tempfile
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field, ValidationError
from torch import Tensor

from dvfl_mobile.documents import Document
from dvfl_mobile.errors import CheckpointError
from dvfl_mobile.files import atomic_file, sha256_of
from dvfl_mobile.model.checkpoint.load import read_checkpoint
from dvfl_mobile.model.checkpoint.opened import CheckpointFile
from dvfl_mobile.model.checkpoint.safetensors_file import read_safetensors, save_safetensors
from dvfl_mobile.model.lean.exports import lean_exports
from dvfl_mobile.model.student import save_student
from dvfl_mobile.quantization.archive import ROOT, SETTINGS
from dvfl_mobile.quantization.graph import graphs
from dvfl_mobile.quantization.graph.forms import LAYOUT, QuantizedForm, deploy_form
from dvfl_mobile.quantization.settings import Quantization
from dvfl_mobile.version import __version__
from dvfl_mobile.wording import first_problem

_STUDENT, _WEIGHTS = "dvfl_mobile/student.safetensors", "dvfl_mobile/weights.safetensors"
_MOST_SETTINGS = 64 * 2**20
_INTEGERS, _SCALES, _FLOATS = "integers/", "scales/", "floats/"


class _Contents(Document):
    """What the JSON entry holds.

    Version 1 was of weights and scales for a deploy form that didn't shrink its tokens.
    """

    schema_version: Literal[2] = 2
    tool: str
    settings: Quantization
    student_sha256: str = Field(pattern="^[0-9a-f]{64}$")
    weights_sha256: str = Field(pattern="^[0-9a-f]{64}$")


def save_form(form: QuantizedForm, path: Path) -> None:
    """Write a quantized form to `path`, atomically; `load_form` reads it back equal, to the bit.

    Raises:
        OutputError: the place can't be written, or the disk is full.
    """
    with atomic_file(path) as partial, tempfile.TemporaryDirectory(dir=path.parent, suffix=".partial") as folder:
        student, weights = Path(folder) / "student", Path(folder) / "weights"
        save_student(form.student, student)
        save_safetensors(_tensors(form), weights)
        contents = _Contents(
            tool=f"dvfl-mobile {__version__}",
            settings=form.settings,
            student_sha256=sha256_of(student),
            weights_sha256=sha256_of(weights),
        )
        partial.write_bytes(_program(form, contents))
        with zipfile.ZipFile(partial, "a", zipfile.ZIP_STORED) as archive:
            archive.write(student, f"{ROOT}/{_STUDENT}")
            archive.write(weights, f"{ROOT}/{_WEIGHTS}")


def read_settings(file: CheckpointFile) -> Quantization:
    """How a quantized form was quantized; its weights are not read.

    Raises:
        CheckpointError: it is damaged.
    """
    with _archive(file) as archive:
        return _contents(archive, file.path).settings


def load_form(path: Path) -> QuantizedForm:
    """Read a quantized form. Nothing in it is run, and its program is not read.

    Raises:
        CheckpointError: it is damaged, or was changed after it was written.
    """
    with CheckpointFile(path) as file:
        return read_form(file)


def read_form(file: CheckpointFile) -> QuantizedForm:
    """The same of a file that is open already; see `load_form`."""
    path = file.path
    with _archive(file) as archive:
        contents = _contents(archive, path)
        with _entry(archive, _STUDENT, contents.student_sha256, file) as entry:
            student = read_checkpoint(entry)
        with _entry(archive, _WEIGHTS, contents.weights_sha256, file) as entry:
            tensors, _ = read_safetensors(entry)
    parts = {
        prefix: {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
        for prefix in (_INTEGERS, _SCALES, _FLOATS)
    }
    form = QuantizedForm(student, contents.settings, parts[_INTEGERS], parts[_SCALES], parts[_FLOATS])
    _check_fits(form, path)
    return form


def _tensors(form: QuantizedForm) -> dict[str, Tensor]:
    named: dict[str, Tensor] = {}
    for prefix, tensors in ((_INTEGERS, form.integers), (_SCALES, form.weight_scales), (_FLOATS, form.floats)):
        named |= {f"{prefix}{name}": value.contiguous() for name, value in tensors.items()}
    return named


def _program(form: QuantizedForm, contents: _Contents) -> bytes:
    """The archive that torch writes, with our settings in it."""
    graph = graphs.converted(form.graph(), fold=True) if form.settings.scales else form.form(LAYOUT)
    with warnings.catch_warnings(action="ignore"), lean_exports():
        program = torch.export.export(graph, (torch.zeros(form.clip.shape),))
        buffer = io.BytesIO()
        torch.export.save(
            program, buffer, extra_files={SETTINGS.removeprefix("extra/"): contents.model_dump_json(indent=1)}
        )
    return buffer.getvalue()


def _contents(archive: zipfile.ZipFile, path: Path) -> _Contents:
    entry = archive.getinfo(f"{ROOT}/{SETTINGS}")
    if entry.file_size > _MOST_SETTINGS:
        raise _damaged(path, "its settings are larger than any")
    try:
        return _Contents.model_validate_json(archive.read(entry))
    except ValidationError as error:
        raise CheckpointError(
            f"{path}: what it says of its quantization can't be understood ({first_problem(error)}).",
            hint="It was changed, or written by another version of dvfl-mobile: quantize again.",
        ) from error


@contextmanager
def _archive(file: CheckpointFile) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(file.content) as archive:
            yield archive
    except (zipfile.BadZipFile, KeyError, EOFError, NotImplementedError) as error:
        raise _damaged(file.path, str(error)) from error


def _entry(archive: zipfile.ZipFile, name: str, sha256: str, file: CheckpointFile) -> CheckpointFile:
    """An entry, checked to be as it was written."""
    entry = archive.getinfo(f"{ROOT}/{name}")
    # Stored as it is, so that no entry can be larger than the file that holds it.
    if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > file.size_bytes:
        raise _damaged(file.path, f"{name} isn't stored as it was written")
    data = archive.read(entry)
    if hashlib.sha256(data).hexdigest() != sha256:
        raise _damaged(file.path, f"{name} isn't what was written")
    return CheckpointFile(file.path, data)


def _check_fits(form: QuantizedForm, path: Path) -> None:
    """Hold the weights against the network that they are for."""
    mine = dict(deploy_form(form.student, form.settings.per_token_scaled).named_parameters())
    given: Mapping[str, Tensor] = {f"{name}.weight": value for name, value in form.integers.items()} | dict(form.floats)
    wrong = [name for name in mine if name not in given or given[name].shape != mine[name].shape]
    if wrong or len(given) != len(mine) or form.integers.keys() != form.weight_scales.keys():
        raise _damaged(path, f"its weights don't fit its network{f', first {wrong[0]}' if wrong else ''}")
    if any(scale.shape != form.integers[name].shape[:1] for name, scale in form.weight_scales.items()):
        raise _damaged(path, "its scales don't fit its weights")


def _damaged(path: Path, what: str) -> CheckpointError:
    return CheckpointError(f"{path} is damaged: {what}.", hint="Copy it again, or quantize again.")
