"""Make each program that is raced: our artifacts, the plain exports, the bare products."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from dvfl_mobile.artifacts.make import Artifact, open_artifact
from dvfl_mobile.data.clips import normalize
from dvfl_mobile.model.student import Student
from dvfl_mobile.pipeline import quantize as quantizing
from dvfl_mobile.pipeline.convert import convert
from dvfl_mobile.pipeline.plan import make_plan
from dvfl_mobile.pipeline.quantize_plan import Calibration, QuantizePlan
from dvfl_mobile.progress import Step
from dvfl_mobile.quantization.lowerable import Lowerable
from dvfl_mobile.runners.base import as_input
from peer_programs import environments, lowering
from peer_programs.products import Int8Products, Products, products_of
from peer_programs.racing import Entrant

RECIPE_OF = {"fp32": "fp32", "int8": "static_wi8_ai8"}
SUFFIX_OF = {"tflite": ".tflite", "executorch": ".pte"}


@dataclass
class Making:
    """What programs are made of, and where they go. A file that stands there already is taken as it is.

    Attributes:
        student: the network.
        clips: that logits are compared on, `(N,T,3,H,W)`, 0 to 255.
        data: where calibration clips are taken from.
        samples: how many, for whatever isn't ours.
        work: the folder of the programs of this checkpoint and so many samples.
        environments: the folder of the foreign engines' environments.
        artifacts: the folder `out/MODEL` of ours; None: they are made too.
    """

    student: Student
    clips: NDArray[np.uint8]
    data: Path
    samples: int
    work: Path
    environments: Path
    artifacts: Path | None
    step: Step

    @cached_property
    def calibration(self) -> Path:
        """Normalized training clips, the first of those on which our own scales are found."""
        path = self.work / "calibration.npy"
        if not path.exists():
            plan = QuantizePlan.ptq(Calibration(str(self.data), samples=self.samples))
            found = quantizing.calibration_clips(self.student, plan, self.step)
            np.save(path, normalize(found.pixels, self.student.clip))
        return path

    @cached_property
    def normalized(self) -> Path:
        """The clips as the official form takes them."""
        return self.saved("normalized", normalize(self.clips, self.student.clip))

    def saved(self, name: str, values: NDArray[np.generic]) -> Path:
        """An array as a file."""
        path = self.work / f"clips-{name}.npy"
        np.save(path, values)
        return path

    def file(self, name: str, write: Callable[[Path], None]) -> Path:
        """The file of that name; written first where it isn't there."""
        path = self.work / name
        if not path.exists():
            partial = path.with_name(f"partial-{name}")
            shutil.rmtree(partial, ignore_errors=True)
            with self.step(f"make {name}"):
                write(partial)
            partial.rename(path)
        return path

    def python(self, name: str, *, borrows: bool = False) -> Path:
        """The interpreter of a foreign engine's environment."""
        with self.step(f"environment of {name}"):
            return environments.python_of(name, self.environments, borrows=borrows)

    @cached_property
    def quantized(self) -> Lowerable:
        """Our quantized form, by the defaults."""
        plan = QuantizePlan.ptq(Calibration(str(self.data)))
        return quantizing.quantize(self.student, plan, None, self.step).form


def artifact(making: Making, target: str, precision: str) -> Artifact:
    """Our artifact for a target: one that stands, or a new one."""
    recipe = RECIPE_OF[precision]
    if making.artifacts is None:
        model = making.student if precision == "fp32" else making.quantized
        return convert(model, make_plan([target], recipe, making.work / "ours"), making.step, reuse=True)[0]
    found = open_artifact(making.artifacts / target / recipe)
    if found.manifest.weights.sha256 != making.student.source.sha256:
        sys.exit(f"{found.folder} was made of another checkpoint. Leave --artifacts out to make artifacts of this one.")
    return found


def ours(making: Making, name: str, target: str, precision: str) -> Entrant:
    made = artifact(making, target, precision)
    clips = np.stack([as_input(clip, made.manifest) for clip in making.clips])
    model = made.folder / made.manifest.file
    return Entrant(
        name, Path(sys.executable), target, model, making.saved(name, clips), delegation=made.manifest.delegation
    )


def plain(making: Making, name: str, target: str, precision: str) -> Entrant:
    clips = making.calibration if precision == "int8" else None

    def write(path: Path) -> None:
        module = lowering.Plain(making.student.network).eval()
        first = torch.zeros(making.student.clip.shape)
        if clips is not None:
            module = lowering.stock_int8(module, map(torch.from_numpy, np.load(clips)))
        lower = lowering.lower_tflite if target == "tflite" else lowering.lower_executorch
        lower(module, (first,), path)

    model = making.file(name + SUFFIX_OF[target], write)
    return Entrant(name, Path(sys.executable), target, model, making.normalized)


def bare(making: Making, name: str, target: str, precision: str) -> Entrant:
    def write(path: Path) -> None:
        products, _ = products_of(making.student.architecture)
        is_int8, is_tflite = precision == "int8", target == "tflite"
        module = Int8Products(products, fold=not is_tflite) if is_int8 else Products(products)
        module.eval()
        if is_tflite:
            lowering.lower_tflite(module, module.inputs(), path, is_quantized=is_int8)
        else:
            lowering.lower_executorch(module, module.inputs(), path)

    return Entrant(name, Path(sys.executable), target, making.file(name + SUFFIX_OF[target], write))
