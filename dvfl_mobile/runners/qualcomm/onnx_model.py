"""A context binary as a model that ONNX Runtime takes: one `EPContext` node, written without ONNX's own package.

The numbers of fields are those of `onnx.proto`; the node is described in ONNX Runtime's "EP context design".
"""

from __future__ import annotations

from dvfl_mobile.runners.qualcomm.context import Context, Value

ELEMENTS = {0: 1, 9: 3}
"""ONNX's types of elements by TFLite's: float32, int8."""

_IR_VERSION, _OPSET = 10, 21
_ATTRIBUTE_INT, _ATTRIBUTE_STRING = 2, 3
_DOMAIN, _PROVIDER = "com.microsoft", "QNNExecutionProvider"


def onnx_model(context: Context) -> bytes:
    """A `ModelProto` whose only node is the context, embedded.

    Raises:
        KeyError: the input or output is of a type that no artifact of ours has.
    """
    attributes: dict[str, int | str | bytes] = {
        "main_context": 1,
        "embed_mode": 1,
        "ep_cache_context": context.data,
        "source": _PROVIDER,
        "partition_name": context.graph,
        "max_size": 0,
    }
    node = b"".join(
        [
            _bytes(1, context.input.name),
            _bytes(2, context.output.name),
            _bytes(3, context.graph),
            _bytes(4, "EPContext"),
            *(_bytes(5, _attribute(name, value)) for name, value in attributes.items()),
            _bytes(7, _DOMAIN),
        ]
    )
    graph = _bytes(1, node) + _bytes(2, "graph") + _bytes(11, _info(context.input)) + _bytes(12, _info(context.output))
    opsets = (_bytes(1, domain) + _int(2, version) for domain, version in (("", _OPSET), (_DOMAIN, 1)))
    return _int(1, _IR_VERSION) + _bytes(7, graph) + b"".join(_bytes(8, opset) for opset in opsets)


def _attribute(name: str, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return _bytes(1, name) + _int(3, value) + _int(20, _ATTRIBUTE_INT)
    return _bytes(1, name) + _bytes(4, value) + _int(20, _ATTRIBUTE_STRING)


def _info(value: Value) -> bytes:
    shape = b"".join(_bytes(1, _int(1, side)) for side in value.shape)
    tensor = _int(1, ELEMENTS[value.kind]) + _bytes(2, shape)
    return _bytes(1, value.name) + _bytes(2, _bytes(1, tensor))


def _int(field: int, value: int) -> bytes:
    """A field that is a number."""
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes | str) -> bytes:
    """A field that is a text, bytes, or a message."""
    data = value.encode() if isinstance(value, str) else value
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    """A number of no sign, seven bits to a byte, the lowest first; all bytes but the last have their high bit set."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])
