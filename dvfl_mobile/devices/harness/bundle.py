"""A bundle: the native programs for one platform, and `bundle.json`, which lists them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from dvfl_mobile.devices.harness import protocol
from dvfl_mobile.devices.harness.native import NATIVE
from dvfl_mobile.documents import Document
from dvfl_mobile.errors import DeviceError, InconclusiveError
from dvfl_mobile.files import sha256_of

NAME = "bundle.json"
RUNNER_VARIABLE = "DVFL_MOBILE_RUNNER"
SystemAbi = Literal["host", "linux-arm64"]

CHECK = "dvfl-mobile-check-arm"
"""The program of a bundle for Arm that tells whether an emulator gets int8 products right."""

LICENCES = "licences"
"""What stands in a file's `targets` where it is a licence of the others: it goes to no device."""

_FOLDER_ALONE = ("--inhibit-cache", "--library-path", ".")
"""To glibc's loader: libraries are those of the working directory, and no system's."""

_REBUILD = f"Build it again, or unset {RUNNER_VARIABLE} to have it built here."


class BundleFile(Document):
    """One file of a bundle; `targets` are those whose program needs it, or `LICENCES`."""

    name: str = Field(pattern=r"^[A-Za-z0-9_.+-]{1,120}$")
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    targets: tuple[str, ...]


class _Contents(Document):
    schema_version: Literal[1] = 1
    protocol: int
    preset: str
    compiler: str
    runtimes: dict[str, str]
    loader: str | None = None
    sources_sha256: str | None = None
    commit: str | None = None
    files: tuple[BundleFile, ...] = Field(max_length=64)


class Bundle:
    """A bundle whose files are found to be those that `bundle.json` lists.

    Attributes:
        sources_sha256: of what it was built from, as `harness.sources` has it; None where it was built by hand.
        starter: what stands before the name of a program of it to start it, in a folder with all files that the program
            needs: the loader among them, with its options, where the bundle brings a C library of its own; else
            nothing.

    Args:
        is_here: whether its files are; else the list alone is, of what lies elsewhere.

    Raises:
        DeviceError: it isn't there or isn't whole, or was built for another protocol.
    """

    def __init__(self, folder: Path, *, is_here: bool = True) -> None:
        self.folder = folder
        path = folder / NAME
        try:
            contents = _Contents.model_validate_json(path.read_bytes())
        except FileNotFoundError as error:
            raise DeviceError(f"{folder} holds no {NAME}: it is no built runner.", hint=_REBUILD) from error
        except (OSError, ValidationError) as error:
            raise DeviceError(f"{path} can't be understood.", hint=_REBUILD) from error
        if contents.protocol != protocol.VERSION:
            raise DeviceError(
                f"{folder} was built for protocol {contents.protocol}, and this dvfl-mobile speaks {protocol.VERSION}.",
                hint=_REBUILD,
            )
        for file in contents.files if is_here else ():
            if not (folder / file.name).is_file() or sha256_of(folder / file.name) != file.sha256:
                raise DeviceError(f"{folder / file.name} is missing, or isn't the file that was built.", hint=_REBUILD)
        self.preset, self.compiler, self.runtimes = contents.preset, contents.compiler, contents.runtimes
        self.sources_sha256 = contents.sources_sha256
        self.starter: tuple[str, ...] = () if contents.loader is None else (contents.loader, *_FOLDER_ALONE)
        self._files = contents.files

    def program(self, target: str) -> str:
        """The name of the program that runs a target's artifacts.

        Raises:
            InconclusiveError: there is none.
        """
        name = NATIVE[target].program if target in NATIVE else ""
        if not any(file.name == name for file in self.files(target)):
            raise InconclusiveError(
                f"No program in {self.folder} runs artifacts for {target}.",
                hint=f"Native programs exist for: {', '.join(NATIVE)}.",
            )
        return name

    def files(self, target: str) -> list[BundleFile]:
        """The files that a target's program needs, itself among them."""
        return [file for file in self._files if target in file.targets]

    def accelerators(self, target: str) -> list[str]:
        """The names of the libraries by which a target's program computes on a GPU.

        Raises:
            InconclusiveError: there are none.
        """
        found = [file.name for file in self.files(f"{target}-gpu")]
        if not found:
            raise InconclusiveError(
                f"No program in {self.folder} runs artifacts for {target} on a GPU.",
                hint="LiteRT's does, where its package for that system brings an accelerator for GPUs, which has to be "
                "one for that system's own C library.",
            )
        return found


def given_bundle() -> Bundle | None:
    """The bundle that the environment names, or None. Raises what `Bundle` does."""
    folder = os.environ.get(RUNNER_VARIABLE, "")
    return Bundle(Path(folder)) if folder else None
