"""The first process of a small world: `unshare` starts it in namespaces of its own, and it does what stdin says.

With it ends whatever was started in its world: when its stdin closes, as it does when the tests end or are killed.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import platform
import signal
import socket
import struct
import subprocess
import sys
from typing import Any

_SIOCSIFFLAGS, _IFF_UP_RUNNING = 0x8914, 0x41
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _FILTER = 38, 22, 2
_AUDIT_ARCH_X86_64, _SYS_SOCKET, _AF_VSOCK = 0xC000003E, 41, 40
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | 97


def main() -> None:
    """Make the world ready, then do what is asked until nobody asks any more."""
    raise_loopback()
    refuse_vsock()
    signal.signal(signal.SIGCHLD, reap)
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)


def answer(asked: dict[str, Any]) -> dict[str, Any]:
    """Start a process, or run one to its end, or send a signal to one."""
    if asked["do"] == "start":
        log = asked["log"]
        with open(log, "ab") as out:  # noqa: PTH123
            process = subprocess.Popen(
                asked["command"], stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=asked["environment"]
            )
        _ours.append(process)
        return {"pid": process.pid}
    if asked["do"] == "run":
        done = subprocess.run(asked["command"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        return {"status": done.returncode, "said": done.stdout + done.stderr}
    try:
        os.kill(asked["pid"], asked["signal"])
    except ProcessLookupError:
        return {"gone": True}
    return {"gone": False}


_ours: list[subprocess.Popen[bytes]] = []


def reap(*_: Any) -> None:
    """Bury those that were started here; an orphan is a process of nobody's, and is left a zombie until the end."""
    for process in _ours:
        process.poll()


def raise_loopback() -> None:
    """A new network has nothing but a loopback interface, which is down."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP_RUNNING))


def refuse_vsock() -> None:
    """adbd also listens on VSOCK, which no network namespace holds: have the kernel say that there is none."""
    if platform.machine() != "x86_64":
        return
    program = b"".join(
        struct.pack("HBBI", *instruction)
        for instruction in (
            (0x20, 0, 0, 4),  # the architecture
            (0x15, 0, 4, _AUDIT_ARCH_X86_64),
            (0x20, 0, 0, 0),  # the system call
            (0x15, 0, 2, _SYS_SOCKET),
            (0x20, 0, 0, 16),  # its first argument
            (0x15, 1, 0, _AF_VSOCK),
            (0x06, 0, 0, _ALLOW),
            (0x06, 0, 0, _REFUSE),
        )
    )
    code = ctypes.create_string_buffer(program)
    wanted = struct.pack("HxxxxxxQ", len(program) // 8, ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(_PR_SET_SECCOMP, _FILTER, wanted, 0, 0):
        raise OSError(ctypes.get_errno(), "no filter for system calls")


if __name__ == "__main__":
    main()
