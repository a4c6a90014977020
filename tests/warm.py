"""Child processes forked from one that has imported already what they need: for tests that aren't about their start.

The product starts Python anew for each artifact and each process of a training, and they import torch or coremltools
before they do anything: most of the time of a test that only wants what they compute. How a child that opens an
artifact starts, ends and is held to its limits is for the tests that start the product's own: those of
`contract/test_isolation.py` and most in `faults/`; how processes of a training start, for those that use torchrun.

As a script, `warm.py FD PARENT WHAT` is that one: it forks a child for each message on the socket FD.
"""

from __future__ import annotations

import atexit
import json
import os
import runpy
import select
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import NoReturn

MOST_BYTES = 200_000
_ASKING = Path(__file__).with_name("asking.py")


def start(connection: socket.socket, folder: str | None, environment: Mapping[str, str]) -> Forked:
    """In place of `runners.child.process._start`, on Linux.

    Args:
        connection: the child's end, over which it is asked.
        folder: for its temporary files; None: the usual one.
        environment: variables beside this process's own; a forked child is past reading those of its loader.
    """
    variables = os.environ | environment | ({} if folder is None else {"TMPDIR": folder})
    return _server("runtimes").fork(connection.fileno(), 2, variables, ())


def started(program: Sequence[object], environment: Mapping[str, str], log: Path) -> Forked:
    """Run a Python file with its arguments, as a training is started; what it prints goes to `log`. On Linux alone."""
    with log.open("ab") as file:
        return _server("training").fork(file.fileno(), file.fileno(), environment, [str(word) for word in program])


@contextmanager
def instead(program: Sequence[object], socket_file: Path) -> Iterator[str]:
    """A shell command that runs a Python file with its arguments and further ones, for scripts that call a tool.

    On Linux alone.

    Args:
        program: of what `dvfl_mobile.cli` needs, all is imported.
        socket_file: where to listen for those that ask.
    """

    # Of this thread, and not of the one that ends with the block: the server ends with what started it.
    server = _server("commands")

    def answer() -> None:
        while wire := _accepted(listening):
            with wire:
                message, files, _, _ = socket.recv_fds(wire, MOST_BYTES, 2)
                arguments, folder, environment = json.loads(message)
                words = [*map(str, program), *arguments]
                child = server.fork(*files, environment, words, folder)
                for file in files:
                    os.close(file)
                wire.send(str(child.wait()).encode())

    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
        listening.bind(str(socket_file))
        listening.listen()
        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield shlex.join([sys.executable, "-I", "-S", str(_ASKING), str(socket_file)])
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def _accepted(listening: socket.socket) -> socket.socket | None:
    try:
        return listening.accept()[0]
    except OSError:  # it was shut down
        return None


class Forked:
    """As much of `subprocess.Popen` as is used, of a child that isn't this process's own.

    Args:
        status: a pipe on which its exit code arrives once it has ended.
    """

    def __init__(self, pid: int, status: int) -> None:
        self.pid, self._status = pid, status
        self.returncode: int | None = None

    def poll(self) -> int | None:
        return self._ended(0)

    def wait(self, timeout: float | None = None) -> int:
        code = self._ended(timeout)
        if code is None:
            raise subprocess.TimeoutExpired("a forked child", timeout or 0)
        return code

    def _ended(self, seconds: float | None) -> int | None:
        if self.returncode is None and select.select([self._status], [], [], seconds)[0]:
            self.returncode = int(os.read(self._status, 20) or -signal.SIGKILL)
            os.close(self._status)
        return self.returncode


class _Server:
    """The process that forks, as those who ask it see it."""

    def __init__(self, what: str) -> None:
        self._wire, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with there:
            command = [sys.executable, "-P", __file__, str(there.fileno()), str(os.getpid()), what]
            process = subprocess.Popen(command, pass_fds=[there.fileno()], stdin=subprocess.DEVNULL)
        atexit.register(process.kill)

    def fork(
        self,
        first: int,
        stderr: int,
        environment: Mapping[str, str],
        program: Sequence[str],
        folder: str | None = None,
    ) -> Forked:
        """Fork a child whose `first` is its stdout if it runs a program, and its stdin otherwise."""
        status, there = os.pipe()
        message = json.dumps([dict(environment), folder or str(Path.cwd()), program]).encode()
        assert len(message) < MOST_BYTES
        socket.send_fds(self._wire, [message], [first, stderr, there])
        os.close(there)
        return Forked(int(self._wire.recv(20)), status)


@cache
def _server(what: str) -> _Server:
    return _Server(what)


def _serve(wire: socket.socket, parent: int, what: str) -> None:
    from dvfl_mobile.runners.child import child

    child._end_with(parent)
    {"runtimes": _import_runtimes, "training": _import_training, "commands": _import_commands}[what]()
    assert len(list(Path("/proc/self/task").iterdir())) == 1, "a fork of several threads may wait for a lock forever"
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        message, files, _, _ = socket.recv_fds(wire, MOST_BYTES, 3)
        if not message:
            return
        if os.fork() == 0:
            _watch(wire, message, *files)
        for file in files:
            os.close(file)


def _import_runtimes() -> None:
    from dvfl_mobile.errors import MissingDependencyError
    from dvfl_mobile.runners.base import runtime_of
    from dvfl_mobile.runners.tracing import load_tracer
    from dvfl_mobile.targets import every

    # Core ML's first: without torch there, which others bring, coremltools imports no converters.
    for target in sorted(every(), key=lambda target: target.name != "coreml"):
        with suppress(MissingDependencyError):
            runtime_of(target.runner, alone=True)
            if target.tracer is not None:
                load_tracer(target.tracer)


def _import_training() -> None:
    import safetensors.torch
    import torch.distributed

    from dvfl_mobile.quantization.calibrate import ptq
    from dvfl_mobile.quantization.graph import stored
    from dvfl_mobile.quantization.qat import train
    from dvfl_mobile.training import loop

    assert all((safetensors.torch, torch.distributed, ptq, stored, train, loop))


def _import_commands() -> None:
    import safetensors.torch
    import typer

    from dvfl_mobile.artifacts import reference
    from dvfl_mobile.cli import main
    from dvfl_mobile.model import student
    from dvfl_mobile.model.checkpoint import load
    from dvfl_mobile.pipeline import check, compare, convert
    from dvfl_mobile.runners import pytorch

    typer.main.get_command(main._app())
    assert all((safetensors.torch, reference, student, load, check, compare, convert, pytorch))


def _watch(wire: socket.socket, message: bytes, first: int, stderr: int, status: int) -> NoReturn:
    """Fork the child, tell its number, wait for its end and send how it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    watcher = os.getpid()
    pid = os.fork()
    if pid == 0:
        wire.close()
        os.close(status)
        environment, folder, program = json.loads(message)
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(folder)
        tempfile.tempdir = None
        os.setpgid(0, 0)
        # A child that opens artifacts is asked over its stdin.
        for source, number in ((first, 1), (stderr, 2)) if program else ((first, 0), (stderr, 1), (stderr, 2)):
            os.dup2(source, number)
        os.close(first)
        if stderr != first:
            os.close(stderr)
        _be(program, watcher)
    os.close(first)
    os.close(stderr)
    with suppress(OSError):  # the child was as quick, or has ended
        os.setpgid(pid, pid)
    wire.send(str(pid).encode())
    wire.close()
    os.write(status, str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])).encode())
    os._exit(0)


def _be(program: Sequence[str], watcher: int) -> NoReturn:
    """The program, or without one the child that opens artifacts."""
    from dvfl_mobile.runners.child import child

    code = 1
    try:
        if program:
            child._end_with(watcher)
            # Those that there are take them for files of the kind that the server was given.
            sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 (until the end)
            sys.stderr = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
            warnings.simplefilter("ignore")
            sys.argv[:] = program
            runpy.run_path(program[0], run_name="__main__")
        else:
            child.main(watcher)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]), sys.argv[3])
