"""Build the native programs from the sources shipped with the package, once for each platform and runtime."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from dvfl_mobile.devices.harness.bundle import Bundle, SystemAbi, given_bundle
from dvfl_mobile.devices.harness.compilers import check_compilers, compilers_key
from dvfl_mobile.devices.harness.native import NATIVE
from dvfl_mobile.devices.harness.ready_made import ready_made
from dvfl_mobile.devices.harness.sources import sources_folder, sources_sha256
from dvfl_mobile.devices.harness.wheels import arm64_package, host_package
from dvfl_mobile.errors import DeviceError, InconclusiveError, MissingDependencyError, MissingToolError, needs
from dvfl_mobile.files import atomic_directory, cache_folder, directory_lock
from dvfl_mobile.progress import Step, silent
from dvfl_mobile.spelling import option
from dvfl_mobile.version import __version__

_LEAST_CMAKE = (3, 28)
_BUILD_S = 600.0
_MOST_SHOWN = 12


def bundle_for(system_abi: SystemAbi, target: str, step: Step = silent) -> Bundle:
    """The programs for a kind of machine: those that the environment names, or ready-made, or else built here and kept.

    Args:
        step: shows that they are built, which takes seconds, and for Arm also that wheels are fetched.

    Raises:
        DeviceError: they are there and can't be used, or can't be built; the message says what went wrong.
        InconclusiveError: no native program runs this target.
        MissingDependencyError: they aren't there, and neither is what builds them; the hint names both.
    """
    given = given_bundle()
    if given is not None and given.preset == system_abi:
        return given
    if target not in NATIVE:
        raise InconclusiveError(
            f"No native program runs artifacts for {target}.", hint=f"They exist for: {', '.join(NATIVE)}."
        )
    if system_abi == "host":
        return _built_for_host(target, step)
    try:
        return ready_made(system_abi, target)
    except MissingToolError as missing:
        return _built_for_arm64(target, step, missing)


def built(preset: str, target: str, step: Step = silent) -> Bundle:
    """The bundle of one target's program by a preset of CMakePresets.json, from the cache if it is there whole.

    Raises what `bundle_for` does.
    """
    sources, version = sources_folder(), _runtime_version(target)
    folder = cache_folder() / "native" / f"{preset}-{target}-{_key(sources, preset, target, version)[:16]}"
    with directory_lock(folder, wait=True):
        try:
            return Bundle(folder)
        except DeviceError:
            with atomic_directory(folder) as partial:
                build(preset, [target], partial, step)
    return Bundle(folder)


def build(preset: str, targets: Sequence[str], folder: Path, step: Step = silent, commit: str = "") -> None:
    """Build a bundle of some targets' programs into a folder.

    Args:
        commit: of the sources, for `bundle.json`; empty where nobody says.

    Raises what `bundle_for` does.
    """
    # A sanitized build is one of the host.
    system: SystemAbi = "linux-arm64" if preset == "linux-arm64" else "host"
    check_tools(system)
    sources, definitions = sources_folder(), _definitions(system, targets, step)
    definitions["DVFL_SOURCES_SHA256"], definitions["DVFL_COMMIT"] = sources_sha256(sources), commit
    programs = " and ".join(NATIVE[target].program for target in targets)
    with step(f"build {programs} for {preset}"):
        place = folder / ".build"
        cmake, arguments = _tool("cmake"), [f"-D{name}={value}" for name, value in definitions.items()]
        _run([cmake, "--preset", preset, "-S", str(sources), "-B", str(place), *arguments], sources)
        _run([cmake, "--build", str(place)], sources)
        _run([cmake, "--install", str(place), "--prefix", str(folder)], sources)
        shutil.rmtree(place)


def check_tools(system_abi: SystemAbi) -> None:
    """Raise unless all that builds the programs is here: cmake, ninja and a compiler.

    Raises:
        MissingDependencyError: one of them isn't, or is too old.
    """
    _check_cmake(_tool("cmake"))
    _tool("ninja")
    check_compilers(system_abi)


def _built_for_host(target: str, step: Step) -> Bundle:
    if sys.platform != "linux":
        raise InconclusiveError(
            f"The harness's programs run on Linux and Android, and this is {sys.platform}.",
            hint=f"Use {option('device', 'host')}, which runs the runtimes' own Python packages.",
        )
    return built("host", target, step)


def _built_for_arm64(target: str, step: Step, missing: MissingToolError) -> Bundle:
    """The programs for 64-bit Arm, built here, where they aren't ready-made; `missing` says why not, and how they are.

    Raises:
        MissingToolError: nor is here what builds them.
    """
    if sys.platform != "linux":
        raise MissingToolError(missing.problem, hint=f"{missing.hint}\n(They are built on Linux alone.)") from missing
    try:
        return built("linux-arm64", target, step)
    except MissingDependencyError as error:
        raise MissingToolError(
            f"{missing.problem} Nor can they be built here: {error.problem}",
            hint=f"Either have them ready-made: {missing.hint}\nOr have them built here. {error.hint}",
        ) from error


def _definitions(system: str, targets: Sequence[str], step: Step) -> dict[str, str]:
    """What CMake is given: where the runtimes are, and their versions."""
    definitions = {"DVFL_RUNNER_VERSION": __version__, "CMAKE_MAKE_PROGRAM": _tool("ninja")}
    for target in targets:
        version = _runtime_version(target)
        if system == "linux-arm64":
            with step(f"fetch {NATIVE[target].distribution} {version} for Arm"):
                package = arm64_package(target, version)
        else:
            package = host_package(target)
        definitions[NATIVE[target].variable] = str(package)
        definitions[f"{NATIVE[target].variable}_VERSION"] = version
    return definitions


def _run(command: list[str], folder: Path) -> None:
    """Run one step of a build.

    Raises:
        DeviceError: it failed; the hint is the end of what it printed.
    """
    # Another build's settings would be this one's too.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CMAKE_")}
    try:
        ended = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_BUILD_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise DeviceError(f"Building the native programs took longer than {_BUILD_S:g} s: {command[0]}.") from error
    if ended.returncode != 0:
        lines = ended.stdout.decode("utf-8", errors="replace").splitlines()
        raise DeviceError(
            f"The native programs can't be built: {Path(command[0]).name} ended with {ended.returncode}.",
            hint="\n".join(lines[-_MOST_SHOWN:]),
        )


def _tool(name: str) -> str:
    """A program from this Python's own environment, where the extra puts it, or from the PATH."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.is_file() else shutil.which(name)
    if found is None:
        raise MissingDependencyError(name, extra="harness", why="to build the harness's native programs")
    return found


def _check_cmake(cmake: str) -> None:
    said = subprocess.run([cmake, "--version"], capture_output=True, text=True, timeout=60, check=False).stdout
    found = re.search(r"version (\d+)\.(\d+)", said)
    if found is None or (int(found[1]), int(found[2])) < _LEAST_CMAKE:
        least = ".".join(map(str, _LEAST_CMAKE))
        said = f"cmake {found[1]}.{found[2]}" if found else "an unknown cmake"
        raise MissingDependencyError(f"cmake {least}", extra="harness", why=f"{cmake} is {said}")


def _key(sources: Path, preset: str, target: str, version: str) -> str:
    """A name for all that a build depends on."""
    system = "linux-arm64" if preset == "linux-arm64" else "host"
    parts = (preset, target, version, __version__, sources_sha256(sources), compilers_key(system))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _runtime_version(target: str) -> str:
    with needs(NATIVE[target].distribution, extra=target, why="for its libraries"):
        return metadata.version(NATIVE[target].distribution)
