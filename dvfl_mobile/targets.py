"""The targets: what makes and runs each one's artifacts, what that needs, and what each recipe comes to there.

To add a target: an entry in this table, and a module that lowers to it and runs what it made. Plans, converters,
runners, `doctor` and the options' help read the table through the functions below, and keep no copy of it.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal

from dvfl_mobile.errors import UsageError
from dvfl_mobile.spelling import command, option

Normalizer = Literal["products", "half_products", "split_products", "means", "half_means", "native"]
"""How the deploy form computes layer norms: see `model.rewrites`."""
TemporalConvolution = Literal["direct", "toom-cook"]
"""How the deploy form computes the dense convolutions along time: `toom-cook` is for those that are faster by it; see
`model.toom_cook`."""
TokenScaling = Literal["written", "runtime"]
"""How an int8 linear layer is given tokens of one size: by operators in the graph around it, or by the runtime, which
quantizes each token by its own range as it comes and gives floats."""
Precision = Literal["float32", "float16"]

_FLOATS = "normalization, gates, residual sums and head stay float"
_EMULATOR = "Qualcomm's emulator: its numbers, and nothing of a device's"
_REFERENCE_EXECUTOR = "a reference executor: its numbers, and nothing of a device's"


@dataclass(frozen=True)
class Meaning:
    """What a recipe comes to on a target.

    Attributes:
        text: how numbers are stored and computed there; it goes into the manifest.
        computes_in: the type of what isn't integer; None: what the recipe's name says.
        normalizer: how the deploy form computes layer norms for it; None: as for all else on the target.
        temporal: how it computes temporal convolutions; `toom-cook` where a measurement and its error speak for it.
        min_sqnr_db, sqnr_reason: least SQNR there, and why that much; None: as everywhere.
    """

    text: str
    computes_in: Precision | None = None
    normalizer: Normalizer | None = None
    temporal: TemporalConvolution = "direct"
    min_sqnr_db: float | None = None
    sqnr_reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Target:
    """A kind of artifact.

    Attributes:
        name: as on the command line and in the path of the artifact; with the chip, where it is for one.
        title: what people call it.
        file: name of the artifact's file, or package.
        converter: the module that lowers to it: `lower`, as `converters.base.Converter` has it.
        runner: the module that runs it on this machine: `runners.base.Runtime`. It may be the converter.
        tracer: the module that gives every operator's value, `runners.tracing.Tracer`; None: they can't be watched.
        threaded: the module that opens it with a number of threads; None: its runtime chooses its own.
        packages: distributions that converting needs; the first is the one that people know it by.
        runtime_package: the distribution that runs it here; None: nothing beside our own.
        extra: the extra of dvfl-mobile that installs `packages`.
        purpose: what that extra is for, as `doctor` says it.
        systems: where something runs it, by `platform.system`; empty: everywhere.
        own_runtime_on: where its own runtime does; empty: everywhere. Elsewhere `run_by` does, and its times mean
            nothing.
        run_by: what runs it where its own runtime isn't, as `doctor` says it.
        compiles: whether its runtime writes a compiled copy into a temporary folder.
        minimum_os: the oldest systems that run the artifact.
        ios: the oldest iOS that one may choose with --minimum-ios; empty: there is no choice.
        normalizer: how the deploy form computes layer norms for it, but for recipes that have their own.
        token_scaling: how layers that are scaled per token are, in a statically quantized network.
        folds_weights: whether its converter takes quantized weights as integers, or as floats with the operators that
            quantize them.
        input_name, output_name: what the artifact calls them.
        undecided: why it is unknown here where its operators run; empty where it isn't.
        gpu_rules: whether the published rules of LiteRT's GPU delegate say what a GPU would take of it.
        licence: what the user has to accept before its packages may be used, by its name in `licences`; empty: nothing.
        socs: the chips that it can be compiled for; empty: one artifact is for all. An artifact is for one of them,
            and the name of its target ends in it: `qualcomm-SM8750`.
        soc: which of them is meant; None where there is no choice, or none was made yet.
        slowness: how many times the usual seconds its runs may take here, because an emulator does them.
        only_by_name: it isn't made unless it is asked for, and isn't in the extra `all`.
        meanings: what each recipe that it carries comes to.
        instead: for recipes that it doesn't carry, why not, and the one that would do.
    """

    name: str
    title: str
    file: str
    converter: str
    runner: str
    tracer: str | None = None
    threaded: str | None = None
    packages: tuple[str, ...] = ()
    runtime_package: str | None = None
    extra: str
    purpose: str
    systems: tuple[str, ...] = ()
    own_runtime_on: tuple[str, ...] = ()
    run_by: str = ""
    compiles: bool = False
    minimum_os: str
    ios: tuple[int, ...] = ()
    normalizer: Normalizer
    token_scaling: TokenScaling = "written"
    folds_weights: bool
    input_name: str = "clip"
    output_name: str = "logits"
    undecided: str = ""
    gpu_rules: bool = False
    licence: str = ""
    socs: tuple[str, ...] = ()
    soc: str | None = None
    slowness: float = 1.0
    only_by_name: bool = False
    meanings: Mapping[str, Meaning]
    instead: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def family(self) -> str:
        """Its name without the chip that it is for: `qualcomm` of `qualcomm-SM8750`."""
        return self.name.removesuffix(f"-{self.soc}")

    def is_executed_on(self, system: str) -> bool:
        """Whether a reference executor stands in for its own runtime on a system, as `platform.system` names it."""
        return bool(self.own_runtime_on) and system not in self.own_runtime_on

    def normalizer_of(self, recipe: str) -> Normalizer:
        """How the deploy form computes layer norms for one of its recipes."""
        meaning = self.meanings.get(recipe)
        return (meaning.normalizer if meaning else None) or self.normalizer

    def temporal_of(self, recipe: str) -> TemporalConvolution:
        """How the deploy form computes temporal convolutions for one of its recipes."""
        meaning = self.meanings.get(recipe)
        return meaning.temporal if meaning else "direct"

    def refusal(self, recipe: str) -> tuple[str, str]:
        """Why it doesn't carry a recipe, and which would do."""
        return self.instead.get(recipe, (f"no such numbers are made for {self.title}", next(iter(self.meanings))))


def every() -> tuple[Target, ...]:
    """All targets, in the order in which they are made and shown."""
    return tuple(TARGETS.values())


def find(name: str) -> Target | None:
    """The target of that name, which may end in a chip, as in `qualcomm-SM8750`; None where there is none."""
    known = TARGETS.get(name)
    if known is not None:
        return known
    family, _, soc = name.partition("-")
    known = TARGETS.get(family)
    return replace(known, name=name, soc=soc) if known is not None and soc in known.socs else None


def target_named(name: str) -> Target:
    """The target of that name.

    Raises:
        UsageError: there is none; the message lists those there are.
    """
    found = find(name)
    if found is None:
        family, _, soc = name.partition("-")
        if family in TARGETS and TARGETS[family].socs:
            raise _unknown_soc(TARGETS[family], soc)
        raise UsageError(f"There is no target {name!r}.", hint=f"Choose from: {', '.join(TARGETS)}.")
    return found


def for_soc(chosen: Sequence[Target], soc: str | None) -> list[Target]:
    """The same targets, each for the chip that its artifact has to be compiled for.

    Args:
        soc: None: none was named.

    Raises:
        UsageError: a chip has to be named and isn't, or is named for nothing that is compiled for one, or is unknown.
    """
    if soc is not None and not any(target.socs for target in chosen):
        names = ", ".join(target.name for target in every() if target.socs)
        raise UsageError(
            f"{option('soc', soc)} goes with a target that is compiled for one chip: {names}.",
            hint=f"Add {option('targets', names)}, or leave {option('soc')} out.",
        )
    return [_for_soc(target, soc) if target.socs else target for target in chosen]


def _for_soc(target: Target, soc: str | None) -> Target:
    if target.soc is not None and soc in (None, target.soc):
        return target
    if target.soc is not None:
        raise UsageError(f"{target.name} is for another chip than {soc}.", hint=f"Leave {option('soc')} out.")
    if soc is None:
        raise UsageError(
            f"An artifact for {target.name} is compiled for one chip, and none is named.",
            hint=f"Name it with {option('soc')}: {', '.join(target.socs)}.",
        )
    found = find(f"{target.name}-{soc.upper()}")
    if found is None:
        raise _unknown_soc(target, soc)
    return found


def _unknown_soc(target: Target, soc: str) -> UsageError:
    near = difflib.get_close_matches(soc.upper(), target.socs)
    return UsageError(
        f"{target.name} can't be compiled for {soc!r}.",
        hint=f"The nearest are {', '.join(near)}. See them all with: {command('doctor')}"
        if near
        else f"Choose from: {', '.join(target.socs)}.",
    )


def _static(
    text: str, computes_in: Precision | None = None, normalizer: Normalizer | None = None
) -> dict[str, Meaning]:
    """What both recipes with static scales come to; `text` has a place for what stays float."""
    return {
        "static_wi8_ai8": Meaning(text.format(floats=_FLOATS), computes_in, normalizer),
        "auto": Meaning(text.format(floats=f"{_FLOATS}, and so does what cost too much"), computes_in, normalizer),
    }


_FLOAT16_IN_CORE_ML = ("Core ML computes in float16 what it stores in float16", "fp16")
_NO_CORE_AI_WEIGHTS = ("coreai-torch quantizes nothing by itself, and takes only a graph with scales", "static_wi8_ai8")

_NO_HEXAGON_WEIGHTS = ("Hexagon has no product of float activations and smaller weights", "static_wi8_ai8")

_TARGETS = (
    Target(
        name="executorch",
        title="ExecuTorch",
        file="model.pte",
        converter="dvfl_mobile.converters.executorch",
        runner="dvfl_mobile.runners.executorch.runner",
        tracer="dvfl_mobile.runners.executorch.tracing",
        threaded="dvfl_mobile.runners.executorch.threads",
        packages=("executorch", "torch"),
        runtime_package="executorch",
        extra="executorch",
        purpose="convert to ExecuTorch, and run it",
        minimum_os="Android 6 (API 23), iOS 17",
        normalizer="products",
        token_scaling="runtime",
        folds_weights=True,
        meanings={
            "fp32": Meaning("float32 weights and arithmetic", temporal="toom-cook"),
            "fp16": Meaning(
                "float16 weights; float16 activations and arithmetic where the processor has it, float32 elsewhere",
                "float16",
                "half_products",
            ),
            "weight_only_wf16_afp32": Meaning(
                "float16 weights of products and convolutions, unpacked once at load; float32 arithmetic"
            ),
            "dynamic_wi8_afp32": Meaning(
                "int8 weights of linear layers by channel, their activations to int8 as they come, with a "
                "scale for each row; convolutions and the rest float32"
            ),
            **_static(
                "int8 weights by channel and int8 activations through XNNPACK, some token by token; {floats}: "
                "float16 where the processor has it, float32 elsewhere",
                "float16",
                "split_products",
            ),
        },
        instead={
            "weight_only_wi8_afp32": (
                "XNNPACK has no product of float activations and int8 weights",
                "dynamic_wi8_afp32",
            ),
            "weight_only_wi4_afp32": (
                "XNNPACK has no product of float activations and int4 weights",
                "dynamic_wi8_afp32",
            ),
            "palettized_wi4_afp16": ("XNNPACK has no weights in lookup tables", "dynamic_wi8_afp32"),
        },
    ),
    Target(
        name="coreml",
        title="Core ML",
        file="model.mlpackage",
        converter="dvfl_mobile.converters.coreml",
        runner="dvfl_mobile.runners.coreml.runner",
        tracer="dvfl_mobile.runners.coreml.tracing",
        packages=("coremltools", "torch"),
        runtime_package="coremltools",
        extra="coreml",
        purpose="convert to Core ML",
        own_runtime_on=("Darwin",),
        run_by=_REFERENCE_EXECUTOR,
        compiles=True,
        minimum_os="iOS 17",
        ios=(16, 17, 18),
        normalizer="native",
        folds_weights=True,
        undecided="Core ML decides on the device which of CPU, GPU and Neural Engine runs each operator.",
        meanings={
            "fp32": Meaning("float32 weights and arithmetic (compute_precision FLOAT32): never the Neural Engine"),
            "fp16": Meaning("float16 weights, activations and arithmetic (compute_precision FLOAT16)", "float16"),
            **_static("int8 weights by channel and int8 activations (W8A8); {floats}, in float16", "float16"),
            "weight_only_wi8_afp32": Meaning("int8 weights by channel, unpacked by Core ML; float32 arithmetic"),
            "weight_only_wi4_afp32": Meaning(
                "int4 weights in blocks of 32, unpacked by Core ML (iOS 18); float32 arithmetic"
            ),
            "palettized_wi4_afp16": Meaning(
                "weights as 4-bit places in tables of 16 values (k-means), a table for each 32 channels (iOS "
                "18); small weights float16; float16 arithmetic"
            ),
        },
        instead={
            "weight_only_wf16_afp32": _FLOAT16_IN_CORE_ML,
            "dynamic_wi8_afp32": ("Core ML has no dynamic quantization of activations", "weight_only_wi8_afp32"),
        },
    ),
    Target(
        name="tflite",
        title="TFLite",
        file="model.tflite",
        converter="dvfl_mobile.converters.tflite",
        runner="dvfl_mobile.runners.tflite.runner",
        tracer="dvfl_mobile.runners.tflite.tracing",
        threaded="dvfl_mobile.runners.tflite.threads",
        packages=("litert-torch", "ai-edge-litert", "ai-edge-quantizer", "torch"),
        runtime_package="ai-edge-litert",
        extra="tflite",
        purpose="convert to TFLite, and run it",
        minimum_os="Android 6 (API 23), iOS 12",
        normalizer="means",
        token_scaling="runtime",
        folds_weights=False,
        output_name="output_0",
        gpu_rules=True,
        meanings={
            "fp32": Meaning("float32 weights and arithmetic", temporal="toom-cook"),
            "fp16": Meaning(
                "float16 weights of products and convolutions; float16 arithmetic where the processor has it, float32 "
                "elsewhere",
                normalizer="half_means",
                temporal="toom-cook",
            ),
            "weight_only_wf16_afp32": Meaning(
                "float16 weights of products and convolutions; float32 arithmetic on the CPU"
            ),
            "dynamic_wi8_afp32": Meaning(
                "int8 weights by channel; activations of products to int8 as they come; the rest float32"
            ),
            **_static("int8 weights by channel, int8 activations, some token by token, and int8 input; {floats}"),
            "weight_only_wi8_afp32": Meaning("int8 weights by channel, unpacked once at load; float32 arithmetic"),
            "weight_only_wi4_afp32": Meaning(
                "int4 weights of linear layers by channel, unpacked on each run outside of XNNPACK; int8 weights "
                "of convolutions, unpacked once at load; float32 arithmetic"
            ),
        },
        instead={"palettized_wi4_afp16": ("LiteRT has no weights in lookup tables", "weight_only_wi4_afp32")},
    ),
    Target(
        name="executorch-coreml",
        title="Core ML in ExecuTorch",
        file="model.pte",
        converter="dvfl_mobile.converters.executorch_coreml",
        runner="dvfl_mobile.runners.executorch_coreml.runner",
        tracer="dvfl_mobile.runners.executorch_coreml.tracing",
        packages=("executorch", "coremltools", "torch"),
        runtime_package="coremltools",
        extra="executorch-coreml",
        purpose="convert to ExecuTorch programs whose work Core ML does",
        own_runtime_on=("Darwin",),
        run_by=f"{_REFERENCE_EXECUTOR}, on the package in the program",
        compiles=True,
        minimum_os="iOS 17",
        ios=(17, 18),
        normalizer="native",
        folds_weights=True,
        only_by_name=True,
        meanings={
            "fp32": Meaning("float32 weights and arithmetic (compute_precision FLOAT32): never the Neural Engine"),
            "fp16": Meaning("float16 weights, activations and arithmetic (compute_precision FLOAT16)", "float16"),
            **_static("int8 weights by channel and int8 activations (W8A8); {floats}, in float16", "float16"),
        },
        instead={
            "weight_only_wf16_afp32": _FLOAT16_IN_CORE_ML,
            **dict.fromkeys(
                ("dynamic_wi8_afp32", "weight_only_wi8_afp32", "weight_only_wi4_afp32", "palettized_wi4_afp16"),
                ("ExecuTorch's Core ML delegate is given float weights or a graph with scales", "static_wi8_ai8"),
            ),
        },
    ),
    Target(
        name="coreai",
        title="Core AI",
        file="model.aimodel",
        converter="dvfl_mobile.converters.coreai",
        runner="dvfl_mobile.runners.coreai",
        packages=("coreai-torch", "coreai-core", "torch"),
        runtime_package="coreai-core",
        extra="coreai",
        purpose="convert to Core AI, and run its numbers; Linux x86-64 and macOS 26",
        systems=("Darwin", "Linux"),
        own_runtime_on=("Darwin",),
        run_by=_REFERENCE_EXECUTOR,
        compiles=True,
        minimum_os="iOS 27, macOS 27",
        normalizer="native",
        folds_weights=True,
        undecided="Core AI decides on the device which of CPU, GPU and Neural Engine runs each operator.",
        only_by_name=True,
        meanings={
            "fp32": Meaning("float32 weights and arithmetic"),
            "fp16": Meaning("float16 weights, activations and arithmetic; layer norms in float32", "float16"),
            **_static("int8 weights by channel and int8 activations (W8A8); {floats}, in float32"),
        },
        instead={
            "weight_only_wf16_afp32": ("coreai-torch computes in float16 what it stores in float16", "fp16"),
            **dict.fromkeys(
                ("dynamic_wi8_afp32", "weight_only_wi8_afp32", "weight_only_wi4_afp32", "palettized_wi4_afp16"),
                _NO_CORE_AI_WEIGHTS,
            ),
        },
    ),
    Target(
        name="qualcomm",
        title="Qualcomm's NPU",
        file="model.tflite",
        converter="dvfl_mobile.converters.qualcomm",
        runner="dvfl_mobile.runners.qualcomm.runner",
        packages=("onnxruntime-qnn", "onnxruntime", "litert-torch", "ai-edge-litert", "torch"),
        runtime_package="onnxruntime-qnn",
        extra="qualcomm",
        purpose="compile for Qualcomm's NPU, and run its numbers; Linux x86-64",
        systems=("Linux",),
        own_runtime_on=("Android",),
        run_by=_EMULATOR,
        minimum_os="Android 9 (API 28)",
        normalizer="means",
        folds_weights=False,
        output_name="output_0",
        licence="qualcomm",
        # Those that LiteRT's compiler knows, but SM8350: its Hexagon has no GELU in half precision.
        socs=(
            "SM8450",
            "SM8475",
            "SM8550",
            "SM8650",
            "SM8750",
            "SM8845",
            "SM8850",
            "SA8255",
            "SA8295",
        ),
        slowness=20,
        only_by_name=True,
        meanings={
            "fp16": Meaning(
                "float16 weights, activations and arithmetic on Hexagon, between floats",
                "float16",
                min_sqnr_db=40,
                sqnr_reason="An 11-bit significand rounds at about 66 dB. Hexagon rounds every value on the way, in "
                "norms and activations too: 26 dB are left, as much as some 400 independent roundings, and the graph "
                "has about as many operators.",
            ),
            **_static(
                "int8 weights by channel, int8 activations and int8 input on Hexagon; {floats}, in float16", "float16"
            ),
        },
        instead={
            **dict.fromkeys(("fp32", "weight_only_wf16_afp32"), ("Hexagon computes floats in half precision", "fp16")),
            **dict.fromkeys(
                ("dynamic_wi8_afp32", "weight_only_wi8_afp32", "weight_only_wi4_afp32", "palettized_wi4_afp16"),
                _NO_HEXAGON_WEIGHTS,
            ),
        },
    ),
)

TARGETS: Mapping[str, Target] = MappingProxyType({target.name: target for target in _TARGETS})
