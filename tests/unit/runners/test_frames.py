"""Messages between the tool and its child: whole, or refused in time."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from dvfl_mobile.runners.child.frames import NO_ARRAY, BrokenMessageError, Wire

Ends = tuple[Wire, socket.socket]


@pytest.fixture
def ends() -> Iterator[Ends]:
    """A wire, and the bare socket at its other end."""
    here, there = socket.socketpair()
    with here, there:
        yield Wire(here), there


def bytes_of(document: Any, about: Any, data: bytes) -> bytes:
    text = json.dumps([document, about]).encode()
    return struct.pack(">QQ", len(text), len(data)) + text + data


@pytest.mark.parametrize(
    "array",
    [NO_ARRAY, np.arange(24, dtype=np.uint8).reshape(2, 3, 4)[:, ::-1], np.array([[1.5, -np.inf]], np.float32)],
    ids=["none", "strided", "float"],
)
def test_a_message_arrives_as_it_was_sent(ends: Ends, array: np.ndarray) -> None:
    wire, there = ends
    document = {"path": "caf\u00e9 \udc80", "count": 2**60, "nothing": None}
    wire.send(document, array)
    message = Wire(there).receive(until=time.monotonic() + 5)
    assert message.document == document
    assert message.array.dtype == array.dtype
    assert np.array_equal(message.array, array)


def test_a_message_larger_than_the_connection_holds(ends: Ends) -> None:
    wire, there = ends
    array = np.random.RandomState(0).randint(0, 256, 10**7).astype(np.uint8)
    thread = threading.Thread(target=wire.send, args=({}, array))
    thread.start()
    assert np.array_equal(Wire(there).receive().array, array)
    thread.join()


@pytest.mark.parametrize(
    ("data", "how"),
    [
        (struct.pack(">QQ", 2**40, 0), "claims to have"),
        (struct.pack(">QQ", 2, 2**63), "claims to have"),
        (bytes_of({}, {"dtype": "float32", "shape": [2]}, b"1234"), "doesn't fit"),
        (bytes_of({}, {"dtype": "uint8", "shape": [-1, -4]}, b"1234"), "doesn't fit"),
        (bytes_of({}, {"dtype": "uint8", "shape": [2**40, 2**40]}, b""), "doesn't fit"),
        (bytes_of({}, {"dtype": "object", "shape": [1]}, b"12345678"), "object"),
        (bytes_of({}, {"dtype": "uint8", "shape": "a"}, b""), ""),
        (bytes_of({}, {"dtype": ["uint8"], "shape": []}, b"1"), ""),
        (bytes_of({}, {"shape": [0]}, b""), ""),
        (bytes_of({}, 7, b""), ""),
        (bytes_of([], {"dtype": "uint8", "shape": [0]}, b""), "no object"),
        (struct.pack(">QQ", 4, 0) + b"null", ""),
        (struct.pack(">QQ", 4, 0) + b"\xff\xfe{}", ""),
        (struct.pack(">QQ", 5000, 0) + b"[" * 5000, ""),
        (struct.pack(">QQ", 5000, 0) + b"9" * 5000, ""),
    ],
)
def test_what_is_no_message(ends: Ends, data: bytes, how: str) -> None:
    wire, there = ends
    there.sendall(data)
    with pytest.raises(BrokenMessageError, match=how or None):
        wire.receive(time.monotonic() + 5, most_bytes=2**20)


@pytest.mark.parametrize("part", [0, 7, 16, 20])
def test_an_end_in_the_middle(ends: Ends, part: int) -> None:
    wire, there = ends
    there.sendall(bytes_of({}, {"dtype": "uint8", "shape": [4]}, b"1234")[:part])
    there.close()
    with pytest.raises(EOFError):
        wire.receive(time.monotonic() + 5)


@pytest.mark.parametrize("part", [0, 7, 16, 20])
def test_a_message_that_does_not_come_in_time(ends: Ends, part: int) -> None:
    wire, there = ends
    there.sendall(bytes_of({}, {"dtype": "uint8", "shape": [4]}, b"1234")[:part])
    start = time.monotonic()
    with pytest.raises(TimeoutError):
        wire.receive(start + 0.2)
    assert time.monotonic() - start < 3


def test_a_message_that_drips_does_not_hold_anyone_up(ends: Ends) -> None:
    wire, there = ends
    stop = threading.Event()

    def drip() -> None:
        there.sendall(struct.pack(">QQ", 10**6, 0))
        while not stop.wait(0.01):
            there.sendall(b" ")

    thread = threading.Thread(target=drip)
    thread.start()
    start = time.monotonic()
    with pytest.raises(TimeoutError):
        wire.receive(start + 0.3)
    stop.set()
    thread.join()
    assert time.monotonic() - start < 3


def test_what_came_while_nobody_looked_still_counts(ends: Ends) -> None:
    """The tool may have been stopped with Ctrl-Z beyond the deadline."""
    wire, there = ends
    Wire(there).send({"late": False})
    assert wire.receive(time.monotonic() - 100).document == {"late": False}


def test_a_message_that_nobody_takes(ends: Ends) -> None:
    wire, _ = ends
    start = time.monotonic()
    for until in (start + 0.2, start - 1):
        with pytest.raises(TimeoutError):
            wire.send({}, np.zeros(10**7, np.uint8), until)
    assert time.monotonic() - start < 3
