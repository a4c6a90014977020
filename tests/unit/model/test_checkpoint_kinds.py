"""What isn't a checkpoint is called what it is; of several sets of weights, which was taken; and counters may go."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from dvfl_mobile.errors import CheckpointError
from dvfl_mobile.model.checkpoint.load import load_checkpoint
from dvfl_mobile.model.student import Student
from tests.checkpoints import small_weights


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "small.pth"


def zipped(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    return buffer.getvalue()


def tarred() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("small.pth"), io.BytesIO())
    return buffer.getvalue()


INDEX = {
    "metadata": {},
    "weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"},
}
PAGE = b"<!DOCTYPE html>\n<html><head><title>Google Drive - Virus scan\n warning</title></head></html>"
REFUSAL = b'<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>'
KINDS: dict[str, tuple[bytes, str, str]] = {
    "pointer": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 88630507\n",
        "a Git LFS pointer to a file of 88,630,507 bytes, which isn't here",
        "git lfs pull --include '*small.pth'",
    ),
    "page": (PAGE, "a web page ('Google Drive - Virus scan warning'), saved in the place of the file", "login"),
    "untitled page": (b"\n  <html><body>404</body></html>", "a web page, saved", "with a browser"),
    "refusal": (REFUSAL, "an XML document ('Access Denied'), such as a server answers with", "Download"),
    "answer": (b'{"error":"Repository not found"}', "a JSON document", "Give a .pth"),
    "index": (json.dumps(INDEX).encode(), "the index of a checkpoint in several files, model-00001", "save_file"),
    "text": (b"Entry not found", "a text that begins with 'Entry not found'", "Download"),
    "text of 16 bits": ("Entry not found".encode("utf-16"), "a text that begins with 'Entry not found'", "Download"),
    "zeros": (bytes(4096), "nothing but zeros", "Download"),
    "Keras": (b"\x89HDF\r\n\x1a\n" + bytes(100), "an HDF5 file", "PyTorch checkpoint"),
    "ONNX": (b"\x08\x07\x12\x07pytorch" + bytes(50), "as ONNX writes", "PyTorch checkpoint"),
    "SavedModel": (b"\x08\x01\x12\xf1\x02\x0a" + bytes(50), "as TensorFlow and Core ML write", "PyTorch checkpoint"),
    "TFLite": (b"\x1c\0\0\0TFL3" + bytes(50), "a TFLite model", "the checkpoint that it was made of"),
    "ExecuTorch": (b"\x1c\0\0\0ET12" + bytes(50), "an ExecuTorch program", "the checkpoint that it was made of"),
    "gzip": (gzip.compress(b"weights"), "packed with gzip", "Unpack it"),
    "tar": (tarred(), "a tar archive", "Unpack it"),
    "empty zip": (zipped(), "an empty zip archive", "Download"),
    "zip of one": (zipped("run/best.pth"), "not one that torch.save wrote: it holds run/best.pth", "Unpack it"),
    "NumPy": (zipped("a.npy", "b.npy"), "arrays of NumPy", "PyTorch checkpoint"),
    "Keras 3": (zipped("config.json", "model.weights.h5"), "a model of Keras", "PyTorch checkpoint"),
    "other zip": (zipped("a.jpg", "b.jpg", "c.jpg", "d.jpg"), "it holds a.jpg, b.jpg, c.jpg and 1 more", "Give a .pth"),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_in_a_checkpoint_s_place_is_called_what_it_is(kind: str, path: Path) -> None:
    content, what, hint = KINDS[kind]
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as refused:
        load_checkpoint(path)
    assert what in refused.value.problem
    assert hint in refused.value.hint
    assert str(path) in refused.value.problem


def _same(student: Student, weights: dict[str, Tensor]) -> bool:
    held = student.network.state_dict()
    return held.keys() == weights.keys() and all(torch.equal(held[key], value) for key, value in weights.items())


def _prefixed(prefix: str, weights: dict[str, Tensor]) -> dict[str, Any]:
    return {f"{prefix}.{key}": value for key, value in weights.items()}


WHOLE, NONE = torch.tensor(7), torch.zeros(1, dtype=torch.float64)
COUNTERS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "thop": (
        {**small_weights(), "total_ops": NONE, "head.total_ops": NONE, "head.total_params": NONE},
        ("total_ops", "head.total_ops", "head.total_params"),
    ),
    "averaging": ({"n_averaged": WHOLE, **_prefixed("module", small_weights())}, ("n_averaged",)),
    "metrics": (
        {
            **_prefixed("model", small_weights()),
            "val_acc.tp": torch.zeros(5, dtype=torch.long),
            "val_acc.confmat": torch.zeros(5, 5, dtype=torch.long),
            "val_acc.seen": WHOLE,
        },
        ("val_acc.tp", "val_acc.confmat", "val_acc.seen"),
    ),
}


@pytest.mark.parametrize("tool", COUNTERS)
@pytest.mark.parametrize("ending", ["pth", "safetensors"])
def test_counters_of_other_tools_are_left_out_and_named(tool: str, ending: str, tmp_path: Path) -> None:
    entries, names = COUNTERS[tool]
    path = tmp_path / f"small.{ending}"
    if ending == "pth":
        torch.save({"state_dict": entries}, path)
    else:
        save_file({key: value.clone() for key, value in entries.items()}, path)
    student = load_checkpoint(path, size=64)
    assert _same(student, small_weights())
    [note] = [note for note in student.notes if "left out" in note]
    assert "no weights, which may go: " in note
    assert note.endswith(f": {', '.join(names)}") or sorted(note.rpartition(": ")[2].split(", ")) == sorted(names)


@pytest.mark.parametrize(
    ("extra", "name"),
    [({"epoch": 3}, "epoch"), ({"criterion.weight": torch.ones(5)}, "criterion.weight"), ({"tp": torch.ones(3)}, "tp")],
)
def test_what_is_no_counter_for_certain_is_an_error_that_says_how_it_may_go(
    extra: dict[str, Any], name: str, path: Path
) -> None:
    torch.save({**small_weights(), **extra}, path)
    with pytest.raises(CheckpointError, match=name) as refused:
        load_checkpoint(path, size=64)
    assert "they may go" in refused.value.hint
    assert "for name in model.state_dict()" in refused.value.hint


DOUBLED = {key: value * 2 for key, value in small_weights().items()}
SIDE_BY_SIDE: dict[str, tuple[dict[str, Any], str, str]] = {
    "model_ema": ({"model": small_weights(), "model_ema": DOUBLED}, "model", "model_ema"),
    "timm": ({"epoch": 3, "state_dict": small_weights(), "state_dict_ema": DOUBLED}, "state_dict", "state_dict_ema"),
    "averaged": (
        {"model_state_dict": small_weights(), "swa_model": {"n_averaged": WHOLE, **_prefixed("module", DOUBLED)}},
        "model_state_dict",
        "swa_model",
    ),
    "nested": ({"state_dict": {"model": small_weights(), "ema": DOUBLED}}, "model", "ema"),
    "one dictionary": (
        {"state_dict": {**_prefixed("model", small_weights()), **_prefixed("ema.module", DOUBLED), "tp": WHOLE}},
        "model",
        "ema",
    ),
    "wrapped": ({"model": small_weights(), "ema": {"state_dict": DOUBLED, "updates": 4}}, "model", "ema"),
    "two of the usual": ({"model": small_weights(), "state_dict": DOUBLED}, "model", "state_dict"),
}


@pytest.mark.parametrize("case", SIDE_BY_SIDE)
def test_of_two_sets_it_is_said_which_was_taken_and_the_other_can_be(case: str, path: Path) -> None:
    value, usual, other = SIDE_BY_SIDE[case]
    torch.save(value, path)
    student = load_checkpoint(path, size=64)
    assert _same(student, small_weights())
    [note] = [note for note in student.notes if " taken" in note]
    assert f"the weights '{usual}' taken" in note
    assert f"`weights={other}` takes" in note
    average = load_checkpoint(path, size=64, weights=other)
    assert _same(average, DOUBLED)
    assert average.source.name == f"small.pth ({other})"
    assert not [note for note in average.notes if " taken" in note]


def test_an_average_alone_is_taken_and_said_to_be_one(path: Path) -> None:
    torch.save({"model_ema": DOUBLED, "epoch": 3, "model": {"name": "nano"}}, path)
    student = load_checkpoint(path, size=64)
    assert _same(student, DOUBLED)
    assert any("a moving average of the weights, 'model_ema' taken" in note for note in student.notes)


def test_weights_that_are_not_there_are_an_error_that_names_those_that_are(path: Path) -> None:
    torch.save({"model": small_weights(), "model_ema": DOUBLED}, path)
    with pytest.raises(CheckpointError, match="no weights by the name ema; it holds: model, model_ema"):
        load_checkpoint(path, weights="ema")
    save_file(small_weights(), path)
    with pytest.raises(CheckpointError, match="no weights by the name ema"):
        load_checkpoint(path, weights="ema")


@pytest.mark.parametrize("ema", [{"decay": 0.999, "num_updates": 3}, {"shadow_params": [torch.ones(3)]}])
def test_an_average_without_weights_by_name_is_no_set(ema: dict[str, Any], path: Path) -> None:
    torch.save({"model": small_weights(), "ema": ema}, path)
    assert not [note for note in load_checkpoint(path, size=64).notes if " taken" in note]
