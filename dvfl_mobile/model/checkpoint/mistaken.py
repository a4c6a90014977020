"""What a file is that was given in a checkpoint's place, by how it begins, and what to do about it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from dvfl_mobile.model.wording import brief
from dvfl_mobile.wording import first_few

HEAD_BYTES = 2**16

_AGAIN = "Download the file itself, and compare its size with what the page says."
_UNPACK = "Unpack it, and name the .pth or .safetensors file in it."
_WEIGHTS = "Give the PyTorch checkpoint that it was made of: a .pth, or a .safetensors."
_ARTIFACT = "Give the checkpoint that it was made of; commands on artifacts take the folder that it lies in."
_OTHER = "Give a .pth file of a DVFL-Net or Video-FocalNet student, or a .safetensors."

_BEGINNINGS: Sequence[tuple[bytes, int, str, str]] = (
    (b"\x89HDF\r\n\x1a\n", 0, "an HDF5 file, as Keras writes weights", _WEIGHTS),
    (
        b"TFL3",
        4,
        "a TFLite model",
        _ARTIFACT,
    ),
    (
        b"ET12",
        4,
        "an ExecuTorch program",
        _ARTIFACT,
    ),
    (b"GGUF", 0, "a GGUF file", _WEIGHTS),
    (b"\x93NUMPY", 0, "an array of NumPy", _WEIGHTS),
    (b"ustar", 257, "a tar archive", _UNPACK),
    (b"\x1f\x8b", 0, "packed with gzip", _UNPACK),
    (b"BZh", 0, "packed with bzip2", _UNPACK),
    (b"\xfd7zXZ\0", 0, "packed with xz", _UNPACK),
    (b"\x28\xb5\x2f\xfd", 0, "packed with zstd", _UNPACK),
    (b"PK\x05\x06", 0, "an empty zip archive", _AGAIN),
    (b"7z\xbc\xaf\x27\x1c", 0, "a 7-Zip archive", _UNPACK),
    (b"Rar!", 0, "a RAR archive", _UNPACK),
    (b"\x89PNG", 0, "a picture", _OTHER),
    (b"\xff\xd8\xff", 0, "a picture", _OTHER),
    (b"%PDF", 0, "a PDF document", _OTHER),
    (b"ftyp", 4, "a video", _OTHER),
    (b"RIFF", 0, "a video or a sound", _OTHER),
    (
        b"\0\x05\x16\x07",
        0,
        "what macOS leaves beside a file that it copied",
        "Give the file without ._ before its name.",
    ),
)


@dataclass(frozen=True)
class Mistaken:
    """What a file is, in words that follow `it is`, and the next step."""

    what: str
    hint: str


def recognised(head: bytes, name: str) -> Mistaken | None:
    """What a file is by its first `HEAD_BYTES`; None for what may be a checkpoint, and for what isn't known.

    Args:
        name: the file's, for the hint.
    """
    for look in (_pointer, _page, _json, _beginning, _protobuf):
        if (found := look(head, name)) is not None:
            return found
    if len(head) >= 16 and not any(head):
        return Mistaken("nothing but zeros, as a download leaves that was never filled", _AGAIN)
    return None


def of_text(head: bytes) -> Mistaken | None:
    """What a file is that no other reading fits, if it is text: its first line."""
    text = _text(head)
    if text is None or not text.strip():
        return None
    return Mistaken(f"a text that begins with {brief(text.strip().splitlines()[0], 60)!r}", _AGAIN)


def of_zip(names: Sequence[str]) -> Mistaken | None:
    """What a zip archive is that torch.save didn't write, by the names in it; None for an empty one."""
    weights = [name for name in names if name.endswith((".pth", ".pt", ".safetensors", ".ckpt", ".bin"))]
    if weights:
        return Mistaken(f"it holds {first_few(weights, 3, brief)}", _UNPACK)
    if any(name.endswith("model.weights.h5") for name in names):
        return Mistaken("a model of Keras", _WEIGHTS)
    if any(name.endswith("saved_model.pb") for name in names):
        return Mistaken("a SavedModel of TensorFlow", _WEIGHTS)
    if any(".mlpackage/" in name for name in names):
        return Mistaken("a packed Core ML package", _WEIGHTS)
    if names and all(name.endswith(".npy") for name in names):
        return Mistaken("arrays of NumPy (.npz)", _WEIGHTS)
    return Mistaken(f"it holds {first_few(names, 3, brief)}", _OTHER) if names else None


def _pointer(head: bytes, name: str) -> Mistaken | None:
    if not head.startswith(b"version https://git-lfs"):
        return None
    size = re.search(rb"^size (\d+)", head, re.MULTILINE)
    of = f" to a file of {int(size[1]):,} bytes" if size else ""
    return Mistaken(
        f"a Git LFS pointer{of}, which isn't here",
        f"Fetch it where the repository was cloned, git lfs pull --include '*{brief(name)}', or download it.",
    )


def _page(head: bytes, _name: str) -> Mistaken | None:
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not start.startswith(b"<"):
        return None
    lower = start.lower()
    if b"<html" in lower or lower.startswith(b"<!doctype html"):
        title = _between(start, "title")
        return Mistaken(
            f"a web page{title}, saved in the place of the file",
            "The link leads to a page or asks for a login or a confirmation: download the file itself, with a browser.",
        )
    message = _between(start, "Message") or _between(start, "Code")
    return Mistaken(f"an XML document{message}, such as a server answers with in the place of the file", _AGAIN)


def _between(data: bytes, tag: str) -> str:
    found = re.search(rf"<{tag}[^>]*>(.*?)</{tag}>", data.decode("utf-8", "replace"), re.DOTALL | re.IGNORECASE)
    return f" ({brief(' '.join(found[1].split()), 60)!r})" if found and found[1].strip() else ""


def _json(head: bytes, _name: str) -> Mistaken | None:
    text = _text(head)
    if text is None or not text.lstrip("\ufeff \t\r\n").startswith(("{", "[")):
        return None
    if '"weight_map"' in text:
        files = sorted(set(re.findall(r'"([^"]+\.safetensors)"', text)))
        return Mistaken(
            f"the index of a checkpoint in several files{', ' + first_few(files, 3, brief) if files else ''}",
            "Join the files to one: load each with safetensors.torch.load_file, and save all tensors with save_file.",
        )
    try:
        json.loads(text.lstrip("\ufeff"))
    except (ValueError, RecursionError):
        if len(head) < HEAD_BYTES:
            return None
    return Mistaken("a JSON document, and no weights", _OTHER)


def _beginning(head: bytes, _name: str) -> Mistaken | None:
    for mark, place, what, hint in _BEGINNINGS:
        if head[place : place + len(mark)] == mark:
            return Mistaken(what, hint)
    return None


def _protobuf(head: bytes, _name: str) -> Mistaken | None:
    """ONNX, SavedModel and Core ML models begin with a version, field 1, and then their second field or a later one."""
    if len(head) < 4 or head[0] != 0x08 or not 0 < head[1] < 0x40 or head[2] not in (0x12, 0x1A, 0x3A):
        return None
    producer = head[4 : 4 + head[3]]
    if b"onnx" in head.lower() or head[2] == 0x3A or (producer.isascii() and producer.decode("ascii").isprintable()):
        return Mistaken("a protobuf, as ONNX writes models", _WEIGHTS)
    return Mistaken("a protobuf, as TensorFlow and Core ML write models", _WEIGHTS)


def _text(head: bytes) -> str | None:
    """The beginning as text; None where it is none."""
    encodings = ("utf-16",) if head[:2] in (b"\xff\xfe", b"\xfe\xff") else ("utf-8-sig",)
    for encoding in encodings:
        try:
            text = head.decode(encoding)
        except UnicodeDecodeError as error:
            if len(head) - error.start > 4 or error.start == 0:
                return None
            text = head[: error.start].decode(encoding, "ignore")
        return text if all(char.isprintable() or char in "\t\r\n\f" for char in text) else None
    return None
