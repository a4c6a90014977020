"""What the emulator of Qualcomm's NPU is given: the compiled bytes of a file, in a model of ONNX's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dvfl_mobile.errors import ArtifactError, InconclusiveError
from dvfl_mobile.runners.qualcomm.context import Context, context_of
from dvfl_mobile.runners.qualcomm.context import Value as Tensor
from dvfl_mobile.runners.qualcomm.onnx_model import onnx_model
from tests.tflites import Step, Value, write_tflite

CLIP, LOGITS = Value((8, 3, 4, 4), "INT8", name="clip"), Value((1, 2), name="logits")
COMPILED = b"what Hexagon is given"


def dispatch(offset: int, size: int, taken: Value = CLIP, given: Value = LOGITS) -> Step:
    from flatbuffers import flexbuffers

    said = flexbuffers.Dumps({"bytecode_offset": offset, "bytecode_size": size, "name": "piece_0"})
    return Step("CUSTOM", [taken], [given], custom="DISPATCH_OP", said=bytes(said))


def compiled(path: Path, short_by: int = 0) -> Path:
    """A file whose only operator was compiled: its bytes lie behind the FlatBuffer, and anything behind them."""
    # The place of the bytes is known once the file is written: a number of the same width stands there meanwhile.
    size = len(write_tflite(path, [dispatch(2**20, len(COMPILED))]).read_bytes())
    write_tflite(path, [dispatch(size, len(COMPILED))])
    padded = path.read_bytes().ljust(size, b"\0")
    assert len(padded) == size
    path.write_bytes((padded + COMPILED)[: size + len(COMPILED) - short_by] + (b"" if short_by else b"metadata"))
    return path


def test_the_compiled_bytes_are_found(tmp_path: Path) -> None:
    assert context_of(compiled(tmp_path / "model.tflite")) == Context(
        "piece_0", COMPILED, Tensor("clip", 9, (8, 3, 4, 4)), Tensor("logits", 0, (1, 2))
    )


def test_a_file_that_was_cut_off_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no context binary where it says"):
        context_of(compiled(tmp_path / "model.tflite", short_by=1))


@pytest.mark.parametrize(("offset", "size"), [(0, 10), (-5, 10), (10, 0), (10, -1), (10, 2**40)])
def test_a_place_outside_of_the_file_is_refused(tmp_path: Path, offset: int, size: int) -> None:
    with pytest.raises(ArtifactError, match="no context binary where it says"):
        context_of(write_tflite(tmp_path / "model.tflite", [dispatch(offset, size)]))


def test_a_file_that_was_not_compiled_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="nothing that was compiled for Hexagon"):
        context_of(write_tflite(tmp_path / "model.tflite", [Step("ABS", [CLIP], [CLIP])]))
    (tmp_path / "other").write_bytes(b"no model at all, but long enough to hold numbers that lead nowhere")
    with pytest.raises(ArtifactError, match="can't be read"):
        context_of(tmp_path / "other")


def test_a_mixture_of_processors_can_not_be_judged_here(tmp_path: Path) -> None:
    between = Value((8, 3, 4, 4), name="between")
    steps = [Step("DEQUANTIZE", [CLIP], [between]), dispatch(10, 20, taken=between)]
    with pytest.raises(InconclusiveError, match="falls into 2 parts"):
        context_of(write_tflite(tmp_path / "model.tflite", steps))


def test_the_model_says_what_onnx_s_format_says() -> None:
    """Read here by the format's own rules: numbers of fields as in `onnx.proto`."""
    data = bytes(range(256)) * 100
    model = fields(onnx_model(Context("piece", data, Tensor("clip", 9, (8, 3, 200, 4)), Tensor("logits", 0, (1, 2)))))
    assert model[1] == [10]
    assert [fields(opset) for opset in model[8]] == [{1: [b""], 2: [21]}, {1: [b"com.microsoft"], 2: [1]}]
    graph = fields(model[7][0])
    node = fields(graph[1][0])
    assert (node[1], node[2], node[4], node[7]) == ([b"clip"], [b"logits"], [b"EPContext"], [b"com.microsoft"])
    attributes = {fields(each)[1][0]: fields(each) for each in node[5]}
    assert attributes[b"ep_cache_context"] == {1: [b"ep_cache_context"], 4: [data], 20: [3]}
    assert attributes[b"embed_mode"] == {1: [b"embed_mode"], 3: [1], 20: [2]}
    assert attributes[b"partition_name"][4] == [b"piece"]
    [taken], [given] = graph[11], graph[12]
    for value, name, kind, shape in ((taken, b"clip", 3, [8, 3, 200, 4]), (given, b"logits", 1, [1, 2])):
        tensor = fields(fields(fields(value)[2][0])[1][0])
        assert (fields(value)[1], tensor[1]) == ([name], [kind])
        assert [fields(side)[1][0] for side in fields(tensor[2][0])[1]] == shape


def fields(message: bytes) -> dict[int, list]:
    found: dict[int, list] = {}
    for number, value in _each(message):
        found.setdefault(number, []).append(value)
    return found


def _each(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    place = 0

    def number() -> int:
        nonlocal place
        value, shift = 0, 0
        while True:
            byte = message[place]
            place += 1
            value |= (byte & 127) << shift
            shift += 7
            if not byte & 128:
                return value

    while place < len(message):
        key = number()
        if key & 7 == 0:
            yield key >> 3, number()
        else:
            assert key & 7 == 2
            size = number()
            place += size
            yield key >> 3, message[place - size : place]
