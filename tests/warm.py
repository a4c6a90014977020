"""Children that open artifacts, forked from one process that has imported every runtime already.

The product starts Python anew for each artifact, which imports torch or coremltools before it reads a byte: most of the
time of a test that only wants logits. How a child starts, ends and is held to its limits is for the tests that start
the product's own: `contract/test_isolation.py` and those in `faults/`.

As a script, `warm.py FD PARENT` is that process: it forks a child for each message on the socket FD.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NoReturn

MOST_BYTES = 200_000


def start(connection: socket.socket, folder: str | None) -> Forked:
    """In place of `runners.child.process._start`, on Linux.

    Args:
        connection: the child's end, over which it is asked.
        folder: for its temporary files; None: the usual one.
    """
    return _server().fork(connection, os.environ | ({} if folder is None else {"TMPDIR": folder}))


class Forked:
    """As much of `subprocess.Popen` as `runners.child.process` uses, of a child that isn't this process's own.

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

    def __init__(self) -> None:
        self._wire, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with there:
            command = [sys.executable, "-P", __file__, str(there.fileno()), str(os.getpid())]
            self._process = subprocess.Popen(command, pass_fds=[there.fileno()], stdin=subprocess.DEVNULL)
        atexit.register(self._process.kill)

    def fork(self, connection: socket.socket, environment: dict[str, str]) -> Forked:
        status, there = os.pipe()
        message = json.dumps([environment, str(Path.cwd())]).encode()
        assert len(message) < MOST_BYTES
        socket.send_fds(self._wire, [message], [connection.fileno(), 2, there])
        os.close(there)
        return Forked(int(self._wire.recv(20)), status)


@cache
def _server() -> _Server:
    return _Server()


def _serve(wire: socket.socket, parent: int) -> None:
    from dvfl_mobile.errors import DvflMobileError
    from dvfl_mobile.runners.base import runtime_of
    from dvfl_mobile.runners.child import child
    from dvfl_mobile.targets import every

    child._end_with(parent)
    for target in every():
        with suppress(DvflMobileError):
            runtime_of(target.runner)
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


def _watch(wire: socket.socket, message: bytes, connection: int, stderr: int, status: int) -> NoReturn:
    """Fork the child, send its number, wait for its end and send how it ended."""
    from dvfl_mobile.runners.child import child

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    watcher = os.getpid()
    pid = os.fork()
    if pid == 0:
        wire.close()
        os.close(status)
        environment, folder = json.loads(message)
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(folder)
        tempfile.tempdir = None
        os.setpgid(0, 0)
        for source, number in ((connection, 0), (stderr, 1), (stderr, 2)):
            os.dup2(source, number)
        os.close(connection)
        os.close(stderr)
        code = 1
        try:
            child.main(watcher)
            code = 0
        finally:
            os._exit(code)
    os.close(connection)
    os.close(stderr)
    with suppress(OSError):  # the child was as quick, or has ended
        os.setpgid(pid, pid)
    wire.send(str(pid).encode())
    wire.close()
    os.write(status, str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])).encode())
    os._exit(0)


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]))
