"""`pack.json`: the contents of a pack, with the expected result of every stage."""

from __future__ import annotations

import json
import math
from typing import Annotated, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, FiniteFloat, ValidationError, model_validator

from dvfl_mobile.artifacts.manifest import FileEntry, TensorEntry
from dvfl_mobile.data.clips import ClipSpec
from dvfl_mobile.documents import Document, Line
from dvfl_mobile.errors import InputError
from dvfl_mobile.spelling import command
from dvfl_mobile.wording import first_problem

NAME = "pack.json"
MOST_FRAMES = 1024
MOST_CLASSES = 4096
_MOST_VIDEOS = 32
_MOST_BYTES = 256 * 2**20

Model = TypeVar("Model", bound=Document)
Name = Annotated[str, Field(pattern="^[a-z0-9][a-z0-9_-]{0,63}$")]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Hex = Annotated[str, Field(pattern="^(?:[0-9a-f]{2})*$", max_length=200_000)]
Count = Annotated[int, Field(ge=0, le=2**31)]
Logits = Annotated[tuple[FiniteFloat, ...], Field(min_length=1, max_length=MOST_CLASSES)]


class Values(Document):
    """An array: how many values, the SHA-256 of all its bytes, and every `stride`-th value in hex.

    Of uint8 arrays a sample is one byte, of floats the four of a little-endian float32.
    """

    count: Count
    sha256: Sha256
    samples: Hex

    def bytes_sampled(self) -> NDArray[np.float64]:
        """The samples of a uint8 array."""
        return np.frombuffer(bytes.fromhex(self.samples), np.uint8).astype(np.float64)

    def floats_sampled(self) -> NDArray[np.float64]:
        """The samples of a float32 array; not a number and infinite where the app's are."""
        return floats_of(self.samples)


class Statistics(Document):
    """Of all values of an array."""

    minimum: float
    maximum: float
    mean: float
    std: float


class Artifact(Document):
    """What the manifest says of the artifact that the pack was made for."""

    model: Line
    target: str
    recipe: str
    file: str
    files: tuple[FileEntry, ...]
    classes: tuple[Line, ...] = Field(min_length=1, max_length=MOST_CLASSES)
    weights: Literal["checkpoint", "seeded"]
    minimum_os: str
    input: TensorEntry
    output: TensorEntry


class Tolerances(Document):
    """How far an app may be off, at each stage that isn't held to the bit.

    Attributes:
        frame_levels: mean difference of the thumbnails of a decoded frame, in levels of 255.
        picture_levels: of the samples of a resized and cropped picture that came to the app as bytes.
        pixel_levels: of those of a clip that the app decoded itself.
        tensor: largest difference of a tensor's samples, in steps of one level of a pixel.
        video_sqnr_db: least SQNR of the logits of videos, where an app's own decoder made the pixels.
        video_sqnr_reason: where that figure is from.
    """

    frame_levels: FiniteFloat = 4.0
    picture_levels: FiniteFloat = 1.0
    pixel_levels: FiniteFloat = 4.0
    tensor: FiniteFloat = 0.01
    video_sqnr_db: FiniteFloat
    video_sqnr_reason: str


class GoldenPicture(Document):
    """A picture by the formula, one of each frame, and what resizing and cropping must make of them."""

    name: Name
    width: int = Field(ge=16, le=4096)
    height: int = Field(ge=16, le=4096)
    pixels: Values


class GoldenVideo(Document):
    """A video, and what each stage must make of it.

    Attributes:
        source: where it is from, for people.
        width, height: of its frames, upright.
        stored_turn: how its frames are stored, as one of `turns.TURNS` of the upright ones.
        is_even: whether its frames come at even times.
        frames: the SHA-256 of each decoded frame, upright RGB.
        thumbnails: the file of the frames' thumbnails, 768 bytes each.
        clip: the file of the clip's pixels, whole; None where it didn't fit.
        tensor: what the artifact's input holds of this clip.
        reference_logits: PyTorch's; `artifact_logits`: the artifact's where it was made, None where it can't run.
    """

    name: Name
    source: Line
    file: str
    width: int = Field(ge=16, le=16384)
    height: int = Field(ge=16, le=16384)
    stored_turn: str
    is_even: bool
    frames: tuple[Sha256, ...] = Field(min_length=1, max_length=MOST_FRAMES)
    thumbnails: str
    indices: tuple[int, ...] = Field(min_length=1, max_length=MOST_FRAMES)
    pixels: Values
    pixel_statistics: Statistics
    clip: str | None
    tensor_statistics: Statistics
    reference_logits: Logits
    artifact_logits: Logits | None

    @model_validator(mode="after")
    def _draws_its_own_frames(self) -> GoldenVideo:
        if not all(0 <= index < len(self.frames) for index in self.indices):
            raise ValueError("an index beyond the last frame")
        return self


class Pack(Document):
    """Everything that a pack says.

    Attributes:
        grid: thumbnails have so many blocks a side.
        stride: every `stride`-th value of pixels and tensors is sampled, from the first.
        runner: what ran the artifact for `artifact_logits`; empty where nothing could.
        members: every other file of the pack.
    """

    schema_version: Literal[1] = 1
    tool_version: str
    artifact: Artifact
    clip: ClipSpec
    grid: int = Field(ge=2, le=64)
    stride: int = Field(ge=1)
    tolerances: Tolerances
    runner: dict[str, Line | int | bool | None]
    pictures: tuple[GoldenPicture, ...] = Field(min_length=1, max_length=_MOST_VIDEOS)
    videos: tuple[GoldenVideo, ...] = Field(min_length=1, max_length=_MOST_VIDEOS)
    members: tuple[FileEntry, ...] = Field(max_length=256)

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Pack:
        pictures = max(self.clip.frames * one.width * one.height * 3 for one in self.pictures)
        if max(math.prod(self.clip.shape), pictures) > _MOST_BYTES:
            raise ValueError("clips or pictures larger than any pack's")
        samples = -(-int(np.prod(self.clip.shape)) // self.stride)
        pixels = {one.name: one.pixels for one in self.pictures} | {one.name: one.pixels for one in self.videos}
        for name, values in pixels.items():
            if len(values.samples) != 2 * samples:
                raise ValueError(f"{name} has another number of samples than its stride gives")
        for video in self.videos:
            if {len(video.reference_logits), len(video.artifact_logits or video.reference_logits)} != {
                len(self.artifact.classes)
            }:
                raise ValueError(f"{video.name} has another number of logits than there are classes")
            if len(video.indices) != self.clip.frames:
                raise ValueError(f"{video.name} has another number of indices than the clip has frames")
        return self


def read(data: bytes, where: str) -> Pack:
    """Read `pack.json`.

    Raises:
        InputError: it can't be understood.
    """
    return read_document(Pack, data, where, f"Make the pack again with: {command('pack')}")


def read_document(kind: type[Model], data: bytes, where: str, hint: str) -> Model:
    """Read foreign JSON as what it has to be.

    Raises:
        InputError: it isn't that, or comes from a newer dvfl-mobile.
    """
    try:
        document = json.loads(data, parse_constant=_refuse_constant)
        version = document.get("schema_version") if isinstance(document, dict) else None
        if isinstance(version, int) and version > 1:
            raise InputError(
                f"{where} has schema_version {version}; this dvfl-mobile reads 1.",
                hint="It comes from a newer dvfl-mobile: update.",
            )
        return kind.model_validate(document)
    except ValidationError as error:
        raise InputError(f"{where} can't be understood: {first_problem(error)}.", hint=hint) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where} can't be understood: it isn't JSON.", hint=hint) from error


def floats_of(text: str) -> NDArray[np.float64]:
    """Hex of little-endian float32 values."""
    data = bytes.fromhex(text)
    return np.frombuffer(data[: len(data) // 4 * 4], "<f4").astype(np.float64)


def _refuse_constant(name: str) -> float:
    raise ValueError(name)
