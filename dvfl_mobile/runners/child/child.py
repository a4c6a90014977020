"""The child process that opens one artifact and runs it: `python -P -m dvfl_mobile.runners.child.child PARENT`.

It takes its orders over the socket that is its stdin, and answers there; what runtimes print goes to stderr.
`process` starts it, and nobody else. Orders also name the modules that run an artifact: it knows no table of targets.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dvfl_mobile.artifacts.manifest import Manifest
from dvfl_mobile.errors import ArtifactError, DvflMobileError
from dvfl_mobile.model.lean.garbage import looked_for_seldom
from dvfl_mobile.runners.base import Runner, Runtime, runtime_of
from dvfl_mobile.runners.child import failures, limits
from dvfl_mobile.runners.child.frames import NO_ARRAY, Document, Message, Wire
from dvfl_mobile.runners.child.isolated_trace import document_of
from dvfl_mobile.runners.child.measuring import open_measured
from dvfl_mobile.runners.child.timed import timed_ending_now
from dvfl_mobile.runners.traces import Trace
from dvfl_mobile.runners.tracing import load_tracer, trace_here
from dvfl_mobile.spelling import Spelling, speak

if TYPE_CHECKING:
    from dvfl_mobile.runners.coreml.served import ServedPackage

_PR_SET_PDEATHSIG = 1


class Servant:
    """Does what messages say: `prepare`, `open`, and then `run` and `time`."""

    def __init__(self) -> None:
        self._runtime: Runtime
        self._runner: Runner
        self._served: ServedPackage
        self._traced: Trace
        self._path = Path()
        self._memory_bytes = 0

    def answer(self, message: Message) -> Message:
        """The answer to a message; its object has an `error` where there is none."""
        document, array = message
        doing = document["do"]
        limits.limit_cpu(document["seconds"])
        try:
            if doing == "prepare":
                return self._prepare(document)
            if doing == "open":
                return self._open(document)
            if doing in ("trace", "value"):
                return self._trace(doing, document, array)
            if doing in ("package", "give", "execute", "take"):
                return self._package(doing, document, array)
            if doing == "time":
                timed = timed_ending_now(self._runner.time(array, document["warmup"], document["runs"]))
                return Message(timed._asdict(), NO_ARRAY)
            return Message({}, np.asarray(self._runner.run(array), np.float32))
        except Exception as error:
            return Message({"error": failures.to_document(self._explained(error, doing))}, NO_ARRAY)

    def _prepare(self, document: Document) -> Message:
        # Its errors are shown as the parent's own.
        speak(Spelling(**document["speaking"]))
        limits.limit_files(document["written_bytes"])
        self._runtime = runtime_of(document["runtime"], alone=True)
        if "tracer" in document:
            load_tracer(document["tracer"])
        return Message({}, NO_ARRAY)

    def _open(self, document: Document) -> Message:
        manifest = Manifest.model_validate(document["manifest"])
        self._begin(Path(document["folder"], manifest.file), document["memory_bytes"])
        if "measured" not in document:
            self._runner = self._runtime.open_artifact(self._path, manifest, **document["settings"])
            return Message({"facts": self._runner.facts}, NO_ARRAY)
        threaded, threads, cores = document["measured"]
        self._runner, load_ns = open_measured(self._runtime, threaded, self._path, manifest, threads, tuple(cores))
        return Message({"facts": self._runner.facts, "load_ns": load_ns}, NO_ARRAY)

    def _trace(self, doing: str, document: Document, array: NDArray[Any]) -> Message:
        """An artifact's operators, and then each one's value."""
        if doing == "trace":
            manifest = Manifest.model_validate(document["manifest"])
            self._begin(Path(document["folder"], manifest.file), document["memory_bytes"])
            self._traced = trace_here(document["tracer"], self._path, manifest, array, document["settings"])
            return Message(document_of(self._traced), NO_ARRAY)
        return Message({}, (self._traced.input, *self._traced.steps)[document["index"]].values)

    def _package(self, doing: str, document: Document, array: NDArray[Any]) -> Message:
        """A package without a manifest: opened, given inputs, executed, asked for outputs."""
        if doing == "package":
            from dvfl_mobile.runners.coreml.served import ServedPackage

            self._begin(Path(document["package"]), document["memory_bytes"])
            self._served = ServedPackage(self._path)
            return Message(self._served.facts, NO_ARRAY)
        if doing == "take":
            return Message({}, self._served.take(document["name"]))
        if doing == "give":
            self._served.give(document["name"], array)
        else:
            self._served.execute()
        return Message({}, NO_ARRAY)

    def _begin(self, path: Path, memory_bytes: int) -> None:
        """From here on, a stranger's file is read."""
        self._path, self._memory_bytes = path, memory_bytes
        limits.limit_memory(memory_bytes)

    def _explained(self, error: Exception, doing: str) -> DvflMobileError:
        """What `error` means; once the artifact is being read, all that goes wrong is its doing."""
        about = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        if isinstance(error, DvflMobileError):
            found = error
        elif doing == "prepare":
            found = DvflMobileError(f"The process that runs artifacts can't get ready: {about}.")
        elif isinstance(error, MemoryError):
            found = ArtifactError(f"{self._path} needs more memory than it may have.", hint=limits.MEMORY_HINT)
        else:
            verb = "load" if doing in ("open", "package") else "run"
            found = ArtifactError(f"The runtime can't {verb} {self._path}: {about}.", hint="Convert again.")
        if isinstance(found, ArtifactError) and self._is_short_of_memory():
            # Runtimes seldom say that this is what they lacked.
            found.hint = f"It had taken most of the memory that it may have. {limits.MEMORY_HINT}"
        if found is not error:
            found.__cause__ = error
        return found

    def _is_short_of_memory(self) -> bool:
        spare = limits.spare_bytes()
        return spare is not None and spare < self._memory_bytes / 2


def main(parent: int) -> None:
    """Serve until the other end is closed.

    Args:
        parent: the process to end with, or 0.
    """
    _end_with(parent)
    # Ctrl-C is the parent's to handle.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    wire = Wire(_taken_from_stdin())
    servant = Servant()
    while True:
        try:
            wire.send(*servant.answer(wire.receive()))
        except (EOFError, OSError):
            return


def _end_with(parent: int) -> None:
    """Have the kernel kill this process when its parent ends; elsewhere than on Linux the closed socket has to do."""
    if sys.platform != "linux" or not parent:
        return
    import ctypes

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it has ended already
        sys.exit()


def _taken_from_stdin() -> socket.socket:
    """The socket that stdin is, out of reach of whatever else reads stdin."""
    connection = socket.socket(fileno=os.dup(0))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return connection


if __name__ == "__main__":
    with looked_for_seldom():
        main(int(sys.argv[1]))
