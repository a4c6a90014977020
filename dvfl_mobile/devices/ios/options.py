"""The options of the harness's app on a phone: JSON, with the keys that the other programs' options have."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field

from dvfl_mobile.artifacts.manifest import FileEntry
from dvfl_mobile.documents import Document

ComputeUnits = Literal["all", "cpuOnly", "cpuAndGPU", "cpuAndNeuralEngine"]
COMPUTE_UNITS: tuple[ComputeUnits, ...] = get_args(ComputeUnits)
Count = Annotated[int, Field(ge=0)]


class SentFile(Document):
    """A file in the app's folder, as it was sent."""

    name: str
    bytes: Count
    sha256: str


class PackagedFile(Document):
    """A file of the model's package, and the sent file that it is."""

    path: str
    file: SentFile


class Package(Document):
    """The model's package, in pieces."""

    name: str
    files: tuple[PackagedFile, ...]


class Work(Document):
    """What to run, on what, and how often; `shape` is of a clip as the model takes it, `plan` asks for Core ML's."""

    model: Package
    input: SentFile
    shape: tuple[int, ...]
    classes: Count
    clips: Count
    warmup: Count
    runs: Count
    compute_units: ComputeUnits
    plan: bool


class AppOptions(Document):
    """The whole of the file."""

    version: Literal[1] = Field(default=1, serialization_alias="dvfl_mobile_options")
    mode: Literal["run", "time", "about", "remove"]
    work: Work | None = None

    def encoded(self) -> bytes:
        """The file, as the app reads it."""
        return self.model_dump_json(by_alias=True, exclude_none=True).encode("utf-8")


def sent(entry: FileEntry, name: str) -> SentFile:
    """A file of an artifact, under the name that it has in the app's folder."""
    return SentFile(name=name, bytes=entry.size_bytes, sha256=entry.sha256)
