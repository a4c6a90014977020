"""The deploy form: the reference form's function, written for phones.

Static shapes, one clip, tensors of at most four dimensions, nothing assigned in forward. Tokens are `(T,N,C)`,
N = H·W, or the same bytes as `(T,H,W,C)`, in one memory order throughout: the pictures that the spatial convolutions
see, `(T,C,H,W)`, and the lines in time that the temporal ones see, `(1,C,T,N)`, are these bytes too, channels last.
Layers in a row are attributes with names (`stage0.block0.modulation.focal1`) and not entries of a list, because
converters carry only the last word of each step of a path. What each layer becomes stands in `rewrites.py`; this
file only puts them together.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from dvfl_mobile.data.clips import ClipSpec
from dvfl_mobile.model import rewrites, toom_cook
from dvfl_mobile.model.network import Block, Mlp, PatchEmbed, SpatioTemporalFocalModulation, Stage, VideoFocalNet
from dvfl_mobile.targets import Normalizer, TemporalConvolution

SHRINK = 2.0**-4
"""What the tokens between the blocks, and the product of query and modulators, are multiplied by.

With it every value of the networks that were measured has room to grow 16 times in half precision, its square
included: docs/deploy-form.md. A power of two changes no digit of a float.
"""

SHRUNK = (
    "query.weight",
    "query.bias",
    "modulation.proj.bias",
    "fc2.weight",
    "fc2.bias",
    "norm.scale",
    "norm.shift",
    "downsample.proj.bias",
)
"""How the names of the parameters end that hold `SHRINK`, in networks whose blocks begin with their norms."""


class DeployForm(nn.Module):
    """One clip to its logits: `(T,3,H,W)` to `(1,num_classes)`.

    Args:
        network: the reference form. It is read, not changed, and no parameter is shared.
        clip: what the input holds; `pixels="raw"` takes 0-255 and folds the normalization in.
        normalizer: how means are computed and tokens laid out: `products`, `half_products` or `split_products` for
            ExecuTorch, `means` or `half_means` for LiteRT, `native` where the target has a layer norm.
        temporal: `toom-cook`: those temporal convolutions by Toom-Cook that are faster by it; `direct`: none.
    """

    def __init__(
        self,
        network: VideoFocalNet,
        clip: ClipSpec,
        normalizer: Normalizer = "products",
        temporal: TemporalConvolution = "direct",
    ) -> None:
        super().__init__()
        frames = network.architecture.token_frames
        with torch.no_grad():
            self.stem = Stem(network.patch_embed, clip, normalizer)
            side = self.stem.side
            self._stages = [f"stage{index}" for index in range(len(network.layers))]
            for name, stage in zip(self._stages, network.layers, strict=True):
                assert isinstance(stage, Stage)
                # Only the last stage's products reach sizes whose squares no power of two brings into half precision
                # together with those of its smallest tokens. It has the fewest tokens: to scale them costs next to
                # nothing.
                layers = _blocks(
                    stage.blocks, frames, side, normalizer, temporal, per_token_scaled=stage is network.layers[-1]
                )
                if stage.downsample is not None:
                    downsample = Downsample(stage.downsample, side, normalizer)
                    side = downsample.side
                    layers["downsample"] = downsample
                self.add_module(name, nn.Sequential(layers))
            self.head = Head(network.norm, network.head, normalizer)
        self.eval().requires_grad_(False)

    def forward(self, clip: Tensor) -> Tensor:
        tokens = self.stem(clip)
        for name in self._stages:
            tokens = getattr(self, name)(tokens)
        return self.head(tokens)


class Stem(nn.Module):
    """Pixels to tokens: `(T,3,H,W)` to `(T/t,N,C)`, t the tubelet size."""

    mean: Tensor | None

    def __init__(self, embed: PatchEmbed, clip: ClipSpec, normalizer: Normalizer) -> None:
        super().__init__()
        proj = embed.proj
        self.tubelet_size, self.normalizer = embed.tubelet_size, normalizer
        if isinstance(proj, nn.Conv3d):
            proj = rewrites.tubelet_as_conv2d(proj)
        assert isinstance(proj, nn.Conv2d)
        mean = None
        if clip.pixels == "raw":
            proj, mean = rewrites.fold_pixels(proj, clip.mean, clip.std)
        self.register_buffer("mean", mean)
        assert proj.bias is not None
        if isinstance(embed.norm, nn.LayerNorm):
            self.proj = rewrites.conv(proj.weight, proj.bias, proj.stride, proj.padding)
            self.norm: nn.Module = rewrites.LayerNorm(embed.norm, normalizer, gamma=SHRINK)
        else:
            shrunk = rewrites.fold_scale(SHRINK, proj.weight, proj.bias)
            self.proj = rewrites.conv(*shrunk, proj.stride, proj.padding)
            self.norm = nn.Identity()
        self.side = _conv_side(clip.size, proj)

    def forward(self, clip: Tensor) -> Tensor:
        pictures = clip
        if self.tubelet_size > 1:
            frames, channels, height, width = clip.shape
            pictures = clip.reshape(frames // self.tubelet_size, channels * self.tubelet_size, height, width)
        if self.mean is not None:
            pictures = pictures - self.mean
        return self.norm(_to_tokens(self.proj(pictures), self.normalizer))


class DeployBlock(nn.Module):
    """Focal modulation and a feed-forward network, each on a residual: `(T,N,C)` to the same, shrunk.

    Args:
        is_first: whether its tokens are those that a norm gave, all of one size.
        per_token_scaled: whether its norms scale each token to one size; not one of tokens that are of one size.
    """

    def __init__(
        self,
        block: Block,
        frames: int,
        side: int,
        normalizer: Normalizer,
        temporal: TemporalConvolution,
        *,
        is_first: bool,
        per_token_scaled: bool,
    ) -> None:
        super().__init__()
        post, gammas = block.use_postln, (block.gamma_1, block.gamma_2)
        before = (None, None) if post else (block.norm1, block.norm2)
        inner = (1.0, 1.0) if post else gammas

        def norm(replaced: nn.LayerNorm, gamma: Tensor | float) -> nn.Module:
            if not post:
                return nn.Identity()
            return rewrites.LayerNorm(replaced, normalizer, gamma * SHRINK, SHRINK, per_token_scaled=per_token_scaled)

        self.modulation = FocalModulation(
            block.modulation,
            before[0],
            inner[0],
            frames,
            side,
            normalizer,
            temporal,
            per_token_scaled=per_token_scaled and not is_first,
        )
        self.mlp = FeedForward(block.mlp, before[1], inner[1], normalizer, per_token_scaled=per_token_scaled)
        self.norm1 = norm(block.norm1, gammas[0])
        self.norm2 = norm(block.norm2, gammas[1])

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.norm1(self.modulation(tokens))
        return tokens + self.norm2(self.mlp(tokens))


class FocalModulation(nn.Module):
    """Spatio-temporal focal modulation of one clip: `(T,N,C)` to the same, shrunk.

    The query is shrunk, and with it its product with the modulators; the last projection passes that on.

    Query and contexts are three products and not one to be split, since XNNPACK copies what it splits and
    gains nothing from the wider product; the gates of both branches, a few columns each, are one product.

    Args:
        modulation: the layer that it replaces.
        norm: the layer norm before it, whose scale and shift are folded into the projections; None: none.
        gamma: layer scale after it, folded into the last projection.
        frames, side: T, and H = W, of the tokens.
        temporal: how the temporal convolutions are computed.
        per_token_scaled: whether the norm before it scales each token to one size.
    """

    def __init__(
        self,
        modulation: SpatioTemporalFocalModulation,
        norm: nn.LayerNorm | None,
        gamma: Tensor | float,
        frames: int,
        side: int,
        normalizer: Normalizer,
        temporal: TemporalConvolution,
        *,
        per_token_scaled: bool,
    ) -> None:
        super().__init__()
        dim, self.levels = modulation.dim, modulation.levels
        self.normalizer, places = normalizer, side * side
        self.standardize = _standardize(norm, dim, normalizer, per_token_scaled=per_token_scaled)
        spatial = _fold_norm(norm, modulation.f)
        in_time = _fold_norm(norm, modulation.f_temporal)
        self.query = rewrites.linear(*_shrunk(spatial[0][:dim], spatial[1][:dim]))
        self.context = rewrites.linear(spatial[0][dim : 2 * dim], spatial[1][dim : 2 * dim])
        self.context_temporal = rewrites.linear(in_time[0][:dim], in_time[1][:dim])
        gates = tuple(torch.cat((s[2 * dim :], t[dim:])) for s, t in zip(spatial, in_time, strict=True))
        self.gates = rewrites.linear(*gates)
        self._focal = self._add_layers("focal", map(_depthwise, _convolutions(modulation.focal_layers)))
        self._focal_temporal = self._add_layers(
            "focal_temporal",
            (_temporal(layer, frames, places, temporal) for layer in _convolutions(modulation.focal_layers_temporal)),
        )
        self.mean_temporal = rewrites.temporal_mean_as_conv2d(dim, frames)
        flat = _is_flat(normalizer)
        self._spatial = _Sight((frames, side, side), (frames, places) if flat else (frames, side, side), in_lines=False)
        self._temporal = _Sight((1, frames, places), (frames, places) if flat else (1, frames, places), in_lines=True)
        share = 1 / (self.levels + 1) if modulation.normalize_modulator else 1.0
        self.h = rewrites.linear(modulation.h.weight.flatten(1) * share, modulation.h.bias)
        self.h_temporal = rewrites.linear(modulation.h_temporal.weight.flatten(1) * share, modulation.h_temporal.bias)
        last = modulation.ln if isinstance(modulation.ln, nn.LayerNorm) else None
        # The product differs in size from token to token in every stage.
        self.standardize_out = _standardize(last, dim, normalizer, per_token_scaled=True)
        self.proj = rewrites.linear(*_shrunk(*rewrites.fold_scale(gamma, *_fold_norm(last, modulation.proj))))

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = self.standardize(tokens)
        gates = self.gates(tokens)
        modulator = self.h(self._gather_spatial(self.context(tokens), gates).reshape(tokens.shape))
        gathered = self._gather_temporal(self.context_temporal(tokens), gates)
        modulator_temporal = self.h_temporal(gathered.reshape(tokens.shape))
        return self.proj(self.standardize_out(self.query(tokens) * modulator * modulator_temporal))

    def _add_layers(self, name: str, layers: Iterable[nn.Module]) -> list[str]:
        names = []
        for index, layer in enumerate(layers):
            names.append(f"{name}{index}")
            self.add_module(names[-1], layer)
        return names

    def _gather_spatial(self, context: Tensor, gates: Tensor) -> Tensor:
        """Context over each picture."""
        sight = self._spatial
        total, context = self._gather(self._focal, sight, context, sight.tokens(gates), first=0)
        if _is_flat(self.normalizer):  # ExecuTorch gives XNNPACK means over the two sides of pictures, no others
            pooled = sight.from_pictures(sight.pictures(context).mean((2, 3), keepdim=True))
        else:
            pooled = context.mean(tuple(range(1, context.dim() - 1)), keepdim=True)
        return total + functional.gelu(pooled) * _gate(sight.tokens(gates), self.levels)

    def _gather_temporal(self, context: Tensor, gates: Tensor) -> Tensor:
        """Context over time at each place: convolutions see one picture of T rows and N columns."""
        sight, first = self._temporal, self.levels + 1
        total, context = self._gather(self._focal_temporal, sight, context, sight.tokens(gates), first)
        pooled = sight.from_pictures(self.mean_temporal(sight.pictures(context)))
        return total + functional.gelu(pooled) * _gate(sight.tokens(gates), first + self.levels)

    def _gather(
        self, names: list[str], sight: _Sight, context: Tensor, gates: Tensor, first: int
    ) -> tuple[Tensor, Tensor]:
        """The gated sum over the focal levels, and the context of the last level."""
        context, total = sight.tokens(context), None
        for level, name in enumerate(names, start=first):
            context = functional.gelu(sight.from_pictures(getattr(self, name)(sight.pictures(context))))
            gated = context * _gate(gates, level)
            total = gated if total is None else total + gated
        assert total is not None
        return total, context


@dataclass(frozen=True)
class _Sight:
    """How one branch sees the tokens, in whose memory nothing moves.

    Attributes:
        sides: (pictures, height, width) that a convolution sees: (T,H,W), or (1,T,N) for lines in time.
        shape: of the tokens without their channels: (T,N), or `sides` where tokens keep four dimensions.
        in_lines: whether rows are moments and columns places, or both are of pictures.
    """

    sides: tuple[int, int, int]
    shape: tuple[int, ...]
    in_lines: bool

    def tokens(self, tokens: Tensor) -> Tensor:
        """Tokens of any shape in this branch's own."""
        return tokens.reshape(*self.shape, tokens.shape[-1])

    def pictures(self, tokens: Tensor) -> Tensor:
        """What a convolution sees: `(pictures,C,height,width)`, channels last in memory."""
        return _to_pictures(tokens, *self.sides)

    def from_pictures(self, pictures: Tensor) -> Tensor:
        """What a convolution or a mean gave, as tokens; a side that it left at one stays at one."""
        laid = pictures.permute(0, 2, 3, 1)
        if len(self.shape) == 3:
            return laid
        count, height, width, channels = laid.shape
        return laid.reshape(*((height, width) if self.in_lines else (count, height * width)), channels)


class FeedForward(nn.Module):
    """Two linear layers with GELU between: `(T,N,C)` to the same, shrunk; norm and layer scale folded in."""

    def __init__(
        self,
        mlp: Mlp,
        norm: nn.LayerNorm | None,
        gamma: Tensor | float,
        normalizer: Normalizer,
        *,
        per_token_scaled: bool,
    ) -> None:
        super().__init__()
        self.standardize = _standardize(norm, mlp.fc1.in_features, normalizer, per_token_scaled=per_token_scaled)
        self.fc1 = rewrites.linear(*_fold_norm(norm, mlp.fc1))
        self.fc2 = rewrites.linear(*rewrites.fold_scale(gamma * SHRINK, mlp.fc2.weight, mlp.fc2.bias))

    def forward(self, tokens: Tensor) -> Tensor:
        return self.fc2(functional.gelu(self.fc1(self.standardize(tokens))))


class Downsample(nn.Module):
    """Tokens to those of the next stage: `(T,N,C)` to `(T,N/4,2C)`, both shrunk.

    Attributes:
        proj: a convolution over pictures, or `rewrites.PerTokenScaledPatches` over tokens in its place.
        is_over_patches: whether such can take its place.
    """

    def __init__(self, embed: PatchEmbed, side: int, normalizer: Normalizer) -> None:
        super().__init__()
        proj = embed.proj
        assert isinstance(proj, nn.Conv2d)
        assert isinstance(embed.norm, nn.LayerNorm)
        assert proj.bias is not None
        self.side_in, self.side, self.normalizer = side, _conv_side(side, proj), normalizer
        self.is_over_patches = rewrites.is_over_patches(proj, side)
        self.proj: nn.Module = rewrites.conv(proj.weight, proj.bias * SHRINK, proj.stride, proj.padding)
        self.norm = rewrites.LayerNorm(embed.norm, normalizer, SHRINK, SHRINK)

    def forward(self, tokens: Tensor) -> Tensor:
        if isinstance(self.proj, rewrites.PerTokenScaledPatches):
            return self.norm(self.proj(tokens))
        pictures = self.proj(_to_pictures(tokens, -1, self.side_in, self.side_in))
        return self.norm(_to_tokens(pictures, self.normalizer))


class Head(nn.Module):
    """Tokens to logits: `(T,N,C)` to `(1,num_classes)`."""

    def __init__(self, norm: nn.LayerNorm, head: nn.Linear, normalizer: Normalizer) -> None:
        super().__init__()
        self.standardize = _standardize(norm, head.in_features, normalizer, per_token_scaled=True)
        self.head = rewrites.linear(*_fold_norm(norm, head))

    def forward(self, tokens: Tensor) -> Tensor:
        frames, channels = tokens.shape[0], tokens.shape[-1]
        pictures = _to_pictures(self.standardize(tokens), 1, frames, tokens.shape[1:-1].numel())
        return self.head(pictures.mean((2, 3), keepdim=True).reshape(1, channels))


def _to_pictures(tokens: Tensor, pictures: int, height: int, width: int) -> Tensor:
    """`(T,N,C)` as `(pictures,C,height,width)`, channels last in memory: nothing moves."""
    return tokens.reshape(pictures, height, width, tokens.shape[-1]).permute(0, 3, 1, 2)


def _to_tokens(pictures: Tensor, normalizer: Normalizer) -> Tensor:
    """`(T,C,H,W)`, channels last in memory, as tokens: nothing moves."""
    frames, channels, height, width = pictures.shape
    laid = pictures.permute(0, 2, 3, 1)
    return laid.reshape(frames, height * width, channels) if _is_flat(normalizer) else laid


def _gate(gates: Tensor, column: int) -> Tensor:
    """One gate of each token: `(...,1)` of `(...,G)`."""
    return gates[..., column : column + 1]


def _is_flat(normalizer: Normalizer) -> bool:
    """Whether tokens are `(T,N,C)`, not `(T,H,W,C)`: the same bytes.

    At four dimensions ExecuTorch takes tokens for pictures and transposes them; with three, LiteRT copies them where
    they turn into pictures and are read again.
    """
    return normalizer in ("products", "half_products", "split_products")


def _standardize(
    norm: nn.LayerNorm | None, channels: int, normalizer: Normalizer, *, per_token_scaled: bool
) -> nn.Module:
    """What is left of a norm of shrunk tokens whose scale and shift were folded; nothing of none."""
    if norm is None:
        return nn.Identity()
    return rewrites.Standardize(channels, norm.eps, normalizer, SHRINK, per_token_scaled=per_token_scaled)


def _fold_norm(norm: nn.LayerNorm | None, layer: nn.Linear) -> tuple[Tensor, Tensor]:
    """Weight and bias of a linear layer that reads shrunk tokens, or their norm, whose scale and shift it takes in."""
    if norm is None:
        return layer.weight / SHRINK, layer.bias
    return rewrites.fold_affine(norm, layer.weight, layer.bias)


def _shrunk(weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Weight and bias of a linear layer, `(out,in)` and `(out,)`, whose result is to be shrunk."""
    return rewrites.fold_scale(SHRINK, weight, bias)


def _blocks(
    blocks: Iterable[Any],
    frames: int,
    side: int,
    normalizer: Normalizer,
    temporal: TemporalConvolution,
    *,
    per_token_scaled: bool,
) -> OrderedDict[str, nn.Module]:
    made = (
        DeployBlock(block, frames, side, normalizer, temporal, is_first=index == 0, per_token_scaled=per_token_scaled)
        for index, block in enumerate(blocks)
    )
    return OrderedDict((f"block{index}", block) for index, block in enumerate(made))


def _convolutions(focal_layers: Iterable[Any]) -> Iterable[Any]:
    # Each is a convolution and a GELU; forward applies the GELU.
    return (layer[0] for layer in focal_layers)


def _depthwise(layer: nn.Conv2d) -> nn.Conv2d:
    return rewrites.conv(layer.weight, None, padding=layer.padding, groups=layer.groups)


def _temporal(layer: nn.Conv1d, frames: int, places: int, temporal: TemporalConvolution) -> nn.Module:
    kernel = int(layer.kernel_size[0])
    if temporal == "toom-cook" and toom_cook.is_faster(layer.in_channels, kernel, frames, places):
        return toom_cook.ToomCookConvolution(layer)
    return rewrites.temporal_as_conv2d(layer)


def _conv_side(side: int, proj: nn.Conv2d) -> int:
    return (side + 2 * int(proj.padding[0]) - int(proj.kernel_size[0])) // int(proj.stride[0]) + 1
