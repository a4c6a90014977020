"""The targets: what each is called, what it needs, and which module lowers to it."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from dvfl_mobile.delegation import Delegation
from dvfl_mobile.errors import MissingDependencyError, UsageError

if TYPE_CHECKING:
    from dvfl_mobile.model.deploy import DeployForm
    from dvfl_mobile.model.rewrites import Normalizer


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
        input_name, output_name: what the artifact calls them.
    """

    name: str
    file: str
    module: str
    extra: str
    packages: tuple[str, ...]
    minimum_os: str
    normalizer: Normalizer
    input_name: str
    output_name: str


_TARGETS = (
    Target(
        "executorch",
        "model.pte",
        "dvfl_mobile.converters.executorch",
        "executorch",
        ("executorch", "torch"),
        "Android 6 (API 23), iOS 17",
        "products",
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
        "clip",
        "output_0",
    ),
)

TARGETS: Mapping[str, Target] = MappingProxyType({target.name: target for target in _TARGETS})


@dataclass(frozen=True)
class Request:
    """What to lower.

    Attributes:
        form: the deploy form, normalization of pixels and layer norms as the target wants them.
        shape: (T, 3, H, W) of its input.
        half: store weights as float16; the recipe says what that means on each target.
        metadata: classes and ClipSpec as a JSON document, to go into the file itself.
        minimum_os: Core ML only: `iOS 16`, `iOS 17` or `iOS 18`.
    """

    form: DeployForm
    shape: tuple[int, int, int, int]
    half: bool
    metadata: str
    minimum_os: str


class Converter(Protocol):
    """What each target's module holds."""

    def lower(self, request: Request, path: Path) -> Delegation:
        """Write the artifact's file to `path`, and say where its operators run."""


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
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            raise MissingDependencyError(package, extra=target.extra, why=f"target {target.name}") from None
    return found


def lower(target: Target, request: Request, path: Path) -> Delegation:
    """Lower to `target`: its own module does the work.

    Raises:
        MissingDependencyError: a package that the target needs isn't installed.
    """
    versions(target)
    converter: Converter = importlib.import_module(target.module)
    return converter.lower(request, path)


def module_path(node: Any) -> str:
    """The innermost module that a node of an exported graph comes from: `stage0.block0.mlp.fc1`; empty for none."""
    stack = node.meta.get("nn_module_stack")
    return str(list(stack.values())[-1][0]) if stack else ""
