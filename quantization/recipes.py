"""Recipes: in what numbers a model is stored and computed, by ai-edge-quantizer's names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from dvfl_mobile.errors import UsageError


@dataclass(frozen=True)
class Recipe:
    """How an artifact holds its numbers.

    Attributes:
        name: as on the command line and in the path of the artifact.
        weights: the type in which weights are stored.
        meaning: what it comes to on each target.
    """

    name: str
    weights: Literal["float32", "float16"]
    meaning: Mapping[str, str]


_RECIPES = (
    Recipe(
        "fp32",
        "float32",
        MappingProxyType(
            {
                "executorch": "float32 weights and arithmetic",
                "tflite": "float32 weights and arithmetic",
                "coreml": "float32 weights and arithmetic (compute_precision FLOAT32): never the Neural Engine",
            }
        ),
    ),
    Recipe(
        "fp16",
        "float16",
        MappingProxyType(
            {
                "executorch": "float16 weights of products and convolutions, unpacked once at load; float32 arithmetic",
                "tflite": "float16 weights of products and convolutions; float32 arithmetic on the CPU",
                "coreml": "float16 weights, activations and arithmetic (compute_precision FLOAT16)",
            }
        ),
    ),
)

RECIPES: Mapping[str, Recipe] = MappingProxyType({recipe.name: recipe for recipe in _RECIPES})


def recipe_named(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        UsageError: there is none; the message lists those there are.
    """
    try:
        return RECIPES[name]
    except KeyError:
        raise UsageError(f"There is no recipe {name!r}.", hint=f"Choose one of: {', '.join(RECIPES)}.") from None
