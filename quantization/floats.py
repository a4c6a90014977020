"""What stays float in a statically quantized network, and why. Free of torch, so that `inspect` can say it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from dvfl_mobile.spelling import option

_MOVES = """
_clone_dim_order cast choose_qparams clone constexpr_affine_dequantize dequantize dequantize_per_channel
dequantize_per_tensor expand expand_dims permute_copy quantize quantize_per_tensor reshape slice slice_by_index
slice_copy split squeeze squeeze_copy transpose unsqueeze_copy view_copy
"""
MOVES = frozenset(_MOVES.split())
"""Operators that compute nothing: they move, cut or convert."""


@dataclass(frozen=True)
class FloatPart:
    """A part of the network that stays float.

    Attributes:
        name: what reports call it.
        modules: pattern of the paths of its modules.
        reason: why int8 would cost more than it gains.
        is_product: whether its linear layers and convolutions stay float, which the quantizer leaves alone then.
        operators: which operators may be float there, by any target's name; empty: all.
        most: how many of them a module may have.
    """

    name: str
    modules: str
    reason: str
    is_product: bool = False
    operators: tuple[str, ...] = ()
    most: int | None = None


_CONTEXT = "A mean over many tokens is finer than any of them, and its few values are added to all tokens."
_NORM = "Squares double the range that int8 has to hold, and a root of their mean divides every token."
_TOKENS = "Brings tokens that differ in size by thousands to one size, so that int8 can hold them."
_TOKEN_OPERATORS = ("abs", "add", "mean", "mul", "reduce_mean", "rsqrt")

FLOAT_PARTS: tuple[FloatPart, ...] = (
    FloatPart(
        "stem",
        "stem.proj",
        "A two-hundredth of the work, and all that follows begins with its error.",
        is_product=True,
    ),
    FloatPart("gates", "*.gates", "Six columns; every context is multiplied by them.", is_product=True),
    FloatPart("global context", "*.mean_temporal", _CONTEXT, is_product=True),
    FloatPart("global context", "*.modulation", _CONTEXT, operators=("gelu",), most=2),
    FloatPart("global context", "*.modulation", _CONTEXT, operators=("mean", "reduce_mean")),
    FloatPart("normalization", "*.mean", f"{_NORM} Means, written as products with 1/C.", is_product=True),
    FloatPart("normalization", "*standardize*", _NORM),
    FloatPart("normalization", "*norm*", _NORM),
    FloatPart(
        "gated sums",
        "*.modulation",
        "Addends of different size and sign: rounded once, where the next product reads the sum.",
        operators=("add", "mul"),
    ),
    FloatPart("per-token scaling", "*.modulation.proj", _TOKENS, operators=_TOKEN_OPERATORS),
    FloatPart("per-token scaling", "*.modulation.h*", _TOKENS, operators=_TOKEN_OPERATORS),
    FloatPart("per-token scaling", "*.downsample.proj", _TOKENS, operators=_TOKEN_OPERATORS),
    FloatPart(
        "residual sums",
        "stage*.block*",
        "The residual stream carries what no later layer restores.",
        operators=("add",),
    ),
    FloatPart("head", "head*", "A hundred-thousandth of the work, and its error is the logits' own.", is_product=True),
)


def float_part_of(module: str, operator: str, count: int, keep: Sequence[str] = ()) -> FloatPart | None:
    """The part that float operators of a quantized artifact belong to; None: nobody asked for them to be float.

    Args:
        count: how many of one kind there are in the module.
        keep: patterns of modules that were kept float by request.
    """
    for pattern in keep:
        if fnmatchcase(module, pattern):
            return FloatPart("kept float", pattern, f"By request: {option('keep')}, or what auto chose.")
    for part in FLOAT_PARTS:
        fits = fnmatchcase(module, part.modules) and (not part.operators or operator in part.operators)
        if fits and (part.most is None or count <= part.most):
            return part
    return None
