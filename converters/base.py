"""Lowering: what a target's converter is given, what it gives back, and what must be installed for it."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from dvfl_mobile.converters.operator_table import read_fast
from dvfl_mobile.delegation import Delegation
from dvfl_mobile.errors import needs
from dvfl_mobile.licences import check_accepted
from dvfl_mobile.targets import Target

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Request:
    """What to lower.

    Attributes:
        form: the deploy form, normalization of pixels and layer norms as the target wants them; for recipes that
            quantize activations, the graph made of it, with quantize and dequantize operators.
        shape: (T, 3, H, W) of its input.
        recipe: its name; each converter knows what is left for it to do.
        metadata: classes and ClipSpec as a JSON document, to go into the file itself.
        minimum_os: the oldest system that it is to run on: for Core ML `iOS 16`, `iOS 17` or `iOS 18`.
        soc: the chip to compile for, where the target is compiled for one.
        by_token: paths of the int8 linear layers for which the runtime quantizes each token by its own range.
    """

    form: nn.Module
    shape: tuple[int, int, int, int]
    recipe: str
    metadata: str
    minimum_os: str
    soc: str | None = None
    by_token: tuple[str, ...] = ()


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


def versions(target: Target) -> dict[str, str]:
    """The installed versions of what `target` needs.

    Raises:
        MissingDependencyError: one of them isn't installed, or isn't to be used before its licence is accepted.
    """
    found = {}
    for package in target.packages:
        with needs(package, extra=target.extra, why=f"target {target.name}"):
            found[package] = metadata.version(package)
    if target.licence:
        check_accepted(target.licence)
    return found


def lower(target: Target, request: Request, path: Path) -> Lowered:
    """Lower to `target`: its own module does the work.

    Raises:
        MissingDependencyError: a package that the target needs isn't installed.
    """
    from dvfl_mobile.model.lean.exports import lean_exports

    versions(target)
    converter: Converter = importlib.import_module(target.converter)
    with lean_exports(), read_fast():
        return converter.lower(request, path)
