"""Errors of the executor; each names the operator."""

from __future__ import annotations

from collections.abc import Iterable

from dvfl_mobile.errors import ArtifactError


class UnknownOperatorError(ArtifactError):
    """A program has an operator that this executor doesn't know.

    Args:
        where: the package.
        unknown: operator types that aren't known.
        known: those that are.
    """

    def __init__(self, where: str, unknown: Iterable[str], known: Iterable[str]) -> None:
        self.unknown = tuple(sorted(unknown))
        super().__init__(
            f"{where} needs operators that aren't known here: {', '.join(self.unknown)}.",
            hint=f"Run it on a Mac, where Core ML has them. Known here: {', '.join(sorted(known))}.",
        )


class UnpublishedError(ArtifactError):
    """An operator is asked for something that its published definition leaves open."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what}: what Core ML does there isn't published, and nothing is guessed.",
            hint="Run it on a Mac, where Core ML decides.",
        )


class MalformedError(ArtifactError):
    """A package or its program contradicts itself, or the format."""

    def __init__(self, what: str) -> None:
        super().__init__(what, hint="Convert again, or get the package again from where it came.")
