"""Take the `.mlpackage` out of an ExecuTorch program that Core ML runs.

ExecuTorch's Core ML delegate is given a folder as one run of bytes, its "in-memory file system": the contents of the
files one after another, and at the end, back to front, a JSON object that lists them as nodes, each a file with the
region of its bytes or a folder with its children (`executorch/backends/apple/coreml/runtime/inmemoryfs`).
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dvfl_mobile.artifacts.manifest import Manifest
from dvfl_mobile.artifacts.packages import MOST_FILES, plain_path
from dvfl_mobile.errors import ArtifactError
from dvfl_mobile.gpu_delegate.flatbuffer import MalformedError
from dvfl_mobile.runners.executorch_coreml.program import Blob, only_delegate

BACKEND = "CoreMLBackend"
_PACKAGE, _NAMES = "model.mlpackage", "metadata.json"
_MOST_LISTING_BYTES = 2**20
_MOST_DEPTH = 8
_CHUNK_BYTES = 2**22
_FILE, _FOLDER = 0, 1
_STRANGE = (AttributeError, KeyError, IndexError, TypeError, ValueError, RecursionError)


@contextmanager
def opened_package(program: Path, manifest: Manifest) -> Iterator[tuple[Path, Manifest]]:
    """The Core ML package of a program, in a temporary folder, and the manifest with the package's own names.

    Raises:
        ArtifactError: the program is none that Core ML alone runs, or what it holds is no package.
    """
    with tempfile.TemporaryDirectory() as folder:
        package = extract_package(program, Path(folder))
        try:
            yield package, _within(package, manifest)
        except ArtifactError as error:
            # By then the folder is gone.
            error.problem = error.problem.replace(folder, str(program))
            raise


def extract_package(program: Path, into: Path) -> Path:
    """The Core ML package of a program, written below the folder `into`.

    Raises:
        ArtifactError: the program is none that Core ML alone runs, or what it holds is no package.
    """
    with only_delegate(program, BACKEND) as blob:
        for name, at, size_bytes in _files(blob):
            path = plain_path(into, name, program)
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as file:
                for start in range(at, at + size_bytes, _CHUNK_BYTES):
                    file.write(blob.read(start, min(_CHUNK_BYTES, at + size_bytes - start)))
    package = into / _PACKAGE
    if not package.is_dir():
        raise ArtifactError(f"{program} holds no {_PACKAGE} for Core ML.", hint="Convert again.")
    return package


def _within(package: Path, manifest: Manifest) -> Manifest:
    """The manifest of a program with the names that the package in it has for its input and its output.

    They stand beside the package in a file that ExecuTorch reads them from.

    Raises:
        ArtifactError: that file isn't there, or names others than one each.
    """
    path = package.parent / _NAMES
    try:
        document = json.loads(path.read_bytes())
        [taken], [given] = document["inputNames"], document["outputNames"]
        if not (isinstance(taken, str) and isinstance(given, str)):
            raise TypeError
    except (OSError, *_STRANGE) as error:
        raise ArtifactError(f"{path} doesn't name one input and one output.", hint="Convert again.") from error
    named = {
        "inputs": (manifest.inputs[0].model_copy(update={"name": taken}),),
        "outputs": (manifest.outputs[0].model_copy(update={"name": given}),),
    }
    return manifest.model_copy(update=named)


def _files(blob: Blob) -> Iterator[tuple[str, int, int]]:
    """Each file of the folder: its path in it, where its bytes begin, and how many they are."""
    listing = _listing(blob)
    try:
        children = {index for node in listing for index in node["children"].values()}
        roots = [index for index in range(len(listing)) if index not in children]
        if len(roots) != 1:
            raise MalformedError(f"a folder has {len(roots)} roots")
        yield from _below(listing, listing[roots[0]], "", _MOST_DEPTH)
    except _STRANGE as error:
        raise _malformed(error) from error


def _below(listing: list[Any], folder: Mapping[str, Any], path: str, depth: int) -> Iterator[tuple[str, int, int]]:
    if depth == 0:
        raise MalformedError("folders lie too deep")
    for name, index in folder["children"].items():
        node = listing[index]
        if "/" in name:
            raise MalformedError(f"a file is called {name!r}")
        if node["kind"] == _FILE:
            yield path + name, int(node["dataRegion"]["offset"]), int(node["dataRegion"]["size"])
        else:
            yield from _below(listing, node, f"{path}{name}/", depth - 1)


def _listing(blob: Blob) -> list[Any]:
    """The nodes, as the JSON at the end lists them."""
    tail = min(blob.size_bytes, _MOST_LISTING_BYTES)
    text = blob.read(blob.size_bytes - tail, tail)[::-1].decode("latin-1")
    try:
        document, _ = json.JSONDecoder().raw_decode(text)
        nodes = document["nodes"]
    except _STRANGE as error:
        raise _malformed(error) from error
    if not isinstance(nodes, list) or len(nodes) > MOST_FILES:
        raise MalformedError("the list of a folder's files is no list, or too long")
    return nodes


def _malformed(error: Exception) -> MalformedError:
    if isinstance(error, MalformedError):
        return error
    return MalformedError(f"the list of a folder's files can't be understood ({type(error).__name__})")
