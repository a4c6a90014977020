"""Load what is to be converted: a checkpoint, a quantized form, or the embedded default student."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dvfl_mobile.errors import UsageError
from dvfl_mobile.model.checkpoint.opened import CheckpointFile
from dvfl_mobile.quantization.lowerable import Lowerable
from dvfl_mobile.recipes import Recipe, recipe_named
from dvfl_mobile.spelling import command, has_option, option

if TYPE_CHECKING:
    from dvfl_mobile.model.student import Student


_DEFAULT_RECIPE, _HALF_RECIPE, _CALIBRATED_RECIPE = "fp32", "fp16", "static_wi8_ai8"


def recipe_of(checkpoint: CheckpointFile | None, recipe: str | None, *, has_clips: bool = False) -> str:
    """The recipe that is meant: the one asked for, else a quantized form's own, else `fp32`.

    Args:
        has_clips: whether clips to calibrate on were named: then static int8 is meant where no recipe is named.

    Raises:
        UsageError: a quantized form was made by another recipe than the one asked for, or one is asked for that has
            to be calibrated, of a checkpoint that isn't.
    """
    from dvfl_mobile.quantization.archive import is_form

    asked = None if recipe is None else recipe_named(recipe)
    if checkpoint is not None and is_form(checkpoint):
        from dvfl_mobile.quantization.graph import stored

        made = stored.read_settings(checkpoint).recipe
        if asked is not None and asked.name != made:
            raise UsageError(
                f"{checkpoint.path} was quantized as {made}, and {asked.name} was asked for.",
                hint=f"Leave {option('recipe')} out, or quantize the checkpoint again.",
            )
        return made
    if asked is not None:
        return asked.name
    return _CALIBRATED_RECIPE if has_clips else _DEFAULT_RECIPE


def recipes_of(
    checkpoint: CheckpointFile | None, recipes: Sequence[str], *, has_clips: bool = False, each_kind: bool = False
) -> list[str]:
    """The recipes that are meant, each once; see `recipe_of`.

    Args:
        each_kind: where none is named, mean float32, half precision and, with clips, static int8; but of a quantized
            form still its own.
    """
    from dvfl_mobile.quantization.archive import is_form

    if not recipes and each_kind and not (checkpoint is not None and is_form(checkpoint)):
        return [_DEFAULT_RECIPE, _HALF_RECIPE, *([_CALIBRATED_RECIPE] if has_clips else [])]
    names: Sequence[str | None] = recipes or [None]
    return list(dict.fromkeys(recipe_of(checkpoint, name, has_clips=has_clips) for name in names))


def check_scales(model: Lowerable, recipe: Recipe) -> None:
    """Check that a model has the scales that a recipe needs.

    Raises:
        UsageError: it has none.
    """
    if recipe.is_calibrated and model.quantization is None:
        raise UsageError(
            f"{recipe.name} needs scales, and {model.student.source.name} has none.",
            hint=f"Name clips to find them on with {option('calib')}, or make a quantized form first with: "
            f"{command('quantize')}"
            if has_option("calib")
            else f"Make a quantized form first with: {command('quantize')}",
        )


def load_model(
    checkpoint: CheckpointFile | None,
    labels: Path | None = None,
    frames: int | None = None,
    size: int | None = None,
    weights: str | None = None,
) -> Lowerable:
    """The student of a checkpoint, a quantized form, or the embedded default student.

    Raises:
        UsageError: options are given that only a checkpoint can use.
        CheckpointError, LabelError: see `load_checkpoint` and `load_form`.
    """
    from dvfl_mobile.quantization.archive import is_form

    if checkpoint is None:
        return load_student(None, labels, frames, size, weights)
    if not is_form(checkpoint):
        from dvfl_mobile.model.checkpoint.load import read_checkpoint

        return read_checkpoint(checkpoint, labels, frames=frames, size=size, weights=weights)
    if (labels, frames, size, weights) != (None, None, None, None):
        raise UsageError(
            f"{_of_checkpoints()} go with a checkpoint; a quantized form has its own.",
            hint=f"Give them to: {command('quantize')}",
        )
    from dvfl_mobile.quantization.graph import stored

    return stored.read_form(checkpoint)


def load_student(
    checkpoint: Path | None,
    labels: Path | None = None,
    frames: int | None = None,
    size: int | None = None,
    weights: str | None = None,
) -> Student:
    """The student of a checkpoint, or the embedded default one.

    Raises:
        UsageError: options are given that only a checkpoint can use.
        CheckpointError, LabelError: see `load_checkpoint`.
    """
    from dvfl_mobile.model.checkpoint.load import load_checkpoint
    from dvfl_mobile.model.default import default_student

    if checkpoint is not None:
        return load_checkpoint(checkpoint, labels, frames=frames, size=size, weights=weights)
    if (labels, frames, size, weights) != (None, None, None, None):
        raise UsageError(
            f"{_of_checkpoints()} go with a checkpoint.",
            hint="Name the checkpoint first.",
        )
    return default_student()


def _of_checkpoints() -> str:
    """The options that a quantized form and the default student have no use for."""
    return f"{option('labels')}, {option('frames')}, {option('size')} and {option('weights')}"
