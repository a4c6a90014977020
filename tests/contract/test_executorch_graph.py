"""The passes over XNNPACK's graph, on graphs made by hand and on a real lowering."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

schema: Any = pytest.importorskip(
    "executorch.backends.xnnpack.serialization.xnnpack_graph_schema", reason="needs the executorch extra"
)

from dvfl_mobile.converters.xnnpack.half import compute_floats_in_half, compute_in_half, halve_data, halve_weights  # noqa: E402
from dvfl_mobile.converters.xnnpack.rewriting import rewriting  # noqa: E402
from dvfl_mobile.converters.xnnpack.shorten import (  # noqa: E402
    fold_transposes,
    fuse_lookups,
    move_later,
    share_conversions,
)
from tests.conversions import Make  # noqa: E402

NOT_EXTERNAL = 0xFFFFFFFF
TO_LAST, TO_FIRST = (0, 2, 3, 1), (0, 3, 1, 2)


def value(
    key: int,
    dims: Sequence[int] = (2, 3, 4, 5),
    external: int = NOT_EXTERNAL,
    quantized: bool = False,
    data: int = 0,
    scales: Any = None,
) -> Any:
    datatype = schema.XNNDatatype.xnn_datatype_qint8 if quantized else schema.XNNDatatype.xnn_datatype_fp32
    tensor = schema.XNNTensorValue(datatype, len(dims), list(dims), data, external, 0, key)
    if quantized:
        tensor = schema.XNNQuantizedTensorValue(tensor, scales or schema.PerTensorQuant(0.5, 0))
    return schema.XValue(tensor)


def transpose(source: int, result: int, perm: Sequence[int]) -> Any:
    return schema.XNode(schema.XNNStaticTranspose(len(perm), list(perm), source, result, 0), 0)


def reshape(source: int, result: int, shape: Sequence[int]) -> Any:
    return schema.XNode(schema.XNNStaticReshape(len(shape), list(shape), source, result, 0), 0)


def gelu(source: int, result: int) -> Any:
    return schema.XNode(schema.XNNGelu(source, result, 0), 0)


def convert(source: int, result: int) -> Any:
    return schema.XNode(schema.XNNConvert(source, result, 0), 0)


def product(source: int, weight: int, bias: int, result: int) -> Any:
    return schema.XNode(schema.XNNFullyConnected(source, weight, bias, result, 0), 0)


def graph(values: Sequence[Any], nodes: Sequence[Any], constants: Sequence[Any] = ()) -> Any:
    return schema.XNNGraph("0", list(nodes), list(values), 2, [0], [9], [schema.ConstantDataOffset(0, 0), *constants])


def rows_of(folded: Any) -> list[tuple[Any, ...]]:
    """Each node as its kind, what it reads, what it writes, and its permutation or shape."""
    shown = []
    for node in folded.xnodes:
        operation = node.xnode_union
        extra = getattr(operation, "perm", None) or getattr(operation, "new_shape", None)
        source = operation.input_id if hasattr(operation, "input_id") else operation.input1_id
        row = (type(operation).__name__.removeprefix("XNNStatic").removeprefix("XNN"), source)
        shown.append((*row, operation.output_id, *([tuple(extra)] if extra else [])))
    return shown


def ends(dims: Sequence[int] = (2, 3, 4, 5)) -> list[Any]:
    return [value(0, dims, external=0), value(9, dims, external=1)]


@pytest.mark.parametrize("quantized", [False, True], ids=["float", "quantized"])
def test_a_pair_that_cancels_goes(quantized: bool) -> None:
    inner = [value(key, quantized=quantized) for key in (1, 2)]
    made = graph([*ends(), *inner], [transpose(0, 1, TO_LAST), transpose(1, 2, TO_FIRST), gelu(2, 9)])
    fold_transposes(made)
    assert rows_of(made) == [("Gelu", 0, 9)]


def test_a_chain_becomes_one() -> None:
    perms = [(1, 0, 2, 3), (0, 2, 1, 3), (0, 1, 3, 2)]
    nodes = [transpose(index, index + 1, perm) for index, perm in enumerate(perms)]
    made = graph([*ends(), value(1), value(2), value(3)], [*nodes, gelu(3, 9)])
    picture = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    expected = picture.transpose(perms[0]).transpose(perms[1]).transpose(perms[2])
    fold_transposes(made)
    [(kind, source, result, perm), last] = rows_of(made)
    assert (kind, source, result, last) == ("Transpose", 0, 3, ("Gelu", 3, 9))
    assert np.array_equal(picture.transpose(perm), expected)


def test_three_that_come_to_nothing_go() -> None:
    turn = (0, 2, 3, 1)
    nodes = [transpose(0, 1, turn), transpose(1, 2, turn), transpose(2, 3, turn), gelu(3, 9)]
    made = graph([*ends(), value(1), value(2), value(3)], nodes)
    fold_transposes(made)
    assert rows_of(made) == [("Gelu", 0, 9)]


def test_one_that_is_read_twice_stays_for_the_other_reader() -> None:
    nodes = [transpose(0, 1, TO_LAST), gelu(1, 3), transpose(1, 2, TO_FIRST), gelu(2, 9)]
    made = graph([*ends(), value(1), value(2), value(3)], nodes)
    fold_transposes(made)
    assert rows_of(made) == [("Transpose", 0, 1, TO_LAST), ("Gelu", 1, 3), ("Gelu", 0, 9)]


def test_every_reader_of_a_dropped_value_reads_what_came_before() -> None:
    add = schema.XNode(schema.XNNAdd(2, 2, 9, 0), 0)
    made = graph([*ends(), value(1), value(2)], [transpose(0, 1, TO_LAST), transpose(1, 2, TO_FIRST), add])
    fold_transposes(made)
    [node] = made.xnodes
    assert (node.xnode_union.input1_id, node.xnode_union.input2_id) == (0, 0)


def test_what_only_a_dropped_one_read_goes_too() -> None:
    flat = (2, 12, 5)
    moves = [reshape(0, 1, flat), reshape(1, 2, (2, 3, 4, 5)), transpose(2, 3, TO_LAST)]
    made = graph([*ends(), value(1, flat), value(2), value(3, (2, 4, 5, 3))], [*moves, gelu(0, 9)])
    fold_transposes(made)
    assert rows_of(made) == [("Gelu", 0, 9)]


def test_a_value_that_leaves_the_graph_is_still_made() -> None:
    made = graph([*ends(), value(1)], [transpose(0, 1, TO_LAST), transpose(1, 9, TO_FIRST)])
    fold_transposes(made)
    assert [(row[0], *row[1:3]) for row in rows_of(made)] == [("Reshape", 0, 9)], "the identity, but for its name"

    made = graph([*ends(), value(1)], [gelu(0, 1), transpose(1, 9, TO_LAST)])
    fold_transposes(made)
    assert rows_of(made) == [("Gelu", 0, 1), ("Transpose", 1, 9, TO_LAST)]


def test_one_that_moves_only_ones_is_a_reshape() -> None:
    dims = (1, 3, 1, 5)
    made = graph([*ends(dims), value(1, (1, 1, 3, 5))], [transpose(0, 1, (2, 0, 1, 3)), gelu(1, 9)])
    fold_transposes(made)
    assert rows_of(made) == [("Reshape", 0, 1, (1, 1, 3, 5)), ("Gelu", 1, 9)]


def test_one_that_moves_more_than_ones_stays() -> None:
    dims = (1, 3, 4, 1)
    made = graph([*ends(dims), value(1)], [transpose(0, 1, (0, 2, 1, 3)), gelu(1, 9)])
    fold_transposes(made)
    assert rows_of(made) == [("Transpose", 0, 1, (0, 2, 1, 3)), ("Gelu", 1, 9)]


def test_filters_are_halved_and_nothing_else() -> None:
    made = graph(
        [*ends(), value(1, (4, 5), data=1), value(2, (4,), data=2), value(3), value(4, (4, 4), quantized=True, data=3)],
        [product(0, 1, 2, 3), product(3, 4, 2, 9)],
        [schema.ConstantDataOffset(0, size, key) for size, key in ((80, "filter"), (16, "bias"), (16, "int8"))],
    )
    assert halve_weights(made) == {"filter": "filter_fp16"}
    assert [(constant.named_key, constant.size) for constant in made.constant_data[1:]] == [
        ("filter_fp16", 40),
        ("bias", 16),
        ("int8", 16),
    ]
    half, full = schema.XNNDatatype.xnn_datatype_fp16, schema.XNNDatatype.xnn_datatype_fp32
    datatypes = {entry.xvalue_union.id_out: entry.xvalue_union.datatype for entry in made.xvalues[:5]}
    assert datatypes == {0: full, 9: full, 1: half, 2: full, 3: full}


def test_all_that_is_computed_is_half_between_inputs_and_outputs_that_are_not() -> None:
    made = graph(
        [*ends(), value(1, (4, 5), data=1), value(2, (4,), data=2), value(3)],
        [product(0, 1, 2, 3), gelu(3, 9)],
        [schema.ConstantDataOffset(0, size, key) for size, key in ((80, "filter"), (16, "bias"))],
    )
    assert compute_in_half(made) == {"filter": "filter_fp16", "bias": "bias_fp16"}
    assert [(constant.named_key, constant.size) for constant in made.constant_data[1:]] == [
        ("filter_fp16", 40),
        ("bias_fp16", 8),
    ]
    half, full = schema.XNNDatatype.xnn_datatype_fp16, schema.XNNDatatype.xnn_datatype_fp32
    values = {entry.xvalue_union.id_out: entry.xvalue_union for entry in made.xvalues}
    assert {key: each.datatype for key, each in values.items()} == {
        **dict.fromkeys((0, 9), full),
        **dict.fromkeys((1, 2, 3, 10, 11), half),
    }
    assert [values[key].external_id == NOT_EXTERNAL for key in (0, 9, 10, 11)] == [False, False, True, True]
    assert rows_of(made) == [
        ("Convert", 0, 10),
        ("FullyConnected", 10, 3),
        ("Gelu", 3, 11),
        ("Convert", 11, 9),
    ]


def test_the_small_student_is_half_throughout(made: Make) -> None:
    [lowered] = made("executorch", "fp16").graphs
    full = schema.XNNDatatype.xnn_datatype_fp32
    floats = {entry.xvalue_union.id_out for entry in lowered.xvalues if entry.xvalue_union.datatype == full}
    assert floats == {*lowered.input_ids, *lowered.output_ids}
    readers = [node for node in lowered.xnodes if getattr(node.xnode_union, "input_id", NOT_EXTERNAL) in floats]
    assert all(_is(node, "Convert") for node in readers)
    assert len(readers) == len(lowered.input_ids)
    perms = [tuple(node.xnode_union.perm) for node in lowered.xnodes if _is(node, "StaticTranspose")]
    assert perms == [TO_LAST], "as of the float network"


@pytest.mark.parametrize("filters", [(1, 1), (1, 4)], ids=["one value", "two values of one constant"])
def test_a_shared_filter_is_halved_once(filters: tuple[int, int]) -> None:
    made = graph(
        [*ends(), value(1, (4, 5), data=1), value(4, (4, 5), data=1), value(2, (4,), data=2), value(3)],
        [product(0, filters[0], 2, 3), product(3, filters[1], 2, 9)],
        [schema.ConstantDataOffset(0, 80, "filter"), schema.ConstantDataOffset(0, 16, "bias")],
    )
    assert halve_weights(made) == {"filter": "filter_fp16"}
    assert (made.constant_data[1].named_key, made.constant_data[1].size) == ("filter_fp16", 40)
    for entry in made.xvalues:
        if entry.xvalue_union.id_out in filters:
            assert entry.xvalue_union.datatype == schema.XNNDatatype.xnn_datatype_fp16


@pytest.mark.parametrize("used", [set(), {"zeros"}], ids=["half alone", "float32 too"])
def test_data_is_kept_in_float32_for_whoever_still_reads_it(used: set[str]) -> None:
    from executorch.exir._serialize._named_data_store import NamedDataStore

    store = NamedDataStore()
    store.add_named_data("zeros", np.zeros(4, np.float32).tobytes(), 16)
    made = halve_data(store.get_named_data_store_output(), {"zeros": "zeros_fp16"}, used)
    sizes = {key: len(made.buffers[entry.buffer_index]) for key, entry in made.pte_data.items()}
    assert sizes == {"zeros_fp16": 8, **dict.fromkeys(used, 16)}


def test_gelu_between_two_conversions_becomes_a_table() -> None:
    made = graph(
        [value(0, external=0, quantized=True), value(1), value(2), value(9, external=1, quantized=True)],
        [convert(0, 1), gelu(1, 2), convert(2, 9)],
    )
    fuse_lookups(made)
    assert rows_of(made) == [("Gelu", 0, 9)]


@pytest.mark.parametrize(
    "nodes",
    [
        pytest.param([convert(0, 1), gelu(1, 9)], id="what it gives is float"),
        pytest.param([convert(0, 1), gelu(1, 2), convert(2, 3), gelu(2, 9)], id="its float is read elsewhere"),
        pytest.param([gelu(1, 2), convert(2, 9)], id="what it reads is float"),
    ],
)
def test_gelu_stays_float_where_a_float_is_wanted(nodes: list[Any]) -> None:
    made = graph(
        [value(0, external=0, quantized=True), value(1), value(2), value(3, quantized=True), value(9, external=1)],
        nodes,
    )
    fuse_lookups(made)
    assert next(row[:2] for row in rows_of(made) if row[0] == "Gelu") == ("Gelu", 1)


def test_a_tensor_is_converted_once_for_all_who_read_it() -> None:
    made = graph(
        [value(0, external=0, quantized=True), value(1), value(2), value(3), value(9, external=1)],
        [convert(0, 1), gelu(1, 3), convert(0, 2), gelu(2, 9)],
    )
    share_conversions(made)
    assert rows_of(made) == [("Convert", 0, 1), ("Gelu", 1, 3), ("Gelu", 1, 9)]


def test_static_int8_leaves_gelu_float_for_the_pooled_context_alone(made: Make) -> None:
    found = made("executorch", "static_wi8_ai8")
    [lowered] = found.graphs
    values = {entry.xvalue_union.id_out: entry for entry in lowered.xvalues if hasattr(entry.xvalue_union, "id_out")}
    floats = [node for node in lowered.xnodes if _is(node, "Gelu") and node.xnode_union.output_id in values]
    blocks = sum(found.student.architecture.depths)
    assert len(floats) == 2 * blocks
    assert sum(_is(node, "Gelu") for node in lowered.xnodes) == 7 * blocks
    int8_filters = {
        node.xnode_union.filter_id
        for node in lowered.xnodes
        if hasattr(node.xnode_union, "filter_id") and node.xnode_union.filter_id not in values
    }
    assert len(int8_filters) == len(found.artifact.manifest.quantization.products)


def kinds_of(nodes: Sequence[Any]) -> set[str]:
    return {type(node.xnode_union).__name__ for node in nodes}


def types_of(made: Any) -> dict[int, str]:
    """The type of each value, by its key."""
    tensors = [getattr(entry.xvalue_union, "tensor_value", entry.xvalue_union) for entry in made.xvalues]
    return {each.id_out: schema.XNNDatatype(each.datatype).name.removeprefix("xnn_datatype_") for each in tensors}


def test_what_is_read_in_two_shapes_is_copied_for_neither() -> None:
    made = graph(
        [
            value(0, (2, 12, 5), external=0, quantized=True),
            value(1, (2, 3, 4, 5), quantized=True),
            value(2, (2, 12, 5), quantized=True),
            value(3, (2, 12, 5), quantized=True),
            value(4, (2, 12, 5)),
            value(9, (2, 3, 4, 5), external=1, quantized=True),
        ],
        [
            reshape(0, 1, (2, 3, 4, 5)),
            reshape(1, 2, (2, 12, 5)),
            gelu(2, 3),
            convert(3, 4),
            reshape(3, 9, (2, 3, 4, 5)),
        ],
    )
    move_later(made)
    [(_, _, table), *readers] = rows_of(made)
    assert [row[0] for row in rows_of(made)] == ["Gelu", "Convert", "Reshape"]
    assert [row[1] for row in readers] == [table, table], "both read it as it is"
    assert readers[1][2:] == (9, (2, 3, 4, 5))


@pytest.mark.parametrize(("narrows", "moves"), [(True, 0), (False, 2)], ids=["to integers", "to floats"])
def test_transposes_around_a_conversion_go_where_it_narrows(narrows: bool, moves: int) -> None:
    made = graph(
        [
            value(0, (2, 4, 5, 3), external=0, quantized=not narrows),
            value(1, (2, 3, 4, 5), quantized=not narrows),
            value(2, (2, 3, 4, 5), quantized=narrows),
            value(3, (2, 4, 5, 3), quantized=narrows),
            value(9, (2, 4, 5, 3), external=1, quantized=narrows),
        ],
        [transpose(0, 1, TO_FIRST), convert(1, 2), transpose(2, 3, TO_LAST), gelu(3, 9)],
    )
    move_later(made)
    fold_transposes(made)
    assert sum(_is(node, "StaticTranspose") for node in made.xnodes) == moves


def test_what_is_scaled_by_token_keeps_its_tokens() -> None:
    by_token = schema.PerTokenDynamicQuant(1)
    nodes = [reshape(0, 1, (2, 6, 10)), convert(1, 2), product(2, 3, NOT_EXTERNAL, 9)]
    made = graph(
        [
            value(0, (2, 12, 5), external=0),
            value(1, (2, 6, 10)),
            value(2, (2, 6, 10), quantized=True, scales=by_token),
            value(3, (10, 10), data=1),
            value(9, (2, 6, 10), external=1),
        ],
        nodes,
    )
    move_later(made)
    assert [row[:3] for row in rows_of(made)] == [("Reshape", 0, 1), ("Convert", 1, 2), ("FullyConnected", 2, 9)]


@pytest.mark.parametrize(
    ("scale", "kind"), [(2.0**-14, "fp16"), (2.0**-14.01, "fp32")], ids=["a normal number", "too small a scale"]
)
def test_half_precision_holds_what_a_scale_that_it_holds_converts(scale: float, kind: str) -> None:
    made = graph(
        [*ends(), value(1, quantized=True, scales=schema.PerTensorQuant(scale, 0)), value(2), value(3)],
        [convert(0, 1), convert(1, 2), transpose(2, 3, TO_LAST), transpose(3, 9, TO_FIRST)],
    )
    compute_floats_in_half(made)
    types = types_of(made)
    [read] = [node.xnode_union for node in made.xnodes if node.xnode_union.input_id == 1]
    assert types[read.output_id] == kind
    assert types[2] == types[3] == "fp16"


def test_static_int8_has_half_floats_but_for_what_has_no_good_half_kernel(made: Make) -> None:
    [lowered] = made("executorch", "static_wi8_ai8").graphs
    types = types_of(lowered)
    floats = [node for node in lowered.xnodes if types[node.xnode_union.output_id] == "fp32"]
    halves = [node for node in lowered.xnodes if types[node.xnode_union.output_id] == "fp16"]
    # The stem's convolution, pooled contexts, logits, what quantizes tokens one by one, and conversions for these.
    assert kinds_of(floats) <= {"XNNConv2d", "XNNGelu", "XNNConvert", "XNNFullyConnected"}
    assert kinds_of(halves) >= {"XNNMultiply", "XNNAdd", "XNNSubtract", "XNNFullyConnected"}
    assert len(halves) > 3 * len(floats)


@pytest.mark.parametrize("recipe", ["fp32", "weight_only_wf16_afp32"])
def test_the_small_student_keeps_the_transpose_of_its_input(made: Make, recipe: str) -> None:
    [lowered] = made("executorch", recipe).graphs
    perms = [tuple(node.xnode_union.perm) for node in lowered.xnodes if _is(node, "StaticTranspose")]
    # The input's pictures to channels last: all that has to move.
    assert perms == [TO_LAST]
    assert sum(_is(node, "FullyConnected") for node in lowered.xnodes) > 50, "the right graph was looked at"


@pytest.mark.parametrize(("recipe", "halves"), [("fp32", False), ("weight_only_wf16_afp32", True)])
def test_the_small_student_s_filters_are_halved_by_half_storage_alone(made: Make, recipe: str, halves: bool) -> None:
    [lowered] = made("executorch", recipe).graphs
    values = {entry.xvalue_union.id_out: entry.xvalue_union for entry in lowered.xvalues}
    half, full = schema.XNNDatatype.xnn_datatype_fp16, schema.XNNDatatype.xnn_datatype_fp32
    for name, expected in (("filter_id", half if halves else full), ("bias_id", full)):
        read = {getattr(node.xnode_union, name, NOT_EXTERNAL) for node in lowered.xnodes} - {NOT_EXTERNAL}
        assert {values[key].datatype for key in read} == {expected}, name


@pytest.mark.parametrize("ending", [lambda: None, lambda: 1 // 0], ids=["well", "badly"])
def test_executorch_is_left_as_it_was(ending: Callable[[], object]) -> None:
    from executorch.backends.xnnpack import xnnpack_preprocess

    def functions() -> tuple[object, object]:
        return xnnpack_preprocess.serialize_xnnpack_binary, vars(xnnpack_preprocess.XnnpackBackend)["preprocess"]

    before = functions()
    try:
        with rewriting(halve_weights):
            assert functions()[0] is not before[0]
            assert functions()[1] is not before[1]
            ending()
    except ZeroDivisionError:
        pass
    assert functions() == before


def _is(node: Any, kind: str) -> bool:
    return type(node.xnode_union).__name__ == f"XNN{kind}"
