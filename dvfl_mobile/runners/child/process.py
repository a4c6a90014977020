"""The child process as its parent handles it: start, request, end."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from dvfl_mobile.errors import ArtifactError, DvflMobileError
from dvfl_mobile.runners.child import failures
from dvfl_mobile.runners.child.frames import NO_ARRAY, BrokenMessageError, Document, Message, Wire
from dvfl_mobile.runners.child.limits import DEADLINE_HINT, MEMORY_HINT, Limits
from dvfl_mobile.spelling import option, spoken

_MODULE = "dvfl_mobile.runners.child.child"
MOST_ANSWERED_BYTES = 16 * 2**20
_LEAVING_S = 2.0

_VERBS = {
    **dict.fromkeys(("open", "package"), "load"),
    **dict.fromkeys(("run", "time", "trace", "value", "give", "execute", "take"), "run"),
}
_DISTRUST = "Don't use this file: get it again from where it came, or convert again."
_CRASHED = (
    "The file is damaged or hostile, or needs more memory than it may have; only the process that read it was hurt. "
    "Convert again."
)


class Child:
    """A child process that opens one artifact.

    Args:
        path: the artifact's file, to be named in errors.
        writes: whether its runtime writes temporary files; they go with the child, however it ends.
        environment: variables that it gets beside this process's own.
    """

    def __init__(self, path: Path, *, writes: bool = False, environment: Mapping[str, str] | None = None) -> None:
        self._path = path
        self._failure: DvflMobileError | None = None
        self._lock = threading.Lock()
        here, there = socket.socketpair()
        folder = tempfile.mkdtemp(prefix="dvfl-mobile-") if writes else None
        with there:
            self._process = _start(there, folder, environment or {})
        self._wire = Wire(here)
        self._end = weakref.finalize(self, _end, os.getpid(), self._process, self._wire, folder)

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    def prepare(self, runtime: str, limits: Limits, tracer: str | None = None) -> None:
        """Have the child import what runs the artifact, before it is shown any of it. Raises what `ask` does.

        Args:
            runtime: the module's name, as `runtime_of` takes it.
            tracer: that of the target's tracer, for a child that is to trace.
        """
        question = {"runtime": runtime, "written_bytes": limits.written_bytes, "speaking": asdict(spoken())}
        watching = {} if tracer is None else {"tracer": tracer}
        self.ask({"do": "prepare", **question, **watching}, limits.deadline_s)

    def ask(
        self,
        document: Document,
        seconds: float,
        array: NDArray[Any] = NO_ARRAY,
        most_bytes: int = MOST_ANSWERED_BYTES,
    ) -> Message:
        """The child's answer to a message.

        Args:
            document: what to `do`, and with what.
            seconds: how long it may take.
            most_bytes: of an answer.

        Raises:
            DvflMobileError: what the child raised; or how it ended, an `ArtifactError` once it has the file.
        """
        with self._lock:
            if self._failure is not None:
                raise self._failure
            try:
                answer = self._exchange(document, seconds, array, most_bytes)
            except DvflMobileError:
                raise
            except BaseException:
                # Broken off in the middle, as by Ctrl-C: what it says next would belong to no question.
                self._give_up(ArtifactError(f"Running {self._path} was broken off.", hint="Open it again."))
                raise
        if "error" in answer.document:
            raise failures.from_document(answer.document["error"])
        return answer

    def nonsense(self, what: str) -> ArtifactError:
        """The error for an answer that can't be; the child is ended."""
        return self._give_up(ArtifactError(f"{self._path}: the process that runs it answered {what}.", hint=_DISTRUST))

    def close(self) -> None:
        """End the child."""
        self._failure = self._failure or ArtifactError(f"{self._path} was closed.", hint="Open it again.")
        self._end()

    def _exchange(self, document: Document, seconds: float, array: NDArray[Any], most_bytes: int) -> Message:
        until = time.monotonic() + seconds
        doing = document["do"]
        try:
            self._wire.send(document | {"seconds": seconds}, array, until)
            return self._wire.receive(until, most_bytes)
        except TimeoutError:
            how = f"it took longer than {seconds:g} seconds and was ended"
            raise self._give_up(self._failed(doing, how, DEADLINE_HINT)) from None
        except BrokenMessageError as error:
            raise self.nonsense(f"what is no answer ({error})") from error
        except (EOFError, OSError):
            raise self._give_up(self._failed(doing, *_ending(self._process))) from None

    def _failed(self, doing: str, how: str, hint: str) -> DvflMobileError:
        if doing not in _VERBS:
            problem = f"The process that is to run {self._path} can't get ready: {how}."
            return DvflMobileError(problem, hint=f"It hasn't read the file yet. {option('debug')} shows what it says.")
        return ArtifactError(f"The runtime can't {_VERBS[doing]} {self._path}: {how}.", hint=hint)

    def _give_up(self, error: DvflMobileError) -> Any:
        self._failure = error
        self._end()
        return error


def _start(connection: socket.socket, folder: str | None, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    # The kernel ends a child with the *thread* that started it, and only the main one is sure to last.
    parent = os.getpid() if threading.current_thread() is threading.main_thread() else 0
    return subprocess.Popen(
        [sys.executable, "-P", "-m", _MODULE, str(parent)],
        stdin=connection.fileno(),
        stdout=2,  # what runtimes print is no result
        env=os.environ | environment | ({} if folder is None else {"TMPDIR": folder}),
        process_group=0,  # Ctrl-C at a terminal is for the parent
    )


def _ending(process: subprocess.Popen[bytes]) -> tuple[str, str]:
    """How a child ended that closed the connection, and what to do."""
    try:
        code = process.wait(_LEAVING_S)
    except subprocess.TimeoutExpired:
        return "its process closed the connection", _DISTRUST
    if code >= 0:
        return f"its process ended with exit code {code}", _DISTRUST
    name = signal.Signals(-code).name
    if name == "SIGXCPU":
        return f"its process computed for too long and was ended ({name})", DEADLINE_HINT
    if name == "SIGKILL":
        return f"its process was killed ({name})", f"The machine may have run out of memory. {MEMORY_HINT}"
    return f"its process crashed ({name})", _CRASHED


def _end(parent: int, process: subprocess.Popen[bytes], wire: Wire, folder: str | None) -> None:
    wire.close()
    if os.getpid() != parent:  # a fork, such as a loader's worker, has a copy of what isn't its own
        return
    _kill(process)  # it holds nothing that is worth an orderly end
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a child and whatever it started, and leave no zombie."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
