"""Every target by every recipe, held to the same promises, on a small network."""

from __future__ import annotations

import hashlib
import json
import platform
import re
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dvfl_mobile.artifacts.manifest import Metadata, verify
from dvfl_mobile.data.clips import ClipSpec
from dvfl_mobile.documents import Verdict
from dvfl_mobile.metrics import sqnr_db
from dvfl_mobile.model.architecture import Architecture
from dvfl_mobile.model.checkpoint.load import load_checkpoint
from dvfl_mobile.model.default import seeded_student
from dvfl_mobile.parity.thresholds import thresholds_for
from dvfl_mobile.pipeline.check import check
from dvfl_mobile.pipeline.convert import convert
from dvfl_mobile.pipeline.plan import make_plan
from dvfl_mobile.quantization.graph.forms import deploy_form
from dvfl_mobile.quantization.graph.graphs import in_double, run_clips
from dvfl_mobile.recipes import RECIPES, recipe_named
from dvfl_mobile.report.contents import islands
from dvfl_mobile.runners.base import open_runner
from dvfl_mobile.runners.values import EXECUTOR_NOTE
from dvfl_mobile.targets import Normalizer, every, target_named
from dvfl_mobile.version import __version__
from tests.checkpoints import SMALL, TINY
from tests.conversions import Make, skip_without
from tests.quantized import drawn, small_form, small_student

# One that is compiled for one chip is held to most of these in `test_qualcomm`.
TARGETS = tuple(target.name for target in every() if not target.socs)
# `auto` is static int8 with something kept: one target shows that it is carried through. The next files begin with the
# first targets: meanwhile this one begins with the last, so that no process waits for another's conversions.
PAIRS = [
    (target, recipe.name)
    for target in reversed(TARGETS)
    for recipe in RECIPES.values()
    if target in recipe.meaning and (recipe.name != "auto" or target == "executorch")
]
ON_XNNPACK = ("executorch", "tflite")
ON_THE_DEVICE = ("coreml", "coreai")
BY_OUR_EXECUTOR = (*ON_THE_DEVICE, "executorch-coreml")
EACH = pytest.mark.parametrize(("target", "recipe"), PAIRS)
EACH_ON_XNNPACK = pytest.mark.parametrize(("target", "recipe"), [pair for pair in PAIRS if pair[0] in ON_XNNPACK])
EACH_ON_THE_DEVICE = pytest.mark.parametrize(("target", "recipe"), [pair for pair in PAIRS if pair[0] in ON_THE_DEVICE])
EACH_TARGET = pytest.mark.parametrize("target", TARGETS)
IN_HALF = [pair for pair in PAIRS if pair[1] in ("fp16", "weight_only_wf16_afp32")]


@EACH
def test_stands_where_its_names_say(made: Make, target: str, recipe: str) -> None:
    folder = made(target, recipe).artifact.folder
    assert folder.parts[-4:] == ("out", "focalnet-16-1_1_2_1", target, recipe)
    assert {path.name for path in folder.iterdir()} == {target_named(target).file, "manifest.json", "parity.json"}
    # Another process may be at work on another recipe.
    assert [path.name for path in folder.parent.glob(f".{recipe}.*.partial")] == []


@EACH
def test_manifest_lists_every_file_as_it_is(made: Make, target: str, recipe: str) -> None:
    found = made(target, recipe)
    manifest, folder = found.artifact.manifest, found.artifact.folder
    ours = {path for path in found.file.rglob("*") if path.is_file()} if found.file.is_dir() else {found.file}
    assert {folder / entry.path for entry in manifest.files} == ours
    for entry in manifest.files:
        data = (folder / entry.path).read_bytes()
        assert (entry.size_bytes, entry.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert manifest.size_bytes == sum(path.stat().st_size for path in ours)
    verify(manifest, folder)


@EACH
def test_manifest_says_what_was_made_of_what(made: Make, target: str, recipe: str) -> None:
    found = made(target, recipe)
    manifest, student = found.artifact.manifest, found.student
    assert json.loads((found.artifact.folder / "manifest.json").read_text())["schema_version"] == 1
    assert (manifest.model, manifest.target, manifest.recipe) == (student.architecture.name, target, recipe)
    assert manifest.recipe_meaning == target_named(target).meanings[recipe].text
    assert manifest.architecture == student.architecture
    assert manifest.classes == student.classes
    assert manifest.weights == student.source
    assert manifest.clip == ClipSpec.official(8, 64), "raw pixels, by the official rule"
    four_bits = target == "coreml" and recipe in ("weight_only_wi4_afp32", "palettized_wi4_afp16")
    oldest = "iOS 18" if four_bits else target_named(target).minimum_os
    assert manifest.minimum_os == oldest
    assert manifest.command == "dvfl-mobile convert --target 'a target'"
    assert manifest.tools.keys() == {"dvfl-mobile", "python", *target_named(target).packages}
    assert manifest.tools["dvfl-mobile"] == __version__
    assert manifest.tools["python"] == platform.python_version()


@EACH
def test_reference_stands_beside_it(made: Make, target: str, recipe: str) -> None:
    found = made(target, recipe)
    entry = found.artifact.manifest.reference
    assert not Path(entry.path).is_absolute()
    path = (found.artifact.folder / entry.path).resolve()
    assert path.parent == found.artifact.folder.parents[1].resolve()
    assert (path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest()) == (entry.size_bytes, entry.sha256)
    again = load_checkpoint(path)
    assert (again.architecture, again.classes, again.source) == (SMALL, found.student.classes, found.student.source)


@EACH
def test_classes_and_clip_are_inside_the_file(made: Make, target: str, recipe: str) -> None:
    found = made(target, recipe)
    manifest = found.artifact.manifest
    inside = Metadata.model_validate_json(METADATA_OF[target](found.file))
    assert (inside.classes, inside.clip) == (manifest.classes, manifest.clip)
    assert (inside.model, inside.recipe, inside.weights) == (manifest.model, recipe, "seeded")
    assert inside.tool == f"dvfl-mobile {__version__}"


@EACH
def test_inputs_and_outputs_are_those_of_the_file(made: Make, target: str, recipe: str) -> None:
    found = made(target, recipe)
    manifest = found.artifact.manifest
    declared = [(entry.name, entry.shape, entry.dtype) for entry in (*manifest.inputs, *manifest.outputs)]
    # LiteRT reads raw pixels as int8 where it computes in it; the others take floats and convert by themselves.
    reads_int8 = target == "tflite" or target.startswith("qualcomm")
    pixels = "int8" if reads_int8 and recipe == "static_wi8_ai8" else "float32"
    assert [(shape, dtype) for _, shape, dtype in declared] == [((8, 3, 64, 64), pixels), ((1, 5), "float32")]
    assert (manifest.inputs[0].scale, manifest.inputs[0].zero_point) == (
        (1.0, -128) if pixels == "int8" else (None, None)
    )
    inside = TENSORS_OF[target](found.file)
    # ExecuTorch knows inputs by place, not by name.
    by_place = target.startswith("executorch")
    assert inside == ([("", shape, dtype) for _, shape, dtype in declared] if by_place else declared)


@pytest.mark.parametrize(("target", "recipe"), IN_HALF)
def test_fp16_is_about_half_of_fp32(made: Make, target: str, recipe: str) -> None:
    whole, half = (made(target, each).artifact.manifest.size_bytes for each in ("fp32", recipe))
    # Graph, metadata, and what stays float32 take their share: a tenth, in so small a network.
    assert 0.5 < half / whole < 0.6


@EACH
def test_computes_what_pytorch_computes(made: Make, target: str, recipe: str) -> None:
    report = made(target, recipe).report
    assert report.verdict is Verdict.PASS, report.reasons
    assert report.pooled is not None
    assert report.pooled.sqnr_db is not None
    # XNNPACK computes ExecuTorch's halves in half wherever it runs: its bar is another, and no other artifact's is.
    bar = thresholds_for(recipe, target=target)
    in_half = bar.in_half() if (target, recipe) == ("executorch", "fp16") else bar
    assert report.pooled.sqnr_db >= in_half.min_sqnr_db
    # Four bits are too few for a network so small: its parity asks for less.
    assert report.pooled.clips == 8
    assert report.pooled.agreeing >= (8 if "wi4" not in recipe else 6)
    assert any("seeded" in note for note in report.notes), "whoever reads it must know that these were never trained"


def test_fp16_really_is_rounded(made: Make) -> None:
    # Were the weights float32 after all, this would be as close as fp32 is.
    for target, recipe in IN_HALF:
        pooled = made(target, recipe).report.pooled
        assert pooled is not None
        assert pooled.sqnr_db is not None
        assert pooled.sqnr_db < 80


@pytest.mark.skipif(platform.system() == "Darwin", reason="macOS has Apple's own runtimes")
@pytest.mark.parametrize(("target", "recipe"), [pair for pair in PAIRS if pair[0] in BY_OUR_EXECUTOR])
def test_apple_s_targets_are_never_passed_as_if_by_apple_s_kernels(made: Make, target: str, recipe: str) -> None:
    report = made(target, recipe).report
    assert report.runner["executor"] == "reference"
    assert EXECUTOR_NOTE in report.notes


@EACH
def test_the_report_lies_beside_the_file(made: Make, target: str, recipe: str) -> None:
    found = made(target, recipe)
    stored = json.loads((found.artifact.folder / "parity.json").read_text())
    assert stored == json.loads(found.report.model_dump_json())


@EACH_ON_XNNPACK
def test_xnnpack_takes_everything(made: Make, target: str, recipe: str) -> None:
    if recipe == "weight_only_wi4_afp32":
        pytest.skip("LiteRT unpacks int4 weights outside of XNNPACK, as the recipe says")
    delegation = made(target, recipe).artifact.manifest.delegation
    assert (delegation.delegate, delegation.share, delegation.undecided) == ("XNNPACK", 1.0, "")
    assert delegation.calls is not None
    assert 1 <= delegation.calls <= (1 if recipe == "static_wi8_ai8" else 8)
    assert [row for row in delegation.fallbacks if row.multiply_adds] == []
    assert delegation.outside == sum(row.count for row in delegation.fallbacks)
    # ExecuTorch's partitioner parts calls also where no operator lies between them.
    if target == "tflite" and delegation.calls > 1:
        assert delegation.outside, "something has to lie between two calls"


@EACH_ON_THE_DEVICE
def test_apple_s_targets_do_not_say_what_only_the_device_knows(made: Make, target: str, recipe: str) -> None:
    delegation = made(target, recipe).artifact.manifest.delegation
    assert (delegation.share, delegation.calls, delegation.fallbacks) == (None, None, ())
    assert "on the device" in delegation.undecided


@pytest.mark.parametrize("recipe", ["fp32", "fp16", "static_wi8_ai8"])
def test_core_ml_takes_a_program_of_executorch_whole(made: Make, recipe: str) -> None:
    delegation = made("executorch-coreml", recipe).artifact.manifest.delegation
    assert (delegation.delegate, delegation.share, delegation.calls, delegation.outside) == ("Core ML", 1.0, 1, 0)
    assert "on the device" in delegation.undecided, "what Core ML runs where"


@EACH
def test_multiply_adds_are_those_of_a_hand_count(made: Make, target: str, recipe: str) -> None:
    manifest = made(target, recipe).artifact.manifest
    expected = hand_count(SMALL, target_named(target).normalizer_of(recipe))
    assert manifest.delegation.multiply_adds == expected


@EACH
def test_operators_carry_the_deploy_form_s_modules(made: Make, target: str, recipe: str) -> None:
    found = made(target, recipe)
    manifest = found.artifact.manifest
    per_token_scaled = manifest.quantization.per_token_scaled if manifest.quantization else ()
    of = target_named(target)
    form = deploy_form(found.student, per_token_scaled, of.normalizer_of(recipe), of.token_scaling)
    paths = {name for name, _ in form.named_modules()}
    rows = manifest.delegation.rows
    assert {row.module for row in rows} <= paths
    with_work = {row.module for row in rows if row.multiply_adds}
    assert "" not in with_work, "work that belongs to no module"
    for path in ("stem.proj", "stage0.block0.modulation.focal_temporal1", "stage2.block1.mlp.fc2", "stage2.downsample"):
        assert any(module.startswith(path) for module in with_work), path
    assert any(module.startswith("head") for module in with_work)


@EACH_TARGET
def test_static_int8_is_int8_but_for_what_the_recipe_leaves_float(made: Make, target: str) -> None:
    manifest = made(target, "static_wi8_ai8").artifact.manifest
    asked, unasked = islands(manifest)
    assert unasked == []
    assert {part.name for part, _ in asked} >= {"gates", "normalization", "gated sums", "residual sums", "head"}
    share = manifest.delegation.int8_share
    assert share is not None
    # Gates and means are a few columns of few channels here, and means have eight on ExecuTorch.
    assert share > (0.9 if target_named(target).normalizer_of("static_wi8_ai8") == "split_products" else 0.95)
    assert manifest.quantization is not None
    assert manifest.quantization.scales == small_form().settings.scales, "one set of scales for all targets"


def test_runtimes_compute_what_the_fake_quantized_graph_computes(made: Make) -> None:
    """XNNPACK's; what they read token by token, the graph rounds token by token."""
    expected = run_clips(in_double(small_form().graph(token_scaling="runtime")), drawn(4, 7)).numpy()
    in_float32 = run_clips(small_form().graph(token_scaling="runtime"), drawn(4, 7)).double().numpy()
    in_float = run_clips(in_double(small_student().form("native")), drawn(4, 7)).numpy()
    for target in ON_XNNPACK:
        artifact = made(target, "static_wi8_ai8").artifact
        found = open_runner(artifact.folder, artifact.manifest).run(drawn(4, 7)).astype(np.float64)
        if recipe_named("static_wi8_ai8").computes_in(target) == "float16":
            # At 127 steps the last bit of half precision is a sixteenth of one: now and then a value rounds to the
            # next integer, which costs no more than rounding to integers does.
            assert sqnr_db(expected, found) >= sqnr_db(in_float, expected)
            continue
        # What float32 computes differently in its last bit rounds to the next integer now and then. How often is chance
        # on so small a network: on some processors PyTorch's own float32 keeps 33 dB of float64. Runtimes keep as much,
        # but for that chance: 3 dB.
        assert sqnr_db(expected, found) >= min(40, sqnr_db(expected, in_float32) - 3)


def test_int8_is_about_a_quarter_of_fp32(made: Make) -> None:
    for target in TARGETS:
        whole, small = (made(target, recipe).artifact.manifest.size_bytes for recipe in ("fp32", "static_wi8_ai8"))
        # Scales, graph and what stays float take their share of so small a network.
        assert 0.25 < small / whole < 0.45


@pytest.mark.parametrize(("recipe", "halves"), [("fp32", False), ("fp16", True)])
def test_coreml_computes_in_the_recipe_s_numbers(made: Make, recipe: str, halves: bool) -> None:
    from coremltools.proto import MIL_pb2

    operations = _coreml_operations(made("coreml", recipe).file)
    kinds = {output.type.tensorType.dataType for operation in operations for output in operation.outputs}
    assert (MIL_pb2.FLOAT16 in kinds) is halves
    computed = {
        output.type.tensorType.dataType
        for operation in operations
        for output in operation.outputs
        if operation.type in ("conv", "linear", "layer_norm", "gelu", "mul", "add", "reduce_mean")
    }
    assert computed == {MIL_pb2.FLOAT16 if halves else MIL_pb2.FLOAT32}


@pytest.mark.parametrize(("minimum_ios", "specification"), [(16, 7), (17, 8), (18, 9)])
def test_coreml_is_for_the_ios_that_was_asked_for(tmp_path: Path, minimum_ios: int, specification: int) -> None:
    skip_without("coreml")
    [artifact] = convert(seeded_student(TINY), make_plan(["coreml"], "fp32", tmp_path, minimum_ios))
    assert artifact.manifest.minimum_os == f"iOS {minimum_ios}"
    spec = _coreml_spec(artifact.folder / artifact.manifest.file)
    assert spec.specificationVersion == specification


@pytest.mark.parametrize(
    ("recipe", "number", "share"), [("fp32", "Float32", 0.999), ("fp16", "Float16", 0.999), ("w8a8", "Int8", 0.95)]
)
def test_core_ai_stores_and_computes_in_the_recipe_s_numbers(
    made: Make, recipe: str, number: str, share: float
) -> None:
    summary = _coreai_asset(made("coreai", recipe_named(recipe).name).file).summary()
    stored = dict(summary.storage_types)
    assert stored[number] > share * sum(stored.values())
    assert number in summary.compute_types
    assert ("Float16" in summary.compute_types) is (recipe == "fp16")


def test_core_ai_computes_the_fake_quantized_graph_but_for_sums_at_an_edge(made: Make) -> None:
    clips = np.concatenate([drawn(4, 0), drawn(4, 7)])
    expected = run_clips(in_double(small_form().graph()), clips).numpy()
    artifact = made("coreai", "static_wi8_ai8").artifact
    found = open_runner(artifact.folder, artifact.manifest).run(clips).astype(np.float64)
    # Its reference executor sums products in float32, as PyTorch's own float32 does: a last bit, the float stem's first
    # of all, makes another integer in every clip. The nearest has 42 dB, a wrong scale takes far more.
    assert sqnr_db(expected, found) >= 30
    assert max(map(sqnr_db, expected, found)) >= 40


def test_core_ai_is_for_the_systems_that_the_manifest_names(made: Make) -> None:
    found = made("coreai", "fp32")
    assert _coreai_asset(found.file).summary()._compatibility_version == "27.0"
    assert found.artifact.manifest.minimum_os == "iOS 27, macOS 27"


def test_core_ai_s_operators_are_those_in_the_file(made: Make) -> None:
    found = made("coreai", "fp32")
    inside = dict(_coreai_asset(found.file).summary().operation_distribution)
    counted: Counter[str] = Counter()
    for row in found.artifact.manifest.delegation.rows:
        counted[row.operator] += row.count
    # Layer norms are calls of functions, which hold operators of the other kinds.
    for operator in ("conv2d", "batch_matmul", "gelu", "transpose"):
        assert counted[operator] == inside[operator], operator
    assert counted["layer_norm"] == inside["invoke"]


def test_core_ai_s_file_holds_no_path_of_this_machine(made: Make) -> None:
    for file in made("coreai", "fp32").file.iterdir():
        data = file.read_bytes()
        assert b"deploy.py" not in data, file
        assert b"site-packages" not in data, file


ODD = {
    "overlapping patches, layer scale, post-LN": Architecture(
        embed_dim=16,
        depths=(1, 1),
        num_classes=5,
        img_size=64,
        focal_levels=(2, 1),
        focal_windows=(3, 5),
        use_conv_embed=True,
        use_layerscale=True,
        use_postln=True,
        use_postln_in_modulation=True,
    ),
    "tubelets, normalized modulator, no patch norm, odd sides": Architecture(
        embed_dim=16,
        depths=(1, 1),
        num_classes=5,
        img_size=68,
        focal_levels=(1, 2),
        focal_windows=(3, 3),
        tubelet_size=2,
        normalize_modulator=True,
        patch_norm=False,
    ),
}


@EACH_TARGET
@pytest.mark.parametrize("options", ODD)
def test_other_layouts_compute_what_pytorch_computes(tmp_path: Path, target: str, options: str) -> None:
    skip_without(target)
    [artifact] = convert(seeded_student(ODD[options]), make_plan([target], "fp32", tmp_path))
    report = check(artifact)
    assert report.verdict is Verdict.PASS, report.reasons
    assert report.pooled is not None
    assert report.pooled.sqnr_db is not None
    assert report.pooled.sqnr_db >= thresholds_for("fp32").min_sqnr_db
    delegation = artifact.manifest.delegation
    assert delegation.share == (None if target in ON_THE_DEVICE else 1.0)
    assert delegation.multiply_adds == hand_count(ODD[options], target_named(target).normalizer)


def hand_count(architecture: Architecture, normalizer: Normalizer) -> int:
    """Multiply-adds of one clip, from the network's definition.

    Each product or convolution costs its outputs times the values that make one of them; padding counts as if it
    were there. Where the two means of a layer norm are products, each costs what `_mean` says, and so does the third of
    a per-token scaled norm.
    """
    frames, classes = architecture.token_frames, architecture.num_classes
    stages = len(architecture.depths)
    overlaps = architecture.use_conv_embed
    patch = 7 if overlaps else architecture.patch_size
    side = (architecture.img_size + 4 - 7) // 4 + 1 if overlaps else architecture.img_size // architecture.patch_size
    tokens, dim = frames * side * side, architecture.channels(0)
    total = tokens * dim * architecture.in_chans * architecture.tubelet_size * patch**2
    total += 2 * tokens * _mean(dim, normalizer) if architecture.patch_norm else 0
    for stage in range(stages):
        total += architecture.depths[stage] * _block(architecture, stage, tokens, normalizer)
        total += _scaled_norms(architecture, stage) * tokens * _mean(dim, normalizer)
        if stage + 1 < stages:
            side = (side + 1) // 2 if overlaps else side // 2
            wider, kernel = architecture.channels(stage + 1), 9 if overlaps else 4
            tokens = frames * side * side
            total += tokens * (wider * dim * kernel + 2 * _mean(wider, normalizer))
            dim = wider
    return total + 3 * tokens * _mean(dim, normalizer) + dim * classes


def _mean(dim: int, normalizer: Normalizer) -> int:
    """Multiply-adds of the mean of a token: one for each value, or eight and their sum."""
    return {"products": dim, "split_products": 8 * dim + 8}.get(normalizer, 0)


def _scaled_norms(architecture: Architecture, stage: int) -> int:
    """Norms of a stage that are per-token scaled: those of products, and the last stage's, but for one that comes
    right behind the downsampling's.
    """
    depth = architecture.depths[stage]
    scaled = depth if architecture.use_postln_in_modulation else 0
    if stage + 1 == len(architecture.depths):
        scaled += 2 * depth if architecture.use_postln else 2 * depth - 1
    return scaled


def _block(architecture: Architecture, stage: int, tokens: int, normalizer: Normalizer) -> int:
    dim, kernels = architecture.channels(stage), architecture.kernel_sizes(stage)
    gates = len(kernels) + 1
    products = dim * (2 * dim + gates) + dim * (dim + gates)  # f and f_temporal
    products += 2 * dim * dim + dim * dim  # h and h_temporal; proj
    products += 2 * dim * int(dim * architecture.mlp_ratio)  # fc1 and fc2
    spatial = sum(dim * k * k for k in kernels)  # depthwise
    temporal = sum(dim * dim * k for k in kernels) + dim  # dense; and the mean over time, which is a convolution
    norms = 3 if architecture.use_postln_in_modulation else 2
    return tokens * (products + spatial + temporal + norms * 2 * _mean(dim, normalizer))


def _executorch_metadata(path: Path) -> str:
    from executorch.runtime import Runtime

    from dvfl_mobile.converters.edge import METADATA_METHOD

    return str(Runtime.get().load_program(path).load_method(METADATA_METHOD).execute([])[0])


def _tflite_metadata(path: Path) -> str:
    from dvfl_mobile.converters.tflite import METADATA_FILE

    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == [METADATA_FILE]
        return archive.read(METADATA_FILE).decode()


def _coreml_metadata(path: Path) -> str:
    from dvfl_mobile.converters.coreml import METADATA_PREFIX

    entries = dict(_coreml_spec(path).description.metadata.userDefined)
    ours = {key: json.loads(value) for key, value in entries.items() if key.startswith(METADATA_PREFIX)}
    return json.dumps({key.removeprefix(METADATA_PREFIX): value for key, value in ours.items()})


def _executorch_tensors(path: Path) -> list[tuple[str, tuple[int, ...], str]]:
    from executorch.runtime import Runtime

    facts = Runtime.get().load_program(path).metadata("forward")
    assert (facts.num_inputs(), facts.num_outputs()) == (1, 1)
    scalar_types = {6: "float32"}  # c10::ScalarType::Float
    return [
        ("", tuple(tensor.sizes()), scalar_types[int(tensor.dtype())])
        for tensor in (facts.input_tensor_meta(0), facts.output_tensor_meta(0))
    ]


def _tflite_tensors(path: Path) -> list[tuple[str, tuple[int, ...], str]]:
    from ai_edge_litert.interpreter import Interpreter

    signature = Interpreter(str(path)).get_signature_runner()
    details = [*signature.get_input_details().items(), *signature.get_output_details().items()]
    return [(name, tuple(map(int, tensor["shape"])), tensor["dtype"].__name__) for name, tensor in details]


def _coreml_tensors(path: Path) -> list[tuple[str, tuple[int, ...], str]]:
    from coremltools.proto import FeatureTypes_pb2

    dtypes = {
        FeatureTypes_pb2.ArrayFeatureType.FLOAT32: "float32",
        FeatureTypes_pb2.ArrayFeatureType.FLOAT16: "float16",
    }
    description = _coreml_spec(path).description
    return [
        (tensor.name, tuple(tensor.type.multiArrayType.shape), dtypes[tensor.type.multiArrayType.dataType])
        for tensor in (*description.input, *description.output)
    ]


def _coreai_metadata(path: Path) -> str:
    from dvfl_mobile.converters.coreai import METADATA_PREFIX

    entries = _coreai_asset(path).metadata.creator_defined_metadata
    ours = {key: json.loads(value) for key, value in entries.items() if key.startswith(METADATA_PREFIX)}
    return json.dumps({key.removeprefix(METADATA_PREFIX): value for key, value in ours.items()})


def _coreai_tensors(path: Path) -> list[tuple[str, tuple[int, ...], str]]:
    summary = _coreai_asset(path).summary(include_statistics=False)
    assert summary.function_names == ["main"]
    tensors = []
    for name, kept in (*summary.function_inputs("main"), *summary.function_outputs("main")):
        kind, shape = re.fullmatch(r"NDArray \((\w+), ([\d ×]+)\)", kept).groups()
        tensors.append((name, tuple(map(int, shape.split(" × "))), kind.lower()))
    return tensors


METADATA_OF = {
    "qualcomm-SM8750": _tflite_metadata,
    "executorch": _executorch_metadata,
    "executorch-coreml": _executorch_metadata,
    "tflite": _tflite_metadata,
    "coreml": _coreml_metadata,
    "coreai": _coreai_metadata,
}
TENSORS_OF = {
    "qualcomm-SM8750": _tflite_tensors,
    "executorch": _executorch_tensors,
    "executorch-coreml": _executorch_tensors,
    "tflite": _tflite_tensors,
    "coreml": _coreml_tensors,
    "coreai": _coreai_tensors,
}


def _coreai_asset(path: Path) -> Any:
    from coreai.authoring import AIModelAsset

    return AIModelAsset.load(path)


def _coreml_spec(package: Path) -> Any:
    import coremltools as ct

    return ct.models.MLModel(str(package), skip_model_load=True).get_spec()


def _coreml_operations(package: Path) -> list[Any]:
    [block] = _coreml_spec(package).mlProgram.functions["main"].block_specializations.values()
    return list(block.operations)


def test_every_target_is_held_to_these() -> None:
    assert METADATA_OF.keys() == TENSORS_OF.keys()
    families = {target_named(name).name.removesuffix(f"-{target_named(name).soc}") for name in METADATA_OF}
    assert families == {target.name for target in every()}
