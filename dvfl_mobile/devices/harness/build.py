"""Build the native programs from the sources shipped with the package, once for each platform and runtime."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from dvfl_mobile.devices.harness.bundle import RUNNER_VARIABLE, Bundle, SystemAbi, given_bundle
from dvfl_mobile.devices.harness.native import NATIVE
from dvfl_mobile.devices.harness.wheels import arm64_package, host_package
from dvfl_mobile.errors import DeviceError, InconclusiveError, MissingDependencyError, needs
from dvfl_mobile.files import atomic_directory, cache_folder, directory_lock, files_below
from dvfl_mobile.progress import Step, silent
from dvfl_mobile.spelling import option
from dvfl_mobile.version import __version__

_LEAST_CMAKE = (3, 28)
_BUILD_S = 600.0
_COMPILERS = {"linux-arm64": ("aarch64-linux-gnu-gcc", "aarch64-linux-gnu-g++")}
_INSTALL = {
    "linux-arm64": "On Debian and Ubuntu: apt install g++-aarch64-linux-gnu; or put one on the PATH.",
    "host": "On Debian and Ubuntu: apt install g++.",
}
_MOST_SHOWN = 12


def bundle_for(system_abi: SystemAbi, target: str, step: Step = silent) -> Bundle:
    """The programs for a kind of machine: those that the environment names, or else built here and kept.

    Args:
        step: shows that they are built, which takes seconds, and for Arm also that wheels are fetched.

    Raises:
        DeviceError: they can't be built; the message says what is missing or went wrong.
        InconclusiveError: no native program runs this target.
        MissingDependencyError: the runtime, or what builds, isn't installed.
    """
    given = given_bundle()
    if given is not None and given.preset == system_abi:
        return given
    if target not in NATIVE:
        raise InconclusiveError(
            f"No native program runs artifacts for {target}.", hint=f"They exist for: {', '.join(NATIVE)}."
        )
    if system_abi == "android-arm64":
        raise DeviceError(
            "No built runner for Android is at hand, and none can be built without the NDK and the runtimes for it.",
            hint=f"docs/native-runner.md says how to build one; then name its folder with {RUNNER_VARIABLE}.",
        )
    if sys.platform != "linux":
        raise InconclusiveError(
            f"The harness's programs run on Linux and Android, and this is {sys.platform}.",
            hint=f"Use {option('device', 'host')}, which runs the runtimes' own Python packages.",
        )
    return built(system_abi, target, step)


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
            _build(sources, preset, target, folder, step)
    return Bundle(folder)


def sources_folder() -> Path:
    """Where the programs' sources are: in the installed package, or beside it in a checkout.

    Raises:
        DeviceError: they are in neither.
    """
    package = Path(__file__).parents[2]
    for place in (package / "android_harness" / "runner", package.parent / "android_harness" / "runner"):
        if (place / "CMakeLists.txt").is_file():
            return place
    raise DeviceError(
        f"The sources of the native programs aren't where they belong, in {package / 'android_harness'}.",
        hint="Install dvfl-mobile again.",
    )


def check_tools(system_abi: SystemAbi) -> None:
    """Raise unless all that builds the programs is here: cmake, ninja and a compiler.

    Raises:
        DeviceError: there is no compiler.
        MissingDependencyError: cmake or ninja isn't installed, or is too old.
    """
    _check_cmake(_tool("cmake"))
    _tool("ninja")
    _check_compilers(system_abi)


def _build(sources: Path, preset: str, target: str, folder: Path, step: Step) -> None:
    # A sanitized build is one of the host.
    system: SystemAbi = "linux-arm64" if preset == "linux-arm64" else "host"
    check_tools(system)
    cmake, ninja = _tool("cmake"), _tool("ninja")
    version = _runtime_version(target)
    if system == "linux-arm64":
        with step(f"fetch {NATIVE[target].distribution} {version} for Arm"):
            package = arm64_package(target, version)
    else:
        package = host_package(target)
    definitions = {
        NATIVE[target].variable: package,
        "DVFL_LITERT_VERSION": version,
        "DVFL_RUNNER_VERSION": __version__,
        "CMAKE_MAKE_PROGRAM": ninja,
    }
    with step(f"build {NATIVE[target].program} for {preset}"), atomic_directory(folder) as partial:
        place = partial / ".build"
        arguments = [f"-D{name}={value}" for name, value in definitions.items()]
        _run([cmake, "--preset", preset, "-S", str(sources), "-B", str(place), *arguments], sources)
        _run([cmake, "--build", str(place)], sources)
        _run([cmake, "--install", str(place), "--prefix", str(partial)], sources)
        shutil.rmtree(place)


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


def _check_compilers(system: str) -> None:
    if system == "host":
        names = (os.environ.get("CC", "cc").split()[0], os.environ.get("CXX", "c++").split()[0])
    else:
        names = _COMPILERS[system]
    for name in names:
        if shutil.which(name) is None:
            raise DeviceError(
                f"There is no compiler {name}, and building the programs for {system} needs it.", hint=_INSTALL[system]
            )


def _key(sources: Path, preset: str, target: str, version: str) -> str:
    """A name for all that a build depends on."""
    digest = hashlib.sha256(f"{preset}\n{target}\n{version}\n{__version__}\n".encode())
    for name in files_below(sources):
        if "__pycache__" not in name.parts:
            digest.update(f"{name.as_posix()}\n".encode() + (sources / name).read_bytes())
    names = _COMPILERS.get(preset) or (os.environ.get("CC", "cc"), os.environ.get("CXX", "c++"))
    digest.update("\n".join(f"{name}={shutil.which(name.split()[0])}" for name in names).encode())
    return digest.hexdigest()


def _runtime_version(target: str) -> str:
    with needs(NATIVE[target].distribution, extra=target, why="for its libraries"):
        return metadata.version(NATIVE[target].distribution)
