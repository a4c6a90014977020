"""ClipSpec: how a video becomes the clip that a network eats, down to the pixel."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)


class ClipSpec(BaseModel):
    """What one clip is: `frames` RGB pictures, `(T,3,H,W)`, and how they were drawn from a video.

    Attributes:
        frames: T, pictures in a clip.
        size: H and W in pixels, after the crop.
        short_side: length in pixels of the shorter side after the resize, before the crop.
        frame_interval: as `frame_interval` of the official configuration; it only shifts the drawn frames.
        mean, std: per channel, in units of a pixel (0-255); normalized = (pixel - mean) / std.
        pixel_order: the order of the three channels.
        pixels: what the network's input holds: `raw` 0-255 values, or `normalized` ones.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    frames: int = Field(default=8, ge=1, le=1024)
    size: int = Field(default=224, ge=32, le=4096)
    short_side: int = Field(default=256, ge=32, le=8192)
    frame_interval: int = Field(default=4, ge=1, le=1024)
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    pixel_order: Literal["rgb"] = "rgb"
    pixels: Literal["raw", "normalized"] = "raw"

    @classmethod
    def official(cls, frames: int = 8, size: int = 224) -> ClipSpec:
        """The official validation pipeline's spec for a clip of `frames` pictures of `size` pixels."""
        return cls(frames=frames, size=size, short_side=int(256 / 224 * size))

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(T, 3, H, W)."""
        return (self.frames, 3, self.size, self.size)
