"""A page in Python, in a browser's place: it speaks to the server as the page does, or otherwise."""

from __future__ import annotations

import hashlib
import http.client
import json
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dvfl_mobile.devices.harness.protocol import Asked, TensorFacts
from dvfl_mobile.devices.web.server import Server
from dvfl_mobile.devices.web.session import Session, Work
from tests.transcripts import events_of

CLIP = TensorFacts(shape=(1, 1, 1, 2), dtype="float32")
LOGITS = b"\x00\x00\x80\x3f\x00\x00\x00\x40\x00\x00\x40\x40"
HELLO = {
    "page": "0" * 32,
    "agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36",
    "platform": "Linux",
    "cores": 8,
    "memory_mib": 8192,
    "isolated": True,
    "adapter": None,
}


def work(runs: int = 4) -> Work:
    """One clip, again and again, of a network of three classes."""
    asked = Asked(mode="time", clips=1, classes=3, input=CLIP, warmup=1, runs=runs)
    return Work(asked, {"model": b"TFL3", "input": bytes(8)}, {"accelerator": "wasm"})


@contextmanager
def served(files: dict[str, Path] | None = None, tls: ssl.SSLContext | None = None) -> Iterator[tuple[Session, Server]]:
    """A session, and the server that speaks for it."""
    session = Session("web")
    server = Server(session, files or {}, tls=tls)
    try:
        yield session, server
    finally:
        session.close("over")
        server.close()


@dataclass
class Page:
    """A page that knows its address."""

    address: str
    tls: ssl.SSLContext | None = None

    def connection(self) -> http.client.HTTPConnection:
        """A new connection to the server."""
        parts = urlsplit(self.address)
        assert parts.hostname is not None
        if self.tls is not None:
            return http.client.HTTPSConnection(parts.hostname, parts.port, timeout=20, context=self.tls)
        return http.client.HTTPConnection(parts.hostname, parts.port, timeout=20)

    def path(self, name: str) -> str:
        return urlsplit(self.address).path + name

    def ask(self, name: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
        """One request: its status, and what it gave."""
        connection = self.connection()
        try:
            connection.request("GET" if body is None else "POST", self.path(name), body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def attend(self, **changes: Any) -> Attending:
        """Begin as a page does."""
        connection = self.connection()
        connection.request("POST", self.path("attend"), json.dumps({**HELLO, **changes}).encode())
        return Attending(self, connection, connection.getresponse())


@dataclass
class Attending:
    """A page's connection that stands, and what comes by it."""

    page: Page
    connection: http.client.HTTPConnection
    answer: http.client.HTTPResponse

    def event(self, kind: str) -> dict[str, Any]:
        """The next event of a kind."""
        while line := self.answer.readline():
            if line.strip():
                event: dict[str, Any] = json.loads(line)
                if event["event"] == kind:
                    return event
        raise EOFError(kind)

    def job(self) -> dict[str, Any]:
        """The next job."""
        found: dict[str, Any] = self.event("job")["job"]
        return found

    def leave(self) -> None:
        """Close the connection, as a closed tab does."""
        self.answer.close()
        self.connection.close()


@dataclass(frozen=True)
class Answer:
    """All that a page sends for a job."""

    output: bytes
    lines: tuple[bytes, ...]


def answer_to(job: dict[str, Any], asked: Asked, events: Sequence[dict[str, Any]] | None = None) -> Answer:
    """What a good page sends."""
    given = [event for event in events_of(asked, LOGITS) if event["event"] != "operator"] if events is None else events
    lines = [json.dumps(event).encode() + b"\n" for event in given]
    digest = hashlib.sha256(job["opening"].encode() + b"".join(lines)).hexdigest()
    counts = {"warmup": asked.warmup, "runs": asked.runs, "clips": asked.clips, "lines": len(lines)}
    end = {"event": "end", **counts, "lines_sha256": digest}
    return Answer(LOGITS, (*lines, json.dumps(end).encode() + b"\n"))


def give(page: Page, job_id: str, answer: Answer) -> list[int]:
    """Send it, and give the statuses that came back."""
    statuses = [page.ask(f"job/{job_id}/output", answer.output)[0]]
    return [*statuses, page.ask(f"job/{job_id}/lines?from=0", b"".join(answer.lines))[0]]
