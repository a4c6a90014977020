"""The reference form: Video-FocalNet as published, with the official state-dict keys.

Source: Wasim et al., "Video-FocalNets: Spatio-Temporal Focal Modulation for Video Action Recognition"
(ICCV 2023), of which DVFL-Net (arXiv 2507.12426) uses the nano as its student. Written for reading and for
training; `deploy.py` holds the same function written for phones.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dvfl_mobile.model.architecture import Architecture


class VideoFocalNet(nn.Module):
    """Clips to logits: `(B,T,3,H,W)` normalized floats to `(B,num_classes)`."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        stages = len(architecture.depths)
        total = sum(architecture.depths)
        rates = torch.linspace(0, architecture.drop_path_rate, total, device="cpu").split(list(architecture.depths))
        self.patch_embed = PatchEmbed(architecture, stage=-1)
        self.pos_drop = nn.Dropout(architecture.drop_rate)
        self.layers = nn.ModuleList(Stage(architecture, stage, rates[stage].tolist()) for stage in range(stages))
        self.norm = nn.LayerNorm(architecture.channels(stages - 1))
        self.head = nn.Linear(architecture.channels(stages - 1), architecture.num_classes)
        self.apply(_initialize)

    def forward(self, clips: Tensor) -> Tensor:
        """
        Args:
            clips: `(B,T,C,H,W)`, normalized pixels.

        Returns:
            Logits, `(B,num_classes)`.
        """
        tokens = self.pos_drop(self.patch_embed(clips))
        for stage in self.layers:
            tokens = stage(tokens)
        return self.head(self.norm(tokens).mean(dim=(1, 2, 3)))


class PatchEmbed(nn.Module):
    """Pictures, or a stage's tokens, to the tokens of the next stage.

    `stage` is the stage that it follows; -1 is the stem. The stem takes `(B,T,C,H,W)`, the others
    `(B,T,H,W,C)`; all return `(B,T,H,W,C)`.
    """

    def __init__(self, architecture: Architecture, stage: int) -> None:
        super().__init__()
        self.is_stem = stage < 0
        inputs = architecture.in_chans if self.is_stem else architecture.channels(stage)
        outputs = architecture.channels(stage + 1)
        self.tubelet_size = architecture.tubelet_size if self.is_stem else 1
        patch = architecture.patch_size if self.is_stem else 2
        if architecture.use_conv_embed:
            kernel, stride, padding = (7, 4, 2) if self.is_stem else (3, 2, 1)
            self.proj: nn.Module = nn.Conv2d(inputs, outputs, kernel, stride, padding)
        elif self.tubelet_size > 1:
            kernel_3d = (self.tubelet_size, patch, patch)
            self.proj = nn.Conv3d(inputs, outputs, kernel_3d, kernel_3d)
        else:
            self.proj = nn.Conv2d(inputs, outputs, patch, patch)
        has_norm = architecture.patch_norm or not self.is_stem
        self.norm: nn.Module = nn.LayerNorm(outputs) if has_norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        pictures = x if self.is_stem else x.permute(0, 1, 4, 2, 3)
        batch = pictures.shape[0]
        if self.tubelet_size > 1:
            tokens = self.proj(pictures.transpose(1, 2)).permute(0, 2, 3, 4, 1)
        else:
            tokens = self.proj(pictures.flatten(0, 1)).unflatten(0, (batch, -1)).permute(0, 1, 3, 4, 2)
        return self.norm(tokens)


class Stage(nn.Module):
    """Blocks at one resolution, and the patch embedding that leads to the next."""

    def __init__(self, architecture: Architecture, stage: int, drop_path: list[float]) -> None:
        super().__init__()
        is_last = stage == len(architecture.depths) - 1
        self.blocks = nn.ModuleList(Block(architecture, stage, rate) for rate in drop_path)
        self.downsample = None if is_last else PatchEmbed(architecture, stage)

    def forward(self, tokens: Tensor) -> Tensor:
        for block in self.blocks:
            tokens = block(tokens)
        return tokens if self.downsample is None else self.downsample(tokens)


class Block(nn.Module):
    """Focal modulation and a feed-forward network, each on a residual: `(B,T,H,W,C)` to the same."""

    def __init__(self, architecture: Architecture, stage: int, drop_path: float) -> None:
        super().__init__()
        dim = architecture.channels(stage)
        self.use_postln = architecture.use_postln
        self.norm1 = nn.LayerNorm(dim)
        self.modulation = SpatioTemporalFocalModulation(architecture, stage)
        self.drop_path = DropPath(drop_path)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, int(dim * architecture.mlp_ratio), architecture.drop_rate)
        self.gamma_1: nn.Parameter | float = 1.0
        self.gamma_2: nn.Parameter | float = 1.0
        if architecture.use_layerscale:
            self.gamma_1 = nn.Parameter(torch.full((dim,), architecture.layerscale_value))
            self.gamma_2 = nn.Parameter(torch.full((dim,), architecture.layerscale_value))

    def forward(self, tokens: Tensor) -> Tensor:
        if self.use_postln:
            tokens = tokens + self.drop_path(self.gamma_1 * self.norm1(self.modulation(tokens)))
            return tokens + self.drop_path(self.gamma_2 * self.norm2(self.mlp(tokens)))
        tokens = tokens + self.drop_path(self.gamma_1 * self.modulation(self.norm1(tokens)))
        return tokens + self.drop_path(self.gamma_2 * self.mlp(self.norm2(tokens)))


class SpatioTemporalFocalModulation(nn.Module):
    """Spatio-temporal focal modulation: `(B,T,H,W,C)` to the same (Video-FocalNets, section 3.2).

    Each token's query is multiplied by two modulators: one gathers context over its picture by depthwise
    convolutions of growing size, one over its place in time by dense ones. Gates weigh the focal levels and
    the global context, token by token.
    """

    def __init__(self, architecture: Architecture, stage: int) -> None:
        super().__init__()
        dim = architecture.channels(stage)
        kernels = architecture.kernel_sizes(stage)
        self.dim, self.levels = dim, len(kernels)
        self.normalize_modulator = architecture.normalize_modulator
        gates = self.levels + 1
        self.f = nn.Linear(dim, 2 * dim + gates)
        self.h = nn.Conv2d(dim, dim, 1)
        self.act = nn.GELU()
        self.proj = nn.Linear(dim, dim)
        self.proj_drop = nn.Dropout(architecture.drop_rate)
        self.focal_layers = nn.ModuleList(
            nn.Sequential(nn.Conv2d(dim, dim, k, padding=k // 2, groups=dim, bias=False), nn.GELU()) for k in kernels
        )
        self.f_temporal = nn.Linear(dim, dim + gates)
        self.h_temporal = nn.Conv1d(dim, dim, 1)
        self.focal_layers_temporal = nn.ModuleList(
            nn.Sequential(nn.Conv1d(dim, dim, k, padding=k // 2, bias=False), nn.GELU()) for k in kernels
        )
        self.ln: nn.Module = nn.LayerNorm(dim) if architecture.use_postln_in_modulation else nn.Identity()

    def forward(self, tokens: Tensor) -> Tensor:
        query, modulator = self._spatial(tokens)
        out = self.ln(query * modulator * self._temporal(tokens))
        return self.proj_drop(self.proj(out))

    def _spatial(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        batch, frames = tokens.shape[:2]
        pictures = self.f(tokens).flatten(0, 1).permute(0, 3, 1, 2)
        query, context, gates = pictures.split((self.dim, self.dim, self.levels + 1), dim=1)
        modulator = self.h(self._gather(context, gates, self.focal_layers, dims=(2, 3)))
        return tuple(x.permute(0, 2, 3, 1).unflatten(0, (batch, frames)) for x in (query, modulator))

    def _temporal(self, tokens: Tensor) -> Tensor:
        batch, _, height, width, _ = tokens.shape
        lines = self.f_temporal(tokens).permute(0, 2, 3, 4, 1).flatten(0, 2)
        context, gates = lines.split((self.dim, self.levels + 1), dim=1)
        modulator = self.h_temporal(self._gather(context, gates, self.focal_layers_temporal, dims=(2,)))
        return modulator.unflatten(0, (batch, height, width)).permute(0, 4, 1, 2, 3)

    def _gather(self, context: Tensor, gates: Tensor, layers: nn.ModuleList, dims: tuple[int, ...]) -> Tensor:
        total = torch.zeros_like(context)
        for level, layer in enumerate(layers):
            context = layer(context)
            total = total + context * gates[:, level : level + 1]
        total = total + self.act(context.mean(dims, keepdim=True)) * gates[:, self.levels :]
        return total / (self.levels + 1) if self.normalize_modulator else total


class Mlp(nn.Module):
    """Two linear layers with GELU between: `(...,C)` to the same."""

    def __init__(self, dim: int, hidden: int, drop: float) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(hidden, dim)
        self.drop = nn.Dropout(drop)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.drop(self.fc2(self.drop(self.act(self.fc1(tokens)))))


class DropPath(nn.Module):
    """Stochastic depth: in training, leaves a picture's branch out with probability `rate`.

    The official code draws once per picture, `(B*T)`, not once per clip; so does this.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, tokens: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return tokens
        keep = 1 - self.rate
        return tokens * tokens.new_empty((*tokens.shape[:2], 1, 1, 1)).bernoulli_(keep) / keep


def _initialize(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
