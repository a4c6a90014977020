"""`pack-results.json`: an app's results. It is untrusted, so every size in it is bounded."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from dvfl_mobile.documents import Document, Line
from dvfl_mobile.errors import InputError
from dvfl_mobile.pack.contents import (
    MOST_CLASSES,
    MOST_FRAMES,
    Count,
    Hex,
    Name,
    Pack,
    Sha256,
    Values,
    read_document,
)
from dvfl_mobile.spelling import option
from dvfl_mobile.wording import printable

MOST_BYTES = 16 * 2**20
_HINT = "Write it with the tests that are in the pack; results.schema.json there says how it looks."

ShortLine = Annotated[Line, Field(max_length=200)]
FloatHex = Annotated[str, Field(pattern="^(?:[0-9a-f]{8})*$", max_length=8 * MOST_CLASSES)]


class PictureResult(Document):
    """What the app's resize made of a formula picture."""

    name: Name
    pixels: Values | None


class ClipResult(Document):
    """What the app made of a clip of the pack, from its pixels on.

    Attributes:
        logits: hex of little-endian float32 values, which can be what JSON has no number for.
    """

    name: Name
    tensor: Values | None
    logits: FloatHex | None


class FrameResult(Document):
    """A frame that the app decoded, upright RGB; `thumbnail` as hex."""

    width: Count
    height: Count
    sha256: Sha256
    thumbnail: Hex


class VideoResult(Document):
    """What the app made of a video of the pack, from its file on."""

    name: Name
    frame_count: Count | None
    indices: Annotated[tuple[Annotated[int, Field(ge=-(2**31), le=2**31)], ...], Field(max_length=MOST_FRAMES)] | None
    frames: Annotated[tuple[FrameResult, ...], Field(max_length=MOST_FRAMES)] | None
    pixels: Values | None
    tensor: Values | None
    logits: FloatHex | None


class Results(Document):
    """Everything that an app says. A stage that is null wasn't given, and leaves the verdict open.

    Attributes:
        pack_sha256: of the `pack.json` that the app worked through.
        app, device: for people.
        model_sha256: of the model file that the app ran; null where it has no file of its own.
    """

    schema_version: Literal[1] = 1
    pack_sha256: Sha256
    app: ShortLine
    device: ShortLine
    model_sha256: Sha256 | None
    pictures: tuple[PictureResult, ...] = Field(max_length=64)
    clips: tuple[ClipResult, ...] = Field(max_length=64)
    videos: tuple[VideoResult, ...] = Field(max_length=64)

    @model_validator(mode="after")
    def _names_each_once(self) -> Results:
        for part in (self.pictures, self.clips, self.videos):
            again = [name for name, count in Counter(one.name for one in part).items() if count > 1]
            if again:
                raise ValueError(f"{again[0]} is there twice")
        return self


def read(path: Path) -> Results:
    """Read an app's results.

    Raises:
        InputError: there is no such file, it is too large, or it can't be understood.
    """
    if not path.is_file():
        raise InputError(f"{path} does not exist." if not path.exists() else f"{path} is no file.", hint=_HINT)
    if path.stat().st_size > MOST_BYTES:
        raise InputError(f"{path} is larger than any results: {path.stat().st_size:,} bytes.", hint=_HINT)
    return read_document(Results, path.read_bytes(), str(path), _HINT)


def check_belongs(results: Results, path: Path, pack: Pack, pack_sha256: str, pack_path: Path) -> None:
    """Check that results are of this pack, and name nothing that isn't in it.

    Raises:
        InputError: they don't.
    """
    if results.pack_sha256 != pack_sha256:
        raise InputError(
            f"{path} is of another pack than {pack_path}.",
            hint=f"Name the pack that the app's tests have, with {option('pack_path')}.",
        )
    known = (
        ({one.name for one in pack.pictures}, results.pictures),
        ({one.name for one in pack.videos if one.clip}, results.clips),
        ({one.name for one in pack.videos}, results.videos),
    )
    for names, found in known:
        strange = sorted({one.name for one in found} - names)
        if strange:
            raise InputError(f"{path} names {printable(strange[0])}, which isn't in {pack_path}.", hint=_HINT)
