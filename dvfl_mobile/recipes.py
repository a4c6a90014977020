"""Recipes: in what numbers a model is stored and computed, by ai-edge-quantizer's names, and what each must reach.

A name decodes itself: `static_wi8_ai8` is static quantization, weights in 8-bit integers, activations in 8-bit
integers; `weight_only_wi4_afp32` has 4-bit weights and float32 activations. What one comes to on a target stands with
the target, in `targets`.

To add a recipe: an entry in this table, and its meaning with each target that carries it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Literal

from dvfl_mobile import targets
from dvfl_mobile.documents import Document
from dvfl_mobile.errors import UsageError
from dvfl_mobile.spelling import option
from dvfl_mobile.targets import Precision

Mode = Literal["float", "dynamic", "static", "weight_only", "palettized"]
Weights = Literal["float32", "float16", "int8", "int4", "lut4"]


class WeightRule(Document):
    """Which weights of a `.tflite` ai-edge-quantizer stores in fewer bits.

    Attributes:
        operator: of its `TFLOperationName`.
        bits: 16 is float16, fewer are integers by channel.
        is_dynamic: compute with them as integers; otherwise each is read through a dequantize.
    """

    operator: str
    bits: int
    is_dynamic: bool = False


class Recipe(Document):
    """How an artifact holds its numbers.

    Attributes:
        name: as on the command line and in the path of the artifact.
        aliases: other names that the command line takes.
        mode: `static` knows the scales of activations beforehand, by calibration; `dynamic` finds them on each run.
        weights: the type in which the weights of products and convolutions are stored.
        floats: the type of what isn't integer, where a target doesn't say another.
        least_ios: the oldest iOS whose Core ML has the operators that it takes.
        weight_rules: what ai-edge-quantizer does to the weights of a `.tflite`.
        min_sqnr_db, sqnr_reason: least SQNR of an artifact to its reference over all clips' logits, and why that much.
        half_sqnr_db, half_reason: the same where XNNPACK computed in half precision, sums included; None: it doesn't.
        min_top1, top1_reason: least share of clips whose top-1 is the reference's or a near tie, and why that many.
        rounds: what it rounds, in a sentence; of an operator's error, it explains this.
        least_db: an operator's error below this, to its signal, is too small to matter, whatever explains it.
    """

    name: str
    aliases: tuple[str, ...] = ()
    mode: Mode
    weights: Weights
    floats: Precision = "float32"
    least_ios: int = 16
    weight_rules: tuple[WeightRule, ...] = ()
    min_sqnr_db: float
    sqnr_reason: str
    half_sqnr_db: float | None = None
    half_reason: str = ""
    min_top1: float
    top1_reason: str
    rounds: str
    least_db: float

    @property
    def is_calibrated(self) -> bool:
        """Whether the scales of activations have to be found on real clips first."""
        return self.mode == "static"

    @property
    def rounds_activations(self) -> bool:
        """Whether activations are rounded to integers, so that a last bit can make another one."""
        return self.mode in ("static", "dynamic")

    @property
    def meaning(self) -> Mapping[str, str]:
        """What it comes to, by target; a target that isn't there has no such thing."""
        return {each.name: each.meanings[self.name].text for each in targets.every() if self.name in each.meanings}

    @property
    def instead(self) -> Mapping[str, tuple[str, str]]:
        """For each target that doesn't carry it, why not, and the recipe that would do."""
        return {each.name: each.refusal(self.name) for each in targets.every() if self.name not in each.meanings}

    def computes_in(self, target: str) -> Precision:
        """The type of what isn't integer in an artifact for a target."""
        known = targets.find(target)
        meaning = known.meanings.get(self.name) if known else None
        return (meaning.computes_in if meaning else None) or self.floats


_RECIPES = (
    Recipe(
        name="fp32",
        aliases=("float32",),
        mode="float",
        weights="float32",
        min_sqnr_db=110,
        sqnr_reason="A 24-bit significand rounds at about 144 dB; 34 dB are left for sums taken in another "
        "order through the depth. An approximated function or a wrong operator lands far below.",
        min_top1=1,
        top1_reason="The same arithmetic has to choose the same class on every clip.",
        rounds="float32 throughout",
        least_db=100,
    ),
    Recipe(
        name="fp16",
        aliases=("float16",),
        mode="float",
        weights="float16",
        weight_rules=(WeightRule(operator="ALL_SUPPORTED", bits=16),),
        min_sqnr_db=45,
        sqnr_reason="An 11-bit significand rounds at about 66 dB; 21 dB are left for the roundings that add up "
        "through the depth, as much as some 125 independent ones.",
        half_sqnr_db=36,
        half_reason="Sums are rounded at each of their terms too, which makes the noise of a product of n terms n/2 "
        "times as large: 24 dB with 512 of them, so that 42 dB are left of 66. Most are shorter; 6 dB are left for the "
        "depth.",
        min_top1=0.99,
        top1_reason="A rare clip's own error may exceed the average; more than one flip in a hundred that is "
        "no near tie is more than half precision explains.",
        rounds="weights in float16, arithmetic in float32",
        least_db=60,
    ),
    Recipe(
        name="weight_only_wf16_afp32",
        aliases=("w16",),
        mode="weight_only",
        weights="float16",
        weight_rules=(WeightRule(operator="ALL_SUPPORTED", bits=16),),
        min_sqnr_db=45,
        sqnr_reason="An 11-bit significand rounds weights at about 66 dB, and activations not at all; 21 dB are left "
        "for what adds up through the depth.",
        min_top1=0.99,
        top1_reason="As for fp16: more than one flip in a hundred that is no near tie is more than rounding explains.",
        rounds="weights in float16, arithmetic in float32",
        least_db=60,
    ),
    Recipe(
        name="dynamic_wi8_afp32",
        aliases=("dynamic",),
        mode="dynamic",
        weights="int8",
        weight_rules=(
            WeightRule(operator="FULLY_CONNECTED", bits=8, is_dynamic=True),
            WeightRule(operator="CONV_2D", bits=8, is_dynamic=True),
            WeightRule(operator="DEPTHWISE_CONV_2D", bits=8),
        ),
        min_sqnr_db=22,
        sqnr_reason="Eight bits round at about 40 dB in a token of ordinary shape; 18 dB are left for the "
        "roundings of weights and activations that add up through some fifty products.",
        min_top1=0.985,
        top1_reason="Scales follow each row, so that no clip meets a range that it wasn't made for: flips stay "
        "near ties.",
        rounds="int8 weights, activations in int8 by token",
        least_db=40,
    ),
    Recipe(
        name="static_wi8_ai8",
        aliases=("w8a8", "int8"),
        mode="static",
        weights="int8",
        least_ios=17,
        min_sqnr_db=20,
        sqnr_reason="Eight bits and one scale for all tokens leave about 36 dB at an edge; 16 dB are left for "
        "the hundred edges that add up through the depth. Below it, a tenth of the logits' size is noise.",
        min_top1=0.97,
        top1_reason="Three flips in a hundred that are no near tie cost more accuracy than int8 is worth.",
        rounds="known int8 weights; a step of the scale at each int8 value",
        least_db=30,
    ),
    Recipe(
        name="weight_only_wi8_afp32",
        aliases=("w8",),
        mode="weight_only",
        weights="int8",
        weight_rules=(WeightRule(operator="ALL_SUPPORTED", bits=8),),
        min_sqnr_db=26,
        sqnr_reason="Weights of eight bits round at about 40 dB by channel, and activations not at all; 14 dB "
        "are left for what adds up through the depth.",
        min_top1=0.985,
        top1_reason="As for dynamic quantization, with less to round.",
        rounds="int8 weights by channel, float arithmetic",
        least_db=40,
    ),
    Recipe(
        name="weight_only_wi4_afp32",
        aliases=("w4",),
        mode="weight_only",
        weights="int4",
        least_ios=18,
        weight_rules=(
            WeightRule(operator="ALL_SUPPORTED", bits=8),
            WeightRule(operator="FULLY_CONNECTED", bits=4),
        ),
        min_sqnr_db=7,
        sqnr_reason="Weights of four bits round at about 17 dB, and 10 dB are left for what adds up through the "
        "depth: such a network is another one, and only a test of its accuracy says whether it will do.",
        min_top1=0.85,
        top1_reason="Sixteen values for a weight change what near decisions come to; evaluate says what that costs.",
        rounds="int4 weights, float arithmetic",
        least_db=20,
    ),
    Recipe(
        name="palettized_wi4_afp16",
        aliases=("lut4",),
        mode="palettized",
        weights="lut4",
        floats="float16",
        least_ios=18,
        min_sqnr_db=10,
        sqnr_reason="Sixteen values placed by k-means round a weight at about 20 dB, 3 dB better than evenly "
        "spaced ones.",
        min_top1=0.95,
        top1_reason="As for four-bit weights, with values placed where the weights are.",
        rounds="16 values for a weight, float16 arithmetic",
        least_db=20,
    ),
    Recipe(
        name="auto",
        mode="static",
        weights="int8",
        least_ios=17,
        min_sqnr_db=20,
        sqnr_reason="Static int8, but for what costs most.",
        min_top1=0.97,
        top1_reason="As for static int8: what is kept in float only helps.",
        rounds="as static int8",
        least_db=30,
    ),
)

RECIPES: Mapping[str, Recipe] = MappingProxyType({recipe.name: recipe for recipe in _RECIPES})
ALIASES: Mapping[str, str] = MappingProxyType({alias: recipe.name for recipe in _RECIPES for alias in recipe.aliases})


def recipe_named(name: str) -> Recipe:
    """The recipe of that name, or alias.

    Raises:
        UsageError: there is none; the message lists those there are.
    """
    try:
        return RECIPES[ALIASES.get(name, name)]
    except KeyError:
        aliases = ", ".join(f"{alias} for {full}" for alias, full in ALIASES.items())
        raise UsageError(
            f"There is no recipe {name!r}.", hint=f"Choose one of: {', '.join(RECIPES)}; or {aliases}."
        ) from None


def check_carried(recipe: Recipe, names: Sequence[str]) -> None:
    """Refuse a pair of recipe and target that can't be, before any work.

    Args:
        names: of targets.

    Raises:
        UsageError: a target has no such numbers; the message says why, and which recipe would do.
    """
    for target in map(targets.target_named, names):
        if recipe.name not in target.meanings:
            why, other = target.refusal(recipe.name)
            raise UsageError(
                f"{recipe.name} can't be made for {target.name}: {why}.", hint=f"Use {option('recipe', other)} there."
            )
