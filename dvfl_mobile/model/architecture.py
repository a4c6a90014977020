"""Architecture: every option of the official Video-FocalNet constructor. Free of torch."""

from __future__ import annotations

from pydantic import Field, model_validator

from dvfl_mobile.documents import Document

_VARIANTS = {
    "pico": ((1, 1, 2, 1), 32),
    "nano": ((1, 1, 2, 1), 96),
    "tiny": ((2, 2, 6, 2), 96),
    "small": ((2, 2, 18, 2), 96),
    "base": ((2, 2, 18, 2), 128),
}


class Architecture(Document):
    """Everything that fixes the reference form; names and defaults are the official constructor's.

    Attributes:
        embed_dim: channels of the first stage; each later stage doubles them.
        depths: blocks in each stage.
        num_classes: logits.
        num_frames: T, pictures in a clip, before tubelets join them.
        img_size: H and W of the input in pixels.
        focal_levels: depthwise convolutions a block stacks, by stage.
        focal_windows: kernel size of the first of them, by stage; each next is `focal_factor` larger. All are odd.
        tubelet_size: pictures that the patch embedding joins into one.
        layerscale_value: initial value only; a checkpoint's own values replace it.
        drop_rate, drop_path_rate: used in training only.
    """

    embed_dim: int = Field(default=96, ge=1, le=4096)
    depths: tuple[int, ...] = (1, 1, 2, 1)
    num_classes: int = Field(default=1000, ge=1, le=1_000_000)
    num_frames: int = Field(default=8, ge=1, le=1024)
    img_size: int = Field(default=224, ge=32, le=4096)
    patch_size: int = Field(default=4, ge=1, le=64)
    in_chans: int = Field(default=3, ge=1, le=64)
    mlp_ratio: float = Field(default=4.0, gt=0, le=64)
    patch_norm: bool = True
    focal_levels: tuple[int, ...] = (2, 2, 2, 2)
    focal_windows: tuple[int, ...] = (3, 3, 3, 3)
    focal_factor: int = Field(default=2, ge=0, le=16)
    use_conv_embed: bool = False
    use_layerscale: bool = False
    layerscale_value: float = 1e-4
    use_postln: bool = False
    use_postln_in_modulation: bool = False
    normalize_modulator: bool = False
    tubelet_size: int = Field(default=1, ge=1, le=64)
    drop_rate: float = Field(default=0.0, ge=0, lt=1)
    drop_path_rate: float = Field(default=0.1, ge=0, lt=1)

    @model_validator(mode="after")
    def _consistent(self) -> Architecture:
        stages = len(self.depths)
        if not 1 <= stages <= 8 or any(not 1 <= depth <= 256 for depth in self.depths):
            raise ValueError(f"depths must be 1 to 8 stages of 1 to 256 blocks, not {self.depths}")
        for name in ("focal_levels", "focal_windows"):
            values = getattr(self, name)
            if len(values) != stages or any(not 1 <= value <= 64 for value in values):
                raise ValueError(f"{name} must hold a value of 1 to 64 for each of {stages} stages, not {values}")
        if self.num_frames % self.tubelet_size:
            raise ValueError(f"{self.num_frames} frames can't be joined by tubelets of {self.tubelet_size}")
        if self.use_conv_embed and self.tubelet_size > 1:
            raise ValueError("use_conv_embed embeds single pictures: it can't go with tubelet_size > 1")
        if any(size % 2 == 0 for stage in range(stages) for size in self.kernel_sizes(stage)):
            # Padded by half its size, an even kernel would make a picture larger than its gates.
            raise ValueError(
                f"every focal kernel must be of odd size: focal_windows {self.focal_windows} growing by "
                f"focal_factor {self.focal_factor} make even ones"
            )
        return self

    @classmethod
    def variant(cls, name: str, num_classes: int = 1000, num_frames: int = 8) -> Architecture:
        """`nano`, `tiny`, `small` or `base`, as published, or our own `pico`: a nano of a third of the width."""
        depths, embed_dim = _VARIANTS[name]
        return cls(depths=depths, embed_dim=embed_dim, num_classes=num_classes, num_frames=num_frames)

    @property
    def name(self) -> str:
        """The variant's name, or one that spells an unpublished shape: `focalnet-16-1121`."""
        for name, shape in _VARIANTS.items():
            if shape == (self.depths, self.embed_dim):
                return name
        return f"focalnet-{self.embed_dim}-{'_'.join(map(str, self.depths))}"

    @property
    def token_frames(self) -> int:
        """Pictures in time after the patch embedding."""
        return self.num_frames // self.tubelet_size

    def channels(self, stage: int) -> int:
        """Channels of a stage's tokens."""
        return self.embed_dim * 2**stage

    def kernel_sizes(self, stage: int) -> tuple[int, ...]:
        """Kernel sizes of a stage's focal levels, finest first."""
        first = self.focal_windows[stage]
        return tuple(first + self.focal_factor * level for level in range(self.focal_levels[stage]))
