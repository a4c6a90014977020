"""`manifest.json`: what an artifact holds. Written last, so an artifact without it is incomplete."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, ValidationError

from dvfl_mobile.artifacts import packages
from dvfl_mobile.data.clips import ClipSpec
from dvfl_mobile.delegation import Delegation
from dvfl_mobile.documents import Document, Line
from dvfl_mobile.errors import ArtifactError
from dvfl_mobile.files import files_below, sha256_of, write_text
from dvfl_mobile.model.architecture import Architecture
from dvfl_mobile.model.ranges import Ranges
from dvfl_mobile.model.source import WeightSource
from dvfl_mobile.quantization.settings import Quantization
from dvfl_mobile.spelling import command, option
from dvfl_mobile.targets import TemporalConvolution
from dvfl_mobile.wording import first_problem

NAME = "manifest.json"
MOST_BYTES = 16 * 2**20
MOST_CLIP_BYTES = 256 * 2**20
_ABOVE = "../.."
_COPY_IT = "Copy the artifact's own files, or convert again."


class FileEntry(Document):
    """One file of the artifact; `path` is relative to the artifact's folder, with `/`."""

    path: str = Field(max_length=255)
    size_bytes: int = Field(ge=0)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class TensorEntry(Document):
    """An input or an output; `scale` and `zero_point` only where it is quantized."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float | None = None
    zero_point: int | None = None


class Metadata(Document):
    """What a phone needs of the manifest: it also goes into the artifact's file, in the format's own metadata."""

    schema_version: Literal[1] = 1
    model: str
    recipe: str
    classes: tuple[str, ...]
    clip: ClipSpec
    weights: str
    tool: str


class Manifest(Document):
    """Everything one has to know of an artifact to check, ship and reproduce it.

    Attributes:
        model: the name of the folder it stands in.
        weights: where its weights come from; `seeded` ones were never trained.
        reference: the reference form's weights, relative to the artifact's folder, for parity.
        minimum_os: the oldest systems that run it.
        temporal: whether those temporal convolutions that are faster by Toom-Cook are computed so.
        delegation: where its operators run.
        quantization: for recipes that were calibrated, how, on what, and every scale.
        ranges: how large the values of what was lowered became, on a few clips; None in those of before.
        tools: versions of everything that took part.
        command: the command line that made it.
    """

    schema_version: Literal[1] = 1
    model: str
    target: str
    recipe: str
    recipe_meaning: str
    file: str = Field(max_length=255)
    files: tuple[FileEntry, ...] = Field(max_length=packages.MOST_FILES)
    architecture: Architecture
    classes: tuple[str, ...]
    clip: ClipSpec
    inputs: tuple[TensorEntry, ...]
    outputs: tuple[TensorEntry, ...]
    weights: WeightSource
    reference: FileEntry
    minimum_os: str
    temporal: TemporalConvolution = "direct"
    delegation: Delegation
    quantization: Quantization | None = None
    ranges: Ranges | None = None
    tools: dict[str, str]
    command: str

    @property
    def size_bytes(self) -> int:
        """Bytes of the artifact's files, without manifest and reports."""
        return sum(entry.size_bytes for entry in self.files)


def entries(folder: Path, name: str) -> tuple[FileEntry, ...]:
    """An entry for the file `name` in `folder`, or for every file of the package of that name."""
    return tuple(entry_of(folder / file, file.as_posix()) for file in _names(folder, name))


def entry_of(file: Path, name: str) -> FileEntry:
    """An entry, under the name `name`, for a file."""
    return FileEntry(path=name, size_bytes=file.stat().st_size, sha256=sha256_of(file))


def write(manifest: Manifest, folder: Path) -> None:
    """Write the manifest; the artifact's files must stand already."""
    write_text(folder / NAME, manifest.model_dump_json(indent=2) + "\n")


def read(folder: Path) -> Manifest:
    """Read an artifact's manifest; its files are not looked at.

    Raises:
        ArtifactError: there is no artifact, or its manifest can't be understood.
    """
    path = folder / NAME
    if not folder.exists():
        raise ArtifactError(f"{folder} does not exist.", hint=f"Make an artifact with: {command('convert')}")
    if not folder.is_dir():
        raise ArtifactError(
            f"{folder} is a file; an artifact is a folder with a {NAME}.", hint="Name the folder that convert wrote."
        )
    if not path.is_file():
        raise ArtifactError(f"{folder} is no artifact: it holds no {NAME}.", hint=_what_to_name_instead(folder))
    if path.is_symlink():
        raise ArtifactError(f"{path} is a link; an artifact holds plain files only.", hint=_COPY_IT)
    try:
        document = json.loads(_bytes_of(path))
        _check_version(document, path)
        manifest = Manifest.model_validate(document)
    except (ValueError, RecursionError, ValidationError) as error:
        raise ArtifactError(f"{path} can't be understood: {_problem(error)}.", hint="Convert again.") from error
    if math.prod(manifest.clip.shape) > MOST_CLIP_BYTES:
        raise ArtifactError(f"{path} tells of clips of {manifest.clip.shape}; none is as large.", hint="Convert again.")
    return manifest


def verify(manifest: Manifest, folder: Path) -> None:
    """Check that the artifact's files are plain files in its folder, the very bytes that were written, and all.

    Raises:
        ArtifactError: a file is missing, changed, outside the folder, not listed, or no plain file.
    """
    about = folder / NAME
    package = packages.plain_path(folder, manifest.file, about)
    paths = [packages.plain_path(folder, entry.path, about) for entry in manifest.files]
    if len(set(paths)) < len(paths):
        raise ArtifactError(f"{about} lists a file twice.", hint="Convert again.")
    for path in paths:
        packages.check_file(path)
    if package.is_dir():
        packages.check_package(package, [path.relative_to(package) for path in paths if package in path.parents])
    if package not in paths and not any(package in path.parents for path in paths):
        raise ArtifactError(f"{package} isn't listed in the {NAME} beside it.", hint="Convert again.")
    for path, entry in zip(paths, manifest.files, strict=True):
        if path.stat().st_size != entry.size_bytes or sha256_of(path) != entry.sha256:
            raise ArtifactError(f"{path} isn't the file that was converted: its bytes changed.", hint="Convert again.")


def reference_path(manifest: Manifest, folder: Path) -> Path:
    """Where the reference form's weights lie: in the folder of the model, two above the artifact's.

    Raises:
        ArtifactError: the manifest names another place, or a link.
    """
    about = folder / NAME
    above, _, name = manifest.reference.path.rpartition("/")
    if above != _ABOVE:
        raise ArtifactError(
            f"{about} names a reference outside of {folder / _ABOVE}: {manifest.reference.path!r}.",
            hint=f"Name the checkpoint with {option('reference')}, or convert again.",
        )
    return packages.plain_path(folder / _ABOVE, name, about)


def _names(folder: Path, name: str) -> list[Path]:
    """The file `name`, or every file of the package of that name, relative to the folder."""
    path = folder / name
    return [Path(name) / file for file in files_below(path)] if path.is_dir() else [Path(name)]


def _check_version(document: object, path: Path) -> None:
    version = document.get("schema_version") if isinstance(document, dict) else None
    known = Manifest.model_fields["schema_version"].default
    if isinstance(version, int) and version > known:
        raise ArtifactError(
            f"{path} has schema_version {version}; this dvfl-mobile reads {known}.",
            hint="It comes from a newer dvfl-mobile: update, or convert again.",
        )


def _bytes_of(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise ArtifactError(f"{path} is larger than any manifest.", hint="Convert again.")
    return data


def _what_to_name_instead(folder: Path) -> str:
    found = sorted(path.parent for path in folder.glob(f"**/{NAME}"))[:6] if folder.is_dir() else []
    if found:
        return "Name one of these: " + ", ".join(map(str, found))
    return "Name the folder that convert wrote, such as out/nano/tflite/fp32."


def _problem(error: Exception) -> str:
    return first_problem(error) if isinstance(error, ValidationError) else "it isn't JSON"


class ArtifactFacts(Document):
    """Which artifact: `path` is its folder, `classes` the names of its K classes, where they are known."""

    model: Line
    target: str
    recipe: str
    path: Line
    classes: tuple[Line, ...] = ()

    @classmethod
    def of(cls, manifest: Manifest, folder: Path, classes: Sequence[str] | None = None) -> Self:
        """Those of the artifact in a folder; `classes` where it knows no names, and somebody else does."""
        return cls(
            model=manifest.model,
            target=manifest.target,
            recipe=manifest.recipe,
            path=str(folder),
            classes=manifest.classes if classes is None else tuple(classes),
        )

    @property
    def title(self) -> str:
        """`nano/tflite/fp16`."""
        return f"{self.model}/{self.target}/{self.recipe}"

    def class_name(self, index: int | None) -> str:
        """The name of a class, or its number where no name is known; `-` for None."""
        if index is None:
            return "-"
        return self.classes[index] if 0 <= index < len(self.classes) else f"class {index}"
