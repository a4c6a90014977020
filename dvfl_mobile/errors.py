"""The exception hierarchy, with the exit code of each class.

::

    DvflMobileError                 1  a fault of ours
    ├── UsageError                  2  the command line can't be meant
    ├── InputError                  3  something that was given is not usable
    │   ├── CheckpointError            weights, or what came with them
    │   ├── VideoError                 a video, or a folder or list of them
    │   ├── LabelError                 a file of class names
    │   ├── ArtifactError              an artifact, or its manifest
    │   └── OutputError                where the result was to be written
    ├── MissingDependencyError      4  a package isn't installed (says which extra)
    │   ├── MissingDriverError         what reaches a processor isn't; no extra of ours brings it
    │   ├── MissingToolError           a program isn't, such as a compiler
    │   └── UnfitDependencyError       one is, and can't be used as it is
    ├── CheckFailedError            5  parity, delegation or accuracy below what was asked
    ├── DeviceError                 6  a device or the runtime on it
    └── InconclusiveError           7  the question could not be decided here

An interrupt (Ctrl-C) ends with 130. Anything else that escapes is a bug and ends with 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class DvflMobileError(Exception):
    """Something went wrong; `exit_code` says what kind of thing.

    Args:
        problem: names the input and what was wrong with it.
        hint: the next step for whoever reads it; empty where there is none.
    """

    exit_code = 1

    def __init__(self, problem: str, *, hint: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.problem}\n{self.hint}" if self.hint else self.problem


class UsageError(DvflMobileError):
    """The command line, or a call, asks for something that can't be meant."""

    exit_code = 2


class InputError(DvflMobileError):
    """Something that was given can't be used."""

    exit_code = 3


class CheckpointError(InputError):
    """Weights that can't be read, don't fit, or aren't safe to read."""


class VideoError(InputError):
    """A video, a folder of videos or a list of them that can't be used."""


class LabelError(InputError):
    """A file of class names that can't be used."""


class ArtifactError(InputError):
    """An artifact, or its manifest, that isn't whole or isn't what it says."""


class OutputError(InputError):
    """The place where the result was to be written can't take it."""


class MissingDependencyError(DvflMobileError):
    """A package that this step needs isn't installed.

    Args:
        package: what could not be imported.
        extra: the extra of dvfl-mobile that brings it.
    """

    exit_code = 4

    def __init__(self, package: str, *, extra: str, why: str = "") -> None:
        reason = f" ({why})" if why else ""
        super().__init__(
            f"{package} isn't installed, and this step needs it{reason}.",
            hint=f"Install it with: pip install 'dvfl-mobile[{extra}]'",
        )
        self.package = package
        self.extra = extra


class _WithoutExtraError(MissingDependencyError):
    def __init__(self, problem: str, *, hint: str) -> None:
        DvflMobileError.__init__(self, problem, hint=hint)
        self.package = self.extra = ""


class MissingDriverError(_WithoutExtraError):
    """A driver that this step needs isn't installed, and no package from PyPI brings it."""


class MissingToolError(_WithoutExtraError):
    """A program that this step needs isn't installed, and no extra of ours brings it by itself."""


class UnfitDependencyError(MissingDependencyError):
    """A package that is installed can't be used as it is: its licence isn't accepted, or it is of another release.

    Args:
        package: its name.
        extra: the extra of dvfl-mobile that brings a release that fits.
    """

    def __init__(self, problem: str, *, package: str, extra: str, hint: str) -> None:
        DvflMobileError.__init__(self, problem, hint=hint)
        self.package = package
        self.extra = extra


@contextmanager
def needs(package: str, *, extra: str, why: str = "") -> Iterator[None]:
    """Around an import, or a look at what is installed: what isn't there becomes the error that names its extra.

    Args:
        package, extra, why: see `MissingDependencyError`.

    Raises:
        MissingDependencyError: it can't be imported, or isn't installed.
    """
    try:
        yield
    except ImportError as error:  # importlib.metadata's PackageNotFoundError is one
        raise MissingDependencyError(package, extra=extra, why=why) from error


class CheckFailedError(DvflMobileError):
    """A check that was asked for found less than was asked for."""

    exit_code = 5


class DeviceError(DvflMobileError):
    """A device, or a runtime on it, did not do what it was asked."""

    exit_code = 6


class InconclusiveError(DvflMobileError):
    """The question could not be decided here; it is neither a pass nor a failure."""

    exit_code = 7
