"""A device that speaks adb's protocol to a real adb server, as far as its first words: PORT unauthorized|mute."""

from __future__ import annotations

import socket
import struct
import sys
import threading

_HEADER = struct.Struct("<6I")
_CNXN, _AUTH = 0x4E584E43, 0x48545541
_TOKEN, _SIGNATURE = 1, 2


def main(port: int, behaviour: str) -> None:
    """Take connections for ever."""
    with socket.create_server(("127.0.0.1", port)) as server:
        while True:
            connection, _ = server.accept()
            threading.Thread(target=serve, args=(connection, behaviour), daemon=True).start()


def serve(connection: socket.socket, behaviour: str) -> None:
    """Take every message; `unauthorized` asks for a signature again and again, `mute` says nothing."""
    with connection, connection.makefile("rb") as stream:
        while header := stream.read(_HEADER.size):
            command, kind, _, length, _, _ = _HEADER.unpack(header)
            stream.read(length)
            if behaviour == "unauthorized" and (command == _CNXN or (command == _AUTH and kind == _SIGNATURE)):
                connection.sendall(message(_AUTH, _TOKEN, 0, bytes(range(20))))


def message(command: int, first: int, second: int, data: bytes) -> bytes:
    """A message of adb's protocol."""
    return _HEADER.pack(command, first, second, len(data), sum(data), command ^ 0xFFFFFFFF) + data


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
