"""Recipes: in what numbers a model is stored and computed, by ai-edge-quantizer's names, and which target has which.

A name decodes itself: `static_wi8_ai8` is static quantization, weights in 8-bit integers, activations in 8-bit
integers; `weight_only_wi4_afp32` has 4-bit weights and float32 activations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Literal

from dvfl_mobile.documents import Document
from dvfl_mobile.errors import UsageError

Mode = Literal["float", "dynamic", "static", "weight_only", "palettized"]


class Recipe(Document):
    """How an artifact holds its numbers.

    Attributes:
        name: as on the command line and in the path of the artifact.
        mode: `static` knows the scales of activations beforehand, by calibration; `dynamic` finds them on each run.
        weights: the type in which the weights of products and convolutions are stored.
        meaning: what it comes to, by target; a target that isn't there has no such thing.
        instead: for each target that isn't, why not, and the recipe that would do.
        least_ios: the oldest iOS whose Core ML has the operators that it takes.
    """

    name: str
    mode: Mode
    weights: Literal["float32", "float16", "int8", "int4", "lut4"]
    meaning: Mapping[str, str]
    instead: Mapping[str, tuple[str, str]] = {}
    least_ios: int = 16

    @property
    def is_calibrated(self) -> bool:
        """Whether the scales of activations have to be found on real clips first."""
        return self.mode == "static"


_STATIC = {
    "executorch": "int8 weights by channel and int8 activations through XNNPACK; {floats}",
    "coreml": "int8 weights by channel and int8 activations (W8A8); {floats}, in float16",
    "tflite": "int8 weights by channel, int8 activations and int8 input; {floats}",
    "coreai": "int8 weights by channel and int8 activations (W8A8); {floats}, in float32",
}
_FLOATS = "normalization, gates, residual sums and head stay float"
_NO_CORE_AI_WEIGHTS = ("coreai-torch quantizes nothing by itself, and takes only a graph with scales", "static_wi8_ai8")

_RECIPES = (
    Recipe(
        name="fp32",
        mode="float",
        weights="float32",
        meaning={
            "executorch": "float32 weights and arithmetic",
            "tflite": "float32 weights and arithmetic",
            "coreml": "float32 weights and arithmetic (compute_precision FLOAT32): never the Neural Engine",
            "coreai": "float32 weights and arithmetic",
        },
    ),
    Recipe(
        name="fp16",
        mode="float",
        weights="float16",
        meaning={
            "executorch": "float16 weights of products and convolutions, unpacked once at load; float32 arithmetic",
            "tflite": "float16 weights of products and convolutions; float32 arithmetic on the CPU",
            "coreml": "float16 weights, activations and arithmetic (compute_precision FLOAT16)",
            "coreai": "float16 weights, activations and arithmetic; layer norms in float32",
        },
    ),
    Recipe(
        name="dynamic_wi8_afp32",
        mode="dynamic",
        weights="int8",
        meaning={
            "executorch": "int8 weights of linear layers by channel, their activations to int8 as they come, with a "
            "scale for each row; convolutions and the rest float32",
            "tflite": "int8 weights by channel; activations of products to int8 as they come; the rest float32",
        },
        instead={
            "coreml": ("Core ML has no dynamic quantization of activations", "weight_only_wi8_afp32"),
            "coreai": _NO_CORE_AI_WEIGHTS,
        },
    ),
    Recipe(
        name="static_wi8_ai8",
        mode="static",
        weights="int8",
        meaning={target: text.format(floats=_FLOATS) for target, text in _STATIC.items()},
        least_ios=17,
    ),
    Recipe(
        name="weight_only_wi8_afp32",
        mode="weight_only",
        weights="int8",
        meaning={
            "coreml": "int8 weights by channel, unpacked by Core ML; float32 arithmetic",
            "tflite": "int8 weights by channel, unpacked once at load; float32 arithmetic",
        },
        instead={
            "executorch": ("XNNPACK has no product of float activations and int8 weights", "dynamic_wi8_afp32"),
            "coreai": _NO_CORE_AI_WEIGHTS,
        },
    ),
    Recipe(
        name="weight_only_wi4_afp32",
        mode="weight_only",
        weights="int4",
        least_ios=18,
        meaning={
            "coreml": "int4 weights in blocks of 32, unpacked by Core ML (iOS 18); float32 arithmetic",
            "tflite": "int4 weights of linear layers by channel, unpacked on each run outside of XNNPACK; int8 weights "
            "of convolutions, unpacked once at load; float32 arithmetic",
        },
        instead={
            "executorch": ("XNNPACK has no product of float activations and int4 weights", "dynamic_wi8_afp32"),
            "coreai": _NO_CORE_AI_WEIGHTS,
        },
    ),
    Recipe(
        name="palettized_wi4_afp16",
        mode="palettized",
        weights="lut4",
        least_ios=18,
        meaning={
            "coreml": "weights as 4-bit places in tables of 16 values (k-means), a table for each 32 channels (iOS "
            "18); small weights float16; float16 arithmetic",
        },
        instead={
            "executorch": ("XNNPACK has no weights in lookup tables", "dynamic_wi8_afp32"),
            "tflite": ("LiteRT has no weights in lookup tables", "weight_only_wi4_afp32"),
            "coreai": _NO_CORE_AI_WEIGHTS,
        },
    ),
    Recipe(
        name="auto",
        mode="static",
        weights="int8",
        meaning={
            target: text.format(floats=f"{_FLOATS}, and so does what cost too much") for target, text in _STATIC.items()
        },
        least_ios=17,
    ),
)

RECIPES: Mapping[str, Recipe] = MappingProxyType({recipe.name: recipe for recipe in _RECIPES})

ALIASES: Mapping[str, str] = MappingProxyType(
    {
        "float32": "fp32",
        "float16": "fp16",
        "dynamic": "dynamic_wi8_afp32",
        "w8a8": "static_wi8_ai8",
        "int8": "static_wi8_ai8",
        "w8": "weight_only_wi8_afp32",
        "w4": "weight_only_wi4_afp32",
        "lut4": "palettized_wi4_afp16",
    }
)


def recipe_named(name: str) -> Recipe:
    """The recipe of that name, or alias.

    Raises:
        UsageError: there is none; the message lists those there are.
    """
    try:
        return RECIPES[ALIASES.get(name, name)]
    except KeyError:
        aliases = ", ".join(f"{alias} for {full}" for alias, full in ALIASES.items())
        raise UsageError(
            f"There is no recipe {name!r}.", hint=f"Choose one of: {', '.join(RECIPES)}; or {aliases}."
        ) from None


def check_carried(recipe: Recipe, targets: Sequence[str]) -> None:
    """Refuse a pair of recipe and target that can't be, before any work.

    Raises:
        UsageError: a target has no such numbers; the message says why, and which recipe would do.
    """
    for target in targets:
        if target not in recipe.meaning:
            why, other = recipe.instead[target]
            raise UsageError(f"{recipe.name} can't be made for {target}: {why}.", hint=f"Use --recipe {other} there.")
