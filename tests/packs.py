"""A stand-in for an app: it works through a pack as the Kotlin and the Swift test do, with or without a fault."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from dvfl_mobile.data.clips import prepare
from dvfl_mobile.data.video import drawn_indices, pictures, probe
from dvfl_mobile.pack import stages
from dvfl_mobile.pack.archive import OpenPack
from dvfl_mobile.pack.making.drawn import formula_pictures

Array = Any


@dataclass(frozen=True)
class App:
    """What an app does at each stage; replace one to plant a fault. None for a stage that it doesn't give.

    Attributes:
        logits: of a tensor `(T,3,S,S)` in whatever order the app has it.
    """

    pack: OpenPack
    logits: Callable[[Array], Array] | None
    choose: Callable[[Path], list[int]] | None = None
    stored: bool = False
    see: Callable[[Array], Array] = lambda frames: frames
    seek: Callable[[list[int]], list[int]] = list
    pixels: Callable[[Array], Array] | None = None
    tensor: Callable[[Array], Array] | None = lambda pixels: pixels.astype(np.float32)
    model_sha256: str | None = None

    def but(self, **changes: Any) -> App:
        """The same app with a fault."""
        return replace(self, **changes)

    def results(self, folder: Path) -> dict[str, Any]:
        """What the app's test writes."""
        contents = self.pack.contents
        return {
            "schema_version": 1,
            "pack_sha256": self.pack.sha256,
            "app": "a stand-in",
            "device": "none",
            "model_sha256": self.model_sha256,
            "pictures": [self._picture(one) for one in contents.pictures],
            "clips": [self._clip(one) for one in contents.videos if one.clip],
            "videos": [self._video(one, folder) for one in contents.videos],
        }

    def write(self, folder: Path) -> Path:
        path = folder / "pack-results.json"
        path.write_text(json.dumps(self.results(folder)))
        return path

    def _pixels(self, frames: Array) -> Array:
        return (self.pixels or (lambda given: prepare(given, self.pack.contents.clip)))(frames)

    def _picture(self, one: Any) -> dict[str, Any]:
        frames = formula_pictures(self.pack.contents.clip.frames, one.width, one.height)
        return {"name": one.name, "pixels": self._values(self._pixels(frames))}

    def _clip(self, one: Any) -> dict[str, Any]:
        return {"name": one.name, **self._from_pixels(self.pack.clip(one))}

    def _video(self, one: Any, folder: Path) -> dict[str, Any]:
        path = folder / f"{one.name}.mp4"
        path.write_bytes(self.pack.files[one.file])
        frames = list(pictures(path, upright=not self.stored))
        right = drawn_indices(probe(path), self.pack.contents.clip).tolist()
        indices = self.choose(path) if self.choose else right
        taken = self.see(np.stack([frames[index] for index in self.seek(indices)]))
        pixels = self._pixels(taken)
        return {
            "name": one.name,
            "frame_count": len(frames),
            "indices": indices,
            "frames": [_frame(frame) for frame in taken],
            "pixels": self._values(pixels),
            **self._from_pixels(pixels),
        }

    def _from_pixels(self, pixels: Array) -> dict[str, Any]:
        tensor = self.tensor(pixels) if self.tensor else None
        logits = self.logits(tensor) if self.logits and tensor is not None else None
        return {
            "tensor": None if tensor is None else self._values(tensor),
            "logits": None if logits is None else np.asarray(logits, "<f4").tobytes().hex(),
        }

    def _values(self, values: Array) -> dict[str, Any]:
        flat = np.ascontiguousarray(values).reshape(-1)
        samples = flat[:: self.pack.contents.stride]
        return {
            "count": flat.size,
            "sha256": hashlib.sha256(flat.tobytes()).hexdigest(),
            "samples": samples.tobytes().hex(),
        }


def _frame(picture: Array) -> dict[str, Any]:
    return {
        "width": picture.shape[1],
        "height": picture.shape[0],
        "sha256": hashlib.sha256(np.ascontiguousarray(picture).tobytes()).hexdigest(),
        "thumbnail": stages.thumbnail(picture).tobytes().hex(),
    }
