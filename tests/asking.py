"""As a script, `asking.py SOCKET ARGUMENT…` has a command run by whoever listens, in this process's surroundings."""

from __future__ import annotations

import json
import os
import socket
import sys


def main() -> int:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as wire:
        wire.connect(sys.argv[1])
        message = json.dumps([sys.argv[2:], os.getcwd(), dict(os.environ)])  # noqa: PTH109 (pathlib takes longer to import)
        socket.send_fds(wire, [message.encode()], [1, 2])
        return int(wire.recv(20))


if __name__ == "__main__":
    sys.exit(main())
