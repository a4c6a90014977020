"""LiteRT.js, by which a page runs artifacts: two packages of the npm registry, each pinned to its very bytes."""

from __future__ import annotations

import base64
import hashlib
import http.client
import os
import tarfile
import urllib.error
import urllib.request
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from dvfl_mobile.errors import MissingDriverError
from dvfl_mobile.files import atomic_directory, cache_folder, directory_lock
from dvfl_mobile.progress import Step, silent

LITERTJS_VARIABLE = "DVFL_MOBILE_LITERTJS"
REGISTRY_VARIABLE = "npm_config_registry"
VERSION = "2.5.3"

_REGISTRY = "https://registry.npmjs.org/"
_FETCH_S = 120.0
_MOST_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Package:
    """A package of the registry.

    Attributes:
        sha512: of its archive, as the registry's own lock files write it: base64.
        files: those that a page needs, by their names in the archive, with what they are served as.
    """

    name: str
    sha512: str
    files: dict[str, str]

    @property
    def archive(self) -> str:
        """The name that `npm pack` gives it."""
        return f"litertjs-{self.name}-{VERSION}.tgz"


_ENGINES = ("", "_compat", "_jspi", "_threaded")
PACKAGES = (
    Package(
        "core",
        "PlGmbMOq9WitX7FO0jhbdJw9GthatsyuCQXjTt/wJZo0FLaw48q4tz8IwqgqCIkviYGr9OFDL1kCnN4nzWoyJQ==",
        {"dist/index.js": "core.js"}
        | {
            f"wasm/litert_wasm{engine}_internal.{ending}": f"litert_wasm{engine}_internal.{ending}"
            for engine in _ENGINES
            for ending in ("js", "wasm")
        },
    ),
    Package(
        "wasm-utils",
        "4fJiw6tBQnIs+0jH/OQ16nYOiSl8/+zZnn5h2ul8aTKHi05sVqZW580Tmk78pC2kT39A9OYBVdFawteZ/sI1kQ==",
        {"dist/index.js": "wasm-utils.js"},
    ),
)

# A browser looks for a module at an address, and in a worker knows no other names.
_BARE, _BESIDE = b'from "@litertjs/wasm-utils"', b'from "./wasm-utils.js"'


def library_folder(step: Step = silent) -> Path:
    """The folder with the files to serve beside the page; fetched at first use, and kept.

    Raises:
        MissingDriverError: the registry can't be reached, or gives other bytes, and no folder is named.
    """
    folder = cache_folder() / "web" / f"litertjs-{VERSION}-{_key()}"
    with directory_lock(folder, wait=True):
        if not folder.is_dir():
            with step(f"fetch LiteRT.js {VERSION}"), atomic_directory(folder) as partial:
                for package in PACKAGES:
                    _unpack(package, _archive(package), partial)
    return folder


def _archive(package: Package) -> bytes:
    """A package's archive, found to be the one that is pinned."""
    named = os.environ.get(LITERTJS_VARIABLE)
    data = _read(Path(named, package.archive)) if named else _fetched(package)
    if hashlib.sha512(data).digest() != base64.b64decode(package.sha512):
        raise MissingDriverError(
            f"{package.archive} from {named or _registry()} holds other bytes than LiteRT.js {VERSION} does.",
            hint=_instead(),
        )
    return data


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise MissingDriverError(
            f"{LITERTJS_VARIABLE} names {path.parent}, and there is no {path.name}.", hint=_instead()
        ) from error


def _fetched(package: Package) -> bytes:
    address = f"{_registry()}@litertjs/{package.name}/-/{package.name}-{VERSION}.tgz"
    try:
        with urllib.request.urlopen(address, timeout=_FETCH_S) as answer:
            return bytes(answer.read(_MOST_BYTES))
    except (OSError, ValueError, http.client.HTTPException, urllib.error.URLError) as error:
        raise MissingDriverError(
            f"LiteRT.js isn't here, and {_registry()} doesn't give it: {error}.", hint=_instead()
        ) from error


def _unpack(package: Package, data: bytes, folder: Path) -> None:
    with tarfile.open(fileobj=BytesIO(data), mode="r:gz") as archive:
        for name, served in package.files.items():
            file = archive.extractfile(f"package/{name}")
            assert file is not None, name
            (folder / served).write_bytes(file.read().replace(_BARE, _BESIDE))


def _registry() -> str:
    return os.environ.get(REGISTRY_VARIABLE, _REGISTRY).rstrip("/") + "/"


def _instead() -> str:
    names = " ".join(f"@litertjs/{package.name}@{VERSION}" for package in PACKAGES)
    return (
        f"Where the registry can be reached: npm pack {names}; then name the folder of both files with "
        f"{LITERTJS_VARIABLE}."
    )


def _key() -> str:
    """A name for what the folder holds."""
    return hashlib.sha256(repr(PACKAGES).encode()).hexdigest()[:16]
