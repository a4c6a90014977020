"""Make the programs of foreign engines, each from the official form's ONNX, in the engine's own environment."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import torch

from peer_programs.lowering import Plain
from peer_programs.making import Making
from peer_programs.racing import Entrant

HERE = Path(__file__).parent


def onnx_of(making: Making) -> Path:
    """The official form in ONNX."""
    python = making.python("onnx", borrows=True)

    def write(path: Path) -> None:
        program = path.with_suffix(".pt2")
        form = Plain(making.student.network).eval()
        torch.export.save(torch.export.export(form, (torch.zeros(making.student.clip.shape),)), program)
        _run(python, "onnx_export.py", program, path)
        program.unlink()

    return making.file("plain.onnx", write)


def onnxruntime(making: Making, name: str, engine: str, precision: str) -> Entrant:
    python, model = making.python(engine), onnx_of(making)
    if precision == "int8":
        clips, source = making.calibration, model
        model = making.file(f"{name}.onnx", lambda path: _run(python, "onnxruntime_int8.py", source, clips, path))
    return Entrant(name, python, engine, model, making.normalized)


def openvino(making: Making, name: str, engine: str, precision: str) -> Entrant:
    python, source = making.python(engine), onnx_of(making)
    clips = [making.calibration] if precision == "int8" else []
    folder = making.file(name, lambda path: _run_into(path, python, "openvino_model.py", source, "model.xml", *clips))
    return Entrant(name, python, engine, folder / "model.xml", making.normalized)


def mnn(making: Making, name: str, engine: str, _precision: str) -> Entrant:
    python, source = making.python(engine), onnx_of(making)
    model = making.file(f"{name}.mnn", lambda path: _run(python, "mnn_model.py", source, path))
    return Entrant(name, python, engine, model, making.normalized)


def _run(python: Path, script: str, *arguments: Path | str) -> None:
    subprocess.run([python, "-P", HERE / script, *arguments], check=True, stdout=sys.stderr)


def _run_into(folder: Path, python: Path, script: str, source: Path, model: str, *clips: Path) -> None:
    folder.mkdir()
    _run(python, script, source, folder / model, *clips)
