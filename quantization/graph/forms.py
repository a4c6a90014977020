"""The quantized form: a student, its quantization and the integers of its weights, ready for any target."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule

from dvfl_mobile.data.clips import ClipSpec
from dvfl_mobile.model.deploy import DeployForm
from dvfl_mobile.model.student import Student
from dvfl_mobile.quantization.calibrate.token_scaling import scale_per_token
from dvfl_mobile.quantization.graph import graphs
from dvfl_mobile.quantization.graph.edges import weight_scales
from dvfl_mobile.quantization.scales import WEIGHT_RANGE
from dvfl_mobile.quantization.settings import Quantization
from dvfl_mobile.targets import Normalizer, Target, TokenScaling

LAYOUT: Normalizer = "products"
"""The layout in which scales are found; names of edges and weights are the same in all."""


@dataclass(frozen=True)
class QuantizedForm:
    """A statically quantized model, or one whose recipe needs no scales of activations.

    Attributes:
        student: the float student, which parity and distillation compare with.
        settings: all that isn't weights.
        integers: int8 weights of the products, by the module's path.
        weight_scales: their scales by output channel, by the same.
        floats: every other parameter of the deploy form by name: biases, on the grid that int32 sums stand on, and
            what stays float.
    """

    student: Student
    settings: Quantization
    integers: Mapping[str, Tensor]
    weight_scales: Mapping[str, Tensor]
    floats: Mapping[str, Tensor]

    @property
    def clip(self) -> ClipSpec:
        """What its input holds: raw pixels."""
        return self.student.raw_clip

    @property
    def quantization(self) -> Quantization | None:
        """Its settings, if activations are quantized; None for recipes that need no scales."""
        return self.settings if self.settings.scales else None

    @property
    def warnings(self) -> tuple[str, ...]:
        """What whoever ships it must know of its scales."""
        return self.quantization.warnings if self.quantization is not None else ()

    def form(self, normalizer: Normalizer, token_scaling: TokenScaling = "written") -> DeployForm:
        """The deploy form in a target's layout, with this quantization's weights in it, rounded already."""
        form = deploy_form(self.student, self.settings.per_token_scaled, normalizer, token_scaling)
        mine = dict(form.named_parameters())
        with torch.no_grad():
            for path, integers in self.integers.items():
                scale = self.weight_scales[path].view(-1, *[1] * (integers.dim() - 1))
                mine[f"{path}.weight"].copy_(integers.float() * scale)
            for name, values in self.floats.items():
                # Means written as products with 1/C are in one layout only, and the same in each.
                if name in mine:
                    mine[name].copy_(values)
        return form

    def form_for(self, target: Target, recipe: str) -> DeployForm:
        """The deploy form as a target wants it for a recipe."""
        return self.form(target.normalizer_of(recipe), target.token_scaling)

    def graph(
        self,
        normalizer: Normalizer = LAYOUT,
        token_scaling: TokenScaling = "written",
        *,
        is_by_token_later: bool = False,
    ) -> GraphModule:
        """The fake-quantized graph: what every artifact of this form has to compute that scales tokens likewise.

        Args:
            is_by_token_later: of `graphs.rounded`.
        """
        return graphs.rounded(
            self.form(normalizer, token_scaling),
            self.clip.shape,
            self.settings.scales,
            self.settings.keep,
            self.weight_scales,
            by_token=self._scaled_by_runtime(token_scaling),
            is_by_token_later=is_by_token_later,
        )

    def to_lower(self, target: Target, recipe: str) -> GraphModule:
        """The graph with quantize and dequantize operators, as the target's converter takes it."""
        graph = self.graph(
            target.normalizer_of(recipe), target.token_scaling, is_by_token_later=not target.folds_weights
        )
        return graphs.converted(graph, fold=target.folds_weights)

    def by_token(self, scaling: TokenScaling) -> tuple[str, ...]:
        """The paths of the int8 products for which the runtime quantizes each token by its own range."""
        return tuple(path for path in self._scaled_by_runtime(scaling) if path in self.settings.products)

    def _scaled_by_runtime(self, scaling: TokenScaling) -> tuple[str, ...]:
        """The same with those that are kept float: what they read is no more of one size than what the others do."""
        return tuple(f"{path}.linear" for path in self.settings.per_token_scaled if scaling == "runtime")


def deploy_form(
    student: Student,
    per_token_scaled: Iterable[str],
    normalizer: Normalizer = LAYOUT,
    token_scaling: TokenScaling = "written",
) -> DeployForm:
    """The deploy form of a student, with per-token scaling in the linear layers at these paths."""
    form = student.form(normalizer)
    scale_per_token(form, tuple(per_token_scaled), normalizer, token_scaling)
    return form


def freeze(student: Student, settings: Quantization, parameters: Mapping[str, Tensor] | None = None) -> QuantizedForm:
    """Round the parameters of a deploy form once and for all.

    Biases are put on the grid of the int32 sums that they are added to (`scale of input · scale of weight`), where
    every runtime would put them by itself: so all of them, and the fake-quantized graph, add the same number.

    Args:
        parameters: of the deploy form in `LAYOUT`, per-token scaling in it, by name, trained on; None: as they were.
    """
    if parameters is None:
        parameters = dict(deploy_form(student, settings.per_token_scaled).named_parameters())
    integers: dict[str, Tensor] = {}
    by_channel: dict[str, Tensor] = {}
    floats = {name: values.detach().clone() for name, values in parameters.items()}
    for path, reads in settings.products.items():
        weight = floats.pop(f"{path}.weight")
        scale = weight_scales(weight)
        integers[path] = _integers(weight, scale)
        by_channel[path] = scale
        bias = floats.get(f"{path}.bias")
        if bias is not None:
            grid = scale.double() * settings.scales[reads].scale
            floats[f"{path}.bias"] = ((bias.double() / grid).round() * grid).float()
    return QuantizedForm(student, settings, integers, by_channel, floats)


def _integers(weight: Tensor, scale: Tensor) -> Tensor:
    least, most = WEIGHT_RANGE
    rows: Any = scale.view(-1, *[1] * (weight.dim() - 1))
    return (weight / rows).round().clamp(least, most).to(torch.int8)
