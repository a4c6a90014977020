"""Assemble the zip: `pack.json`, the files, and as many whole clips as fit."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dvfl_mobile.artifacts.manifest import Manifest
from dvfl_mobile.data.clips import ClipSpec, prepare
from dvfl_mobile.errors import InputError
from dvfl_mobile.pack import archive, contents, stages
from dvfl_mobile.pack.contents import GoldenPicture, GoldenVideo, Pack, Statistics, Tolerances, Values
from dvfl_mobile.pack.judging.causes import input_values
from dvfl_mobile.pack.making import drawn
from dvfl_mobile.pack.making.golden import Golden
from dvfl_mobile.pack.results import Results
from dvfl_mobile.spelling import option
from dvfl_mobile.version import __version__

TEMPLATES = ("README.md", "Conformance.kt", "Conformance.swift")
SCHEMA_NAME = "results.schema.json"


@dataclass(frozen=True, eq=False)
class Expected:
    """Everything that goes into a pack.

    Attributes:
        reference_logits, artifact_logits: `(N,K)`; the artifact's are None where nothing here runs it.
        runner: what ran the artifact.
    """

    manifest: Manifest
    found: Sequence[Golden]
    reference_logits: NDArray[Any]
    artifact_logits: NDArray[Any] | None
    tolerances: Tolerances
    runner: Mapping[str, str | int | bool | None]


def assemble(expected: Expected) -> tuple[bytes, Pack]:
    """The zip with as many whole clips as leave it small enough, one at the least.

    Raises:
        InputError: not one fits.
    """
    found = expected.found
    size = len(_zipped(expected, whole=())[0])
    sizes = {one.name: archive.deflated_size(one.clip.tobytes()) for one in found}
    whole: list[str] = []
    for name, more in sizes.items():
        if size + more <= archive.MOST_BYTES:
            whole.append(name)
            size += more
    data, pack = _zipped(expected, whole)
    if not whole or len(data) > archive.MOST_BYTES:
        raise InputError(
            f"The pack takes {size + (0 if whole else min(sizes.values())):,} bytes; {archive.MOST_BYTES:,} are the "
            "most that one should check in.",
            hint=f"Name shorter or smaller videos with {option('clips')}, or a model with a smaller clip.",
        )
    return data, pack


def _zipped(expected: Expected, whole: Collection[str]) -> tuple[bytes, Pack]:
    files = _files(expected, whole)
    pack = _pack(expected, whole, files)
    return archive.pack_bytes({**files, contents.NAME: (pack.model_dump_json(indent=1) + "\n").encode()}), pack


def _files(expected: Expected, whole: Collection[str]) -> dict[str, bytes]:
    """Everything but `pack.json`."""
    folder = resources.files("dvfl_mobile.pack") / "templates"
    files = {name: (folder / name).read_bytes() for name in TEMPLATES}
    files[SCHEMA_NAME] = (json.dumps(Results.model_json_schema(), indent=1) + "\n").encode()
    for one in expected.found:
        files[_video_file(one)] = one.data
        files[_thumbnail_file(one)] = one.thumbnails.tobytes()
        if one.name in whole:
            files[_clip_file(one)] = one.clip.tobytes()
    return files


def _video_file(one: Golden) -> str:
    return f"videos/{one.name}.mp4"


def _thumbnail_file(one: Golden) -> str:
    return f"thumbnails/{one.name}.u8"


def _clip_file(one: Golden) -> str:
    return f"clips/{one.name}.u8"


def _pack(expected: Expected, whole: Collection[str], files: Mapping[str, bytes]) -> Pack:
    manifest, made = expected.manifest, expected.artifact_logits
    return Pack(
        tool_version=__version__,
        artifact=_artifact(manifest),
        clip=manifest.clip,
        grid=stages.GRID,
        stride=_stride(manifest.clip),
        tolerances=expected.tolerances,
        runner=dict(expected.runner),
        pictures=tuple(_picture(size, manifest.clip) for size in drawn.PICTURES),
        videos=tuple(
            _video(one, one.name in whole, row, None if made is None else made[index], manifest)
            for index, (one, row) in enumerate(zip(expected.found, expected.reference_logits, strict=True))
        ),
        members=archive.entries_of(files),
    )


def _video(
    one: Golden, is_whole: bool, expected: NDArray[Any], made: NDArray[Any] | None, manifest: Manifest
) -> GoldenVideo:
    spec = manifest.clip
    channels = np.broadcast_to(np.arange(3)[:, None, None], spec.shape)
    tensor = input_values(one.clip.astype(np.float64), channels, spec, manifest.inputs[0])
    return GoldenVideo(
        name=one.name,
        source=one.source,
        file=_video_file(one),
        width=one.width,
        height=one.height,
        stored_turn=one.stored_turn,
        is_even=one.is_even,
        frames=one.hashes,
        thumbnails=_thumbnail_file(one),
        indices=one.indices,
        pixels=_values(one.clip, spec),
        pixel_statistics=_statistics(one.clip),
        clip=_clip_file(one) if is_whole else None,
        tensor_statistics=_statistics(tensor),
        reference_logits=tuple(map(float, expected)),
        artifact_logits=None if made is None else tuple(map(float, made)),
    )


def _picture(size: drawn.PictureSize, spec: ClipSpec) -> GoldenPicture:
    pixels = prepare(drawn.formula_pictures(spec.frames, size.width, size.height), spec)
    return GoldenPicture(name=size.name, width=size.width, height=size.height, pixels=_values(pixels, spec))


def _values(pixels: NDArray[np.uint8], spec: ClipSpec) -> Values:
    samples = stages.sampled(pixels, _stride(spec))
    return Values(count=pixels.size, sha256=stages.sha256(pixels), samples=samples.tobytes().hex())


def _statistics(values: NDArray[Any]) -> Statistics:
    wide = values.astype(np.float64)
    return Statistics(minimum=wide.min(), maximum=wide.max(), mean=round(wide.mean(), 6), std=round(wide.std(), 6))


def _stride(spec: ClipSpec) -> int:
    return stages.sample_stride(int(np.prod(spec.shape)))


def _artifact(manifest: Manifest) -> contents.Artifact:
    return contents.Artifact(
        model=manifest.model,
        target=manifest.target,
        recipe=manifest.recipe,
        file=manifest.file,
        files=manifest.files,
        classes=manifest.classes,
        weights=manifest.weights.kind,
        minimum_os=manifest.minimum_os,
        input=manifest.inputs[0],
        output=manifest.outputs[0],
    )
