"""Set the number of threads of ExecuTorch on the host.

The Python package has no call for it. Its thread pool, one for the whole process, is a shared library of the wheel with
two C++ functions that take and give plain numbers; they are called by their names there.
"""

from __future__ import annotations

import ctypes
import sys
from functools import cache
from pathlib import Path
from typing import Any

from dvfl_mobile.artifacts.manifest import Manifest
from dvfl_mobile.errors import DvflMobileError, UsageError
from dvfl_mobile.runners.executorch.runner import ExecuTorchRunner
from dvfl_mobile.spelling import option

_SPACE = "_ZN10executorch9extension10threadpool"
_POOL = f"{_SPACE}14get_threadpoolEv"
_RESET = f"{_SPACE}10ThreadPool24_unsafe_reset_threadpoolEj"
_COUNT = "_ZNK10executorch9extension10threadpool10ThreadPool16get_thread_countEv"


def open_artifact(path: Path, manifest: Manifest, threads: int | None) -> ExecuTorchRunner:
    """A runner of the program at `path`; None: as many threads as the runtime chooses. All runners here share them.

    Raises:
        UsageError: a number is asked for, and this build of ExecuTorch doesn't take one.
    """
    if threads is not None:
        # Before the program is loaded: nothing runs on the pool that is replaced.
        set_threads(threads)
    runner = ExecuTorchRunner(path, manifest)
    pool = _pool()
    runner.facts["threads"] = None if pool is None else pool.count()
    return runner


def set_threads(threads: int) -> None:
    """Let all programs of this process run on so many threads; none may be loaded yet.

    Raises:
        UsageError: this build of ExecuTorch doesn't take a number.
    """
    pool = _pool()
    if pool is None:
        raise UsageError(
            "This build of ExecuTorch's Python runtime doesn't take a number of threads.",
            hint=f"Leave {option('threads')} out, or measure with {option('device', 'host:native')}.",
        )
    if not pool.reset(threads):
        raise DvflMobileError(f"ExecuTorch didn't take {threads} threads.", hint=f"Leave {option('threads')} out.")


class _Pool:
    """The process's one thread pool."""

    def __init__(self, library: Any) -> None:
        get, self._reset, self._count = (getattr(library, name) for name in (_POOL, _RESET, _COUNT))
        get.restype = ctypes.c_void_p
        self._reset.argtypes, self._reset.restype = (ctypes.c_void_p, ctypes.c_uint32), ctypes.c_bool
        self._count.argtypes, self._count.restype = (ctypes.c_void_p,), ctypes.c_size_t
        self._pool = get()

    def reset(self, threads: int) -> bool:
        return bool(self._reset(self._pool, threads))

    def count(self) -> int:
        return int(self._count(self._pool))


@cache
def _pool() -> _Pool | None:
    """The thread pool; None where this build has none that can be reached."""
    import executorch.runtime

    name = "libexecutorch_threadpool" + (".dylib" if sys.platform == "darwin" else ".so")
    try:
        # The copy that the runtime has loaded: its pool is the one that runs programs.
        return _Pool(ctypes.CDLL(str(Path(executorch.runtime.__file__).parents[1] / "lib" / name)))
    except (OSError, AttributeError):
        return None
