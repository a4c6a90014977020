"""Locate the runtimes' libraries: in installed wheels, and in Arm wheels that pip downloads."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

from dvfl_mobile.devices.harness.native import NATIVE
from dvfl_mobile.errors import DeviceError, needs
from dvfl_mobile.files import atomic_directory, cache_folder, directory_lock

_PLATFORMS = ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux_2_17_aarch64")
_FETCH_S = 900.0
_MOST_BYTES = 2**30
_MOST_SHOWN = 6


def host_package(target: str) -> Path:
    """The folder of a target's installed runtime.

    Raises:
        MissingDependencyError: it isn't installed.
    """
    with needs(NATIVE[target].distribution, extra=target, why="for its libraries"):
        found = metadata.distribution(NATIVE[target].distribution)
    return Path(str(found.locate_file(NATIVE[target].folder)))


def arm64_package(target: str, version: str) -> Path:
    """The folder of a target's runtime for 64-bit Arm Linux, from its wheel; fetched once, and kept.

    Raises:
        DeviceError: pip can't get it, or it isn't what it was.
    """
    distribution = NATIVE[target].distribution
    folder = cache_folder() / "native" / f"{distribution}-{version}-linux-arm64"
    package = folder / NATIVE[target].folder
    with directory_lock(folder, wait=True):
        if not package.is_dir():
            with atomic_directory(folder) as partial:
                wheel = _fetched(f"{distribution}=={version}", partial)
                _unpack(wheel, NATIVE[target].parts, partial)
                wheel.unlink()
    return package


def _fetched(requirement: str, folder: Path) -> Path:
    platforms = [word for platform in _PLATFORMS for word in ("--platform", platform)]
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    command = [sys.executable, "-P", "-m", "pip", "--disable-pip-version-check", "download", "--quiet"]
    command += ["--no-deps", "--only-binary", ":all:", "--python-version", python, *platforms]
    try:
        ended = subprocess.run(
            [*command, "--dest", str(folder), requirement],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_FETCH_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise DeviceError(f"Fetching {requirement} for Arm took longer than {_FETCH_S:g} s.") from error
    wheels = list(folder.glob("*.whl"))
    if ended.returncode != 0 or len(wheels) != 1:
        lines = ended.stdout.decode("utf-8", errors="replace").splitlines()
        raise DeviceError(
            f"pip can't get the wheel of {requirement} for 64-bit Arm Linux.",
            hint="\n".join(lines[-_MOST_SHOWN:]) or "Look at pip's settings.",
        )
    return wheels[0]


def _unpack(wheel: Path, parts: re.Pattern[str], folder: Path) -> None:
    """Unpack the files of a wheel whose names fit."""
    with zipfile.ZipFile(wheel) as archive:
        wanted = [entry for entry in archive.infolist() if parts.fullmatch(entry.filename)]
        if not wanted or sum(entry.file_size for entry in wanted) > _MOST_BYTES:
            raise DeviceError(f"{wheel.name} doesn't hold the libraries that its runtime should have.")
        for entry in wanted:
            # ZipFile keeps what it writes below the folder, whatever a name says.
            archive.extract(entry, folder)
