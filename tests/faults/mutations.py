"""Damage to artifacts, drawn from a seed: what disks and networks do, and what someone does who means harm."""

from __future__ import annotations

import contextlib
import json
import os
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dvfl_mobile.artifacts.manifest import Manifest, entries

HEAD, TAIL = 4096, 65536
BLOB = "@model_path/weights/weight.bin"
ABOVE, ABSOLUTE = "canary", f"/tmp/dvfl-mobile-canary-{os.getpid() % 10**6:06}"
"""Names of files outside of the package: in the folder of the target, and anywhere."""

_NUMBERS = (0, 1, 2, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)


def mutate(folder: Path, manifest: Manifest, rng: random.Random) -> tuple[Manifest, str]:
    """Damage one of an artifact's files in `folder`, and mend the manifest, as an attacker would.

    Returns:
        The manifest that fits, and what was done.
    """
    path = folder / rng.choices(manifest.files, [_weight(entry.path) for entry in manifest.files])[0].path
    kinds = MUTATIONS if path.name != "Manifest.json" else (*MUTATIONS, another_path, another_path, another_path)
    if path.suffix == ".mlmodel":
        # Bytes of a protobuf that were hit at random seldom make one.
        kinds = (*kinds, another_blob, another_blob, *[another_value] * len(kinds))
    kind = rng.choice(kinds)
    data = bytearray(path.read_bytes())
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        data = kind(data, rng) or bytearray(b"\0")
    path.write_bytes(data)
    return manifest.model_copy(update={"files": entries(folder, manifest.file)}), f"{path.name}: {kind.__name__}"


def _weight(path: str) -> int:
    """Programs are what can do most harm."""
    return 3 if path.endswith((".mlmodel", ".pte", ".tflite")) else 1


def flip_bits(data: bytearray, rng: random.Random) -> bytearray:
    """Some bits."""
    for _ in range(rng.choice((1, 2, 8, 64))):
        data[_place(data, rng)] ^= 1 << rng.randrange(8)
    return data


def cut(data: bytearray, rng: random.Random) -> bytearray:
    """The end is missing."""
    return data[: rng.choice((_place(data, rng), rng.randrange(len(data)), len(data) - rng.randrange(1, 64)))]


def splice(data: bytearray, rng: random.Random) -> bytearray:
    """A block from elsewhere in the file, in place of another."""
    size = rng.choice((4, 16, 256, 4096))
    start = rng.randrange(len(data))
    block = data[start : start + size]
    at = _place(data, rng)
    data[at : at + len(block)] = block
    return data


def clear(data: bytearray, rng: random.Random) -> bytearray:
    """A range of zeros, or of ones."""
    at, size = _place(data, rng), rng.choice((1, 4, 64, 512, 4096))
    size = min(size, len(data) - at)
    data[at : at + size] = rng.choice((b"\0", b"\xff")) * size
    return data


def insert(data: bytearray, rng: random.Random) -> bytearray:
    """Bytes that shift all others."""
    at = _place(data, rng)
    data[at:at] = rng.randbytes(rng.choice((1, 3, 4, 8, 64)))
    return data


def delete(data: bytearray, rng: random.Random) -> bytearray:
    """Bytes are missing, and all others shifted."""
    at = _place(data, rng)
    del data[at : at + rng.choice((1, 3, 4, 8, 64))]
    return data


def length(data: bytearray, rng: random.Random) -> bytearray:
    """A number, where lengths and offsets may stand, that is too large, too small, or negative."""
    form = rng.choice(("<I", "<I", "<Q", "<H"))
    size = struct.calcsize(form)
    if len(data) < size:
        return data
    at = min(_place(data, rng), len(data) - size) // 4 * 4
    [old] = struct.unpack_from(form, data, at)
    new = rng.choice((*_NUMBERS, len(data), len(data) - at, old + 1, old - 1, old + 4, old * 2, 1 << 63))
    struct.pack_into(form, data, at, new % (1 << 8 * size))
    return data


def header(data: bytearray, rng: random.Random) -> bytearray:
    """The first bytes: identifiers, versions, offsets of roots."""
    for _ in range(rng.choice((1, 2, 4))):
        data[rng.randrange(min(len(data), 64))] = rng.randrange(256)
    return data


def another_path(data: bytearray, rng: random.Random) -> bytearray:
    """The package's table of contents names something outside of it, or something odd."""
    try:
        document = json.loads(data)
        item = rng.choice(list(document["itemInfoEntries"].values()))
        item["path"] = rng.choice(
            (
                f"../../../{ABOVE}",
                f"com.apple.CoreML/../../../../{ABOVE}",
                ABSOLUTE,
                f"../../../../../../../../../../..{ABSOLUTE}",
                "",
                ".",
                "..",
                "com.apple.CoreML",
                "com.apple.CoreML/weights/../model.mlmodel",
                "com.apple.CoreML/weights/weight.bin",
                "com.apple.CoreML/model.mlmodel\0.txt",
                "x" * 5000,
                7,
                None,
                ["com.apple.CoreML/model.mlmodel"],
            )
        )
        return bytearray(json.dumps(document).encode())
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        return header(data, rng)


def another_blob(data: bytearray, rng: random.Random) -> bytearray:
    """The program names its weights' file elsewhere, by a path of the same length."""
    name = BLOB.encode()
    other = rng.choice(
        (
            ABSOLUTE,
            f"@model_path/../../../../{ABOVE}",
            f"@model_path{ABSOLUTE}"[: len(BLOB)],
            "@model_path/model.mlmodel",
            "@model_path/weights\0weight.bin",
            "@model_path/weights/../weights",
        )
    ).encode()
    places = [at for at in range(len(data)) if data.startswith(name, at)]
    for at in places if rng.random() < 0.5 else places[:1]:
        data[at : at + len(name)] = other.ljust(len(name), b"/")
    return data


def another_value(data: bytearray, rng: random.Random) -> bytearray:
    """The program is a program still, with a number, a name, an operation or a shape that doesn't belong."""
    from coremltools.proto import Model_pb2

    model = Model_pb2.Model()
    try:
        model.ParseFromString(bytes(data))
    except Exception:
        return flip_bits(data, rng)
    _change(model, rng)
    return bytearray(model.SerializeToString())


def _change(message: Any, rng: random.Random) -> None:
    """Go down at random, and change what is found there."""
    while True:
        fields = message.ListFields()
        if not fields:
            return
        # Where much is, as in a function's operations, rather than in the few words around it.
        field, value = rng.choices(fields, [_extent(value) for _, value in fields])[0]
        container = getattr(message, field.name)
        is_map = field.message_type is not None and field.message_type.GetOptions().map_entry
        if is_map:
            key = rng.choice(list(value))
            if field.message_type.fields_by_name["value"].message_type is None:
                container[key] = _other(container[key], rng)
                return
            if rng.random() < 0.02:
                del container[key]
                return
            message = container[key]
        elif hasattr(value, "append") or hasattr(value, "add"):
            index = rng.randrange(len(value))
            if rng.random() < 0.15:
                del container[index]
                return
            if field.message_type is None:
                container[index] = _other(value[index], rng)
                return
            message = container[index]
        elif field.message_type is not None:
            if rng.random() < 0.05:
                message.ClearField(field.name)
                return
            message = value
        else:
            with contextlib.suppress(ValueError, TypeError):
                setattr(message, field.name, _other(value, rng))
            return


def _extent(value: Any) -> int:
    if hasattr(value, "ByteSize"):
        return 1 + int(value.ByteSize())
    if hasattr(value, "values") and hasattr(value, "keys"):
        return sum(_extent(each) for each in value.values())
    return sum(map(_extent, value)) if hasattr(value, "append") else 4


def _other(value: Any, rng: random.Random) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return rng.choice((0, 1, 2, 3, 7, 100, value + 1, max(value - 1, 0), 2**20, 2**31 - 1))
    if isinstance(value, float):
        return rng.choice((0.0, -1.0, float("nan"), float("inf"), 1e38))
    if isinstance(value, bytes):
        return bytes(flip_bits(bytearray(value or b"0"), rng))
    return rng.choice(("", "clip", "logits", "const", "conv", value + "_", value[:-1], BLOB, "../" * 9, "x" * 10_000))


MUTATIONS: tuple[Callable[[bytearray, random.Random], bytearray], ...] = (
    flip_bits,
    flip_bits,
    cut,
    splice,
    clear,
    insert,
    delete,
    length,
    length,
    header,
)


def _place(data: bytearray, rng: random.Random) -> int:
    """Anywhere, or where formats keep their tables: at the beginning or the end."""
    end = len(data)
    low, high = rng.choice(((0, end), (0, min(HEAD, end)), (max(0, end - TAIL), end)))
    return rng.randrange(low, max(high, low + 1))
