"""LiteRT's ahead-of-time compiler for Qualcomm's chips, in a process of its own, on the libraries of `onnxruntime-qnn`.

The compiler asks a module `ai_edge_litert_sdk_qualcomm` where the libraries lie, and its plugin links one of them that
the wheel doesn't bring. Both are made in a temporary folder, for that one process.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from dvfl_mobile.errors import DvflMobileError, UnfitDependencyError
from dvfl_mobile.spelling import option

_MODULE = "dvfl_mobile.converters.qualcomm_compiler"
_SDK = "ai_edge_litert_sdk_qualcomm"
_LIBRARIES = ("libQnnHtp.so", "libQnnIr.so", "libQnnSaver.so", "libQnnSystem.so", "libHtpPrepare.so")
_MISSING_LIBRARY, _STAND_IN = "libQnnLpai.so", "libQnnSystem.so"
"""What the plugin links besides those, and calls nothing of for Hexagon; and the library that stands in for it."""
_PLUGIN = ("vendors/qualcomm/compiler/libLiteRtCompilerPlugin_Qualcomm.so", "tools/apply_plugin_main")
_DEADLINE_S = 1800
_EXTRA = "qualcomm"


def compiled(source: Path, soc: str, work: Path) -> bytes:
    """The `.tflite` that the compiler makes of one, for a chip.

    Args:
        work: a temporary folder, for what the compiler needs and leaves.

    Raises:
        UnfitDependencyError: a release of the compiler or of the libraries lacks what the other needs.
        DvflMobileError: the compiler failed.
    """
    libraries = _package_folder("onnxruntime-qnn", "onnxruntime_qnn", _LIBRARIES)
    _package_folder("ai-edge-litert", "ai_edge_litert", _PLUGIN)
    made = work / "made"
    environment = _environment(libraries, work)
    command = [sys.executable, "-P", "-m", _MODULE, str(source), str(made), soc]
    try:
        done = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=_DEADLINE_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise _failed(soc, f"it took longer than {_DEADLINE_S} seconds and was ended") from error
    path = Path(done.stdout.decode(errors="replace").rstrip("\n").rpartition("\n")[2])
    if done.returncode != 0 or not path.is_relative_to(made):
        sys.stderr.write((done.stdout + done.stderr).decode(errors="replace"))
        raise _failed(soc, _reason(work) or f"it ended with {done.returncode}")
    return path.read_bytes()


def main(source: str, folder: str, soc: str) -> None:
    """Compile, in the process that is there for it; the last line on stdout is the path of what was made."""
    from ai_edge_litert.aot.aot_compile import aot_compile
    from ai_edge_litert.aot.vendors.qualcomm.target import SocModel, Target

    [(_, model)] = aot_compile(
        source, output_dir=folder, target=Target(SocModel(soc)), keep_going=False
    ).models_with_backend
    print(f"\n{model.path}")


def _environment(libraries: Path, work: Path) -> dict[str, str]:
    """The process's environment: with the module that is asked for, the library that is missing, and our own place for
    temporary files, since the compiler leaves some."""
    shim, temporary = work / "shim", work / "tmp"
    shim.mkdir()
    temporary.mkdir()
    (shim / f"{_SDK}.py").write_text(f"def path_to_sdk_libs():\n    return {str(libraries)!r}\n", encoding="utf-8")
    (shim / _MISSING_LIBRARY).symlink_to(libraries / _STAND_IN)
    environment = {**os.environ, "TMPDIR": str(temporary)}
    for name in ("PYTHONPATH", "LD_LIBRARY_PATH"):
        environment[name] = os.pathsep.join(filter(None, (str(shim), os.environ.get(name))))
    return environment


def _package_folder(distribution: str, package: str, needed: tuple[str, ...]) -> Path:
    """Where a package lies, once it is seen to have the files that are needed of it; nothing of it is imported."""
    found = find_spec(package)
    folder = Path(next(iter(found.submodule_search_locations or ()), "")) if found else Path()
    lacking = [name for name in needed if not (folder / name).is_file()]
    if lacking:
        raise UnfitDependencyError(
            f"{distribution} {metadata.version(distribution)} has no {lacking[0]}, which compiling for Qualcomm's NPU "
            "needs.",
            package=distribution,
            extra=_EXTRA,
            hint=f"Install the releases that fit together: pip install 'dvfl-mobile[{_EXTRA}]'",
        )
    return folder


def _reason(work: Path) -> str:
    """The first complaint in the log that the compiler leaves of a failure; empty where there is none."""
    logs = [path.read_text(encoding="utf-8", errors="replace") for path in work.glob("tmp/*.error")]
    # `tcm_migration.cc:2207::ERROR:no properties registered for q::QNN_Gelu`; LiteRT's own go on in the next line.
    complaints = [found for log in logs for found in re.findall(r"::ERROR:(.+)|ERROR: \[.+\]\n└ (.+)", log)]
    return "".join(complaints[0]).rstrip(" .") if complaints else ""


def _failed(soc: str, how: str) -> DvflMobileError:
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("ai-edge-litert", "onnxruntime-qnn"))
    return DvflMobileError(
        f"LiteRT's compiler made nothing for {soc}: {how}.",
        hint=f"It is of {versions}; {option('debug')} shows all that it says.",
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
