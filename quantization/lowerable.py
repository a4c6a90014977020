"""What a model must be able to do to become artifacts: the one interface of students and their quantized forms."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from dvfl_mobile.model.checkpoint.opened import CheckpointFile
from dvfl_mobile.quantization.archive import is_form
from dvfl_mobile.quantization.settings import Quantization
from dvfl_mobile.targets import Target, TokenScaling

if TYPE_CHECKING:
    from torch import nn

    from dvfl_mobile.model.deploy import DeployForm
    from dvfl_mobile.model.student import Student


class Lowerable(Protocol):
    """A student, or the quantized form of one."""

    @property
    def student(self) -> Student:
        """The float student, which artifacts are compared with."""

    @property
    def quantization(self) -> Quantization | None:
        """How activations are quantized; None: they aren't, and there are no scales."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What whoever ships it must know of its quantization."""

    def form_for(self, target: Target, recipe: str) -> DeployForm:
        """The deploy form as a target wants it for a recipe, its weights rounded if they are quantized."""

    def by_token(self, scaling: TokenScaling) -> tuple[str, ...]:
        """The paths of the int8 products for which the runtime quantizes each token by its own range."""

    def to_lower(self, target: Target, recipe: str) -> nn.Module:
        """What a target's converter takes for a recipe: the deploy form, or its graph with quantized operators."""


def load_lowerable(path: Path) -> Lowerable:
    """The student of a checkpoint, or a quantized form, as the file's content tells.

    Raises:
        CheckpointError: see `load_checkpoint` and `load_form`.
    """
    with CheckpointFile(path) as file:
        if is_form(file):
            from dvfl_mobile.quantization.graph.stored import read_form

            return read_form(file)
        from dvfl_mobile.model.checkpoint.load import read_checkpoint

        return read_checkpoint(file)
