"""The targets: what each is called, what it needs, and which module lowers to it."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from dvfl_mobile.delegation import Delegation
from dvfl_mobile.errors import UsageError, needs

if TYPE_CHECKING:
    from torch import nn

    from dvfl_mobile.model.rewrites import Normalizer


STATIC = ("static_wi8_ai8", "auto")
"""Recipes whose request holds a graph with int8 activations."""


@dataclass(frozen=True)
class Target:
    """A kind of artifact.

    Attributes:
        name: as on the command line and in the path of the artifact.
        file: name of the artifact's file, or package.
        module: the converter, imported when it is used.
        extra: the extra of dvfl-mobile that installs `packages`.
        packages: distributions that it needs; the first is the one that people know it by.
        minimum_os: the oldest systems that run the artifact.
        normalizer: how the deploy form computes layer norms for it.
        folds_weights: whether its converter takes quantized weights as integers, or as floats with the operators that
            quantize them.
        input_name, output_name: what the artifact calls them.
        only_by_name: it isn't made unless it is asked for.
    """

    name: str
    file: str
    module: str
    extra: str
    packages: tuple[str, ...]
    minimum_os: str
    normalizer: Normalizer
    folds_weights: bool
    input_name: str
    output_name: str
    only_by_name: bool = False


_TARGETS = (
    Target(
        "executorch",
        "model.pte",
        "dvfl_mobile.converters.executorch",
        "executorch",
        ("executorch", "torch"),
        "Android 6 (API 23), iOS 17",
        "products",
        True,
        "clip",
        "logits",
    ),
    Target(
        "coreml",
        "model.mlpackage",
        "dvfl_mobile.converters.coreml",
        "coreml",
        ("coremltools", "torch"),
        "iOS 17",
        "native",
        True,
        "clip",
        "logits",
    ),
    Target(
        "tflite",
        "model.tflite",
        "dvfl_mobile.converters.tflite",
        "tflite",
        ("litert-torch", "ai-edge-litert", "ai-edge-quantizer", "torch"),
        "Android 6 (API 23), iOS 12",
        "means",
        False,
        "clip",
        "output_0",
    ),
    Target(
        "coreai",
        "model.aimodel",
        "dvfl_mobile.converters.coreai",
        "coreai",
        ("coreai-torch", "coreai-core", "torch"),
        "iOS 27, macOS 27",
        "native",
        True,
        "clip",
        "logits",
        only_by_name=True,
    ),
)

TARGETS: Mapping[str, Target] = MappingProxyType({target.name: target for target in _TARGETS})


@dataclass(frozen=True)
class Request:
    """What to lower.

    Attributes:
        form: the deploy form, normalization of pixels and layer norms as the target wants them; for recipes that
            quantize activations, the graph made of it, with quantize and dequantize operators.
        shape: (T, 3, H, W) of its input.
        recipe: its name; each converter knows what is left for it to do.
        metadata: classes and ClipSpec as a JSON document, to go into the file itself.
        minimum_os: Core ML only: `iOS 16`, `iOS 17` or `iOS 18`.
    """

    form: nn.Module
    shape: tuple[int, int, int, int]
    recipe: str
    metadata: str
    minimum_os: str


@dataclass(frozen=True)
class Lowered:
    """What a converter says of the file that it wrote.

    Attributes:
        delegation: where its operators run.
        input_scale: where its input is int8, what an integer stands for: (scale, zero point).
    """

    delegation: Delegation
    input_scale: tuple[float, int] | None = None


class Converter(Protocol):
    """What each target's module holds."""

    def lower(self, request: Request, path: Path) -> Lowered:
        """Write the artifact's file to `path`, and say what it is like."""


def target_named(name: str) -> Target:
    """The target of that name.

    Raises:
        UsageError: there is none; the message lists those there are.
    """
    try:
        return TARGETS[name]
    except KeyError:
        raise UsageError(f"There is no target {name!r}.", hint=f"Choose from: {', '.join(TARGETS)}.") from None


def versions(target: Target) -> dict[str, str]:
    """The installed versions of what `target` needs.

    Raises:
        MissingDependencyError: one of them isn't installed.
    """
    found = {}
    for package in target.packages:
        with needs(package, extra=target.extra, why=f"target {target.name}"):
            found[package] = metadata.version(package)
    return found


def lower(target: Target, request: Request, path: Path) -> Lowered:
    """Lower to `target`: its own module does the work.

    Raises:
        MissingDependencyError: a package that the target needs isn't installed.
    """
    versions(target)
    converter: Converter = importlib.import_module(target.module)
    return converter.lower(request, path)
