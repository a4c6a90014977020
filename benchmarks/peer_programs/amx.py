"""Do without AMX, x86's unit for matrix products of int8, which no phone has and not every engine has kernels for.

    python benchmarks/peer_programs/amx.py COMMAND ...

Linux lends it to processes that ask (Documentation/arch/x86/xstate.rst): a filter makes the asking fail, and engines
then do as on a processor that has none. Of its kin, AVX-512 VNNI stays, which computes as Arm's dot product does.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys

_NO_NEW_PRIVILEGES, _SECCOMP, _FILTER = 38, 22, 2
_X86_64, _ARCH_PRCTL, _REQUEST = 0xC000003E, 158, 0x1023
_LOAD, _EQUALS, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050001
# Each with how many lines to go on where it equals, and where it doesn't.
_PROGRAM = (
    (_LOAD, 0, 0, 4),  # the architecture
    (_EQUALS, 0, 5, _X86_64),
    (_LOAD, 0, 0, 0),  # the call
    (_EQUALS, 0, 3, _ARCH_PRCTL),
    (_LOAD, 0, 0, 16),  # its first argument
    (_EQUALS, 0, 1, _REQUEST),
    (_RETURN, 0, 0, _REFUSE),
    (_RETURN, 0, 0, _ALLOW),
)


class _Filter(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("program", ctypes.c_void_p))


def refuse() -> None:
    """From here on nobody in this process gets AMX; before any engine is loaded. Elsewhere than on Linux nobody has.

    Raises:
        OSError: the system takes no filter.
    """
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        return
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in _PROGRAM))
    given = _Filter(len(_PROGRAM), ctypes.addressof(code))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    if prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) or prctl(_SECCOMP, _FILTER, ctypes.byref(given), 0, 0):
        raise OSError(ctypes.get_errno(), "Linux takes no filter of system calls here")


if __name__ == "__main__":
    refuse()
    os.execvp(sys.argv[1], sys.argv[1:])
