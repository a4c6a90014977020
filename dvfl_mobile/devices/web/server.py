"""What serves the page, and hears it: a small HTTP server that knows a fixed list of names below a secret address.

No path of a request ever reaches the file system. Every connection has a deadline for whatever it is doing, and there
are no more than `MOST_CONNECTIONS`.
"""

from __future__ import annotations

import hmac
import json
import re
import secrets
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import TCPServer
from typing import Any

from pydantic import ValidationError

from dvfl_mobile.devices.web.hello import Hello
from dvfl_mobile.devices.web.session import MOST_LINES_BYTES, RefusedError, Session
from dvfl_mobile.errors import DeviceError
from dvfl_mobile.version import __version__
from dvfl_mobile.wording import first_problem

MOST_CONNECTIONS = 48
REQUEST_S = 20.0
"""For a request's head and small body, and between two requests of one connection."""

_BYTES_PER_S = 64 * 2**10
"""Whoever reads or writes more slowly is cut off, after `REQUEST_S` for a start."""

_CHUNK_BYTES = 256 * 2**10
_MOST_HELLO_BYTES = 64 * 2**10
_BEAT_S = 1.0
_LOOK_S = 0.25
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".wasm": "application/wasm",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".tflite": "application/octet-stream",
    ".md": "text/plain; charset=utf-8",
}
# Nothing is loaded but what is served here, and nothing is sent elsewhere. Those that name origins give a page threads.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; "
    "connect-src 'self'; style-src 'self'; img-src 'self' data:; media-src blob:; manifest-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_JOB = re.compile(r"job/([\w-]{1,64})/(\w{1,16})")


class Server:
    """Serves files and a session, in threads of its own, until it is closed.

    Args:
        session: None: files alone.
        files: what is served, by its name.
        host: the address to listen on.
        port: 0: one that is free.
        tls: how to encrypt; None: not at all, for this machine alone.

    Attributes:
        token: without it in its path nothing is answered.

    Raises:
        DeviceError: it can't listen there.
    """

    def __init__(
        self,
        session: Session | None,
        files: Mapping[str, Path],
        host: str = "127.0.0.1",
        port: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.token = secrets.token_urlsafe(16)
        try:
            self._server = _Listening((host, port), session, files, self.token, tls)
        except OSError as error:
            raise DeviceError(
                f"Nothing can be served at {host}:{port}: {error.strerror or error}.",
                hint="Name an address of this machine, and a port that is free.",
            ) from error
        self._host, self._scheme = host, "https" if tls else "http"
        threading.Thread(target=self._server.serve_forever, args=(_LOOK_S,), daemon=True).start()
        threading.Thread(target=self._server.watch, daemon=True).start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    @property
    def address(self) -> str:
        """The address of the page, secret and all."""
        return f"{self._scheme}://{_as_host(self._host)}:{self.port}/{self.token}/"

    def close(self) -> None:
        """Stop: every connection ends."""
        self._server.shutdown()
        self._server.server_close()
        self._server.cut_all()


class _Listening(ThreadingHTTPServer):
    """The socket, and what its connections have in common.

    Attributes:
        hosts: what a request may call this server.
    """

    daemon_threads = True
    request_queue_size = 2 * MOST_CONNECTIONS

    def __init__(
        self,
        address: tuple[str, int],
        session: Session | None,
        files: Mapping[str, Path],
        token: str,
        tls: ssl.SSLContext | None,
    ) -> None:
        self.session, self.files, self.token, self._tls = session, files, token, tls
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._lock = threading.Lock()
        self._deadlines: dict[socket.socket, float] = {}
        self._is_over = threading.Event()
        super().__init__(address, _Handler)
        self.hosts = (f"{_as_host(address[0])}:{self.server_port}", f"localhost:{self.server_port}")

    def server_bind(self) -> None:
        # HTTPServer's own asks the name servers for this machine's name.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = "", self.server_address[1]

    def put_off(self, connection: socket.socket, seconds: float | None) -> None:
        """Let a connection go on for so long; None: for as long as it stands."""
        with self._lock:
            self._deadlines[connection] = float("inf") if seconds is None else time.monotonic() + seconds

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            is_full = len(self._deadlines) >= MOST_CONNECTIONS
            if not is_full:
                self._deadlines[request] = time.monotonic() + REQUEST_S
        if is_full:
            _turn_away(request, encrypted=self._tls is not None)
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def finish_request(self, request: Any, client_address: Any) -> None:
        # In the connection's own thread: whoever doesn't answer a handshake keeps nobody else waiting.
        used = request
        try:
            if self._tls is not None:
                request.settimeout(REQUEST_S)
                used = self._tls.wrap_socket(request, server_side=True)
                with self._lock:
                    self._deadlines[used] = self._deadlines.pop(request)
            _Handler(used, client_address, self)
        finally:
            with self._lock:
                self._deadlines.pop(request, None)
                self._deadlines.pop(used, None)
            if used is not request:
                with suppress(OSError):
                    used.close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: a connection that breaks is the other side's, and what it means for a job is said there."""

    def watch(self) -> None:
        """Cut every connection whose time is over."""
        while not self._is_over.wait(_LOOK_S):
            with self._lock:
                late = [connection for connection, until in self._deadlines.items() if time.monotonic() > until]
            for connection in late:
                _cut(connection)

    def cut_all(self) -> None:
        """Cut every connection, and stop watching."""
        self._is_over.set()
        with self._lock:
            connections = list(self._deadlines)
        for connection in connections:
            _cut(connection)


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server_version = f"dvfl-mobile/{__version__}"
    sys_version = ""
    server: _Listening

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_POST(self) -> None:
        self._answer(self._post)

    def handle_one_request(self) -> None:
        self.server.put_off(self.connection, REQUEST_S)
        super().handle_one_request()

    def log_message(self, *_: Any) -> None:
        """Nothing: the address is a secret."""

    def _answer(self, serve: Callable[[str], None]) -> None:
        try:
            serve(self._name())
        except RefusedError as error:
            self.close_connection = True
            self._send(error.status, "text/plain; charset=utf-8", error.problem.encode())
        except OSError:
            self.close_connection = True

    def _name(self) -> str:
        """What is asked for, below the secret.

        Raises:
            RefusedError: the secret isn't there, or this isn't the server that the request is for.
        """
        path = self.path.partition("?")[0]
        _, token, name = [*path.split("/", 2), "", ""][:3]
        # A page of somebody else's that was given this machine's address as its own name's.
        is_here = (self.headers.get("Host") or "").lower() in self.server.hosts
        if not is_here or not hmac.compare_digest(token.encode(), self.server.token.encode()):
            raise RefusedError(404, "There is nothing here.")
        return name

    def _get(self, name: str) -> None:
        session = self.server.session
        if session is not None and (found := _JOB.fullmatch(name)):
            job, what = found[1], found[2]
            data = session.part(job, what)
            try:
                self._send(200, "application/octet-stream", data, lambda: session.goes_on(job))
            except OSError:
                session.lose(job, f"stopped reading the {what} that it asked for, or read too slowly")
                raise
        elif (path := self.server.files.get(name or "index.html")) is not None:
            self._send(200, _TYPES[path.suffix], path.read_bytes(), kept=path.suffix == ".wasm")
        else:
            raise RefusedError(404, "There is nothing here.")

    def _post(self, name: str) -> None:
        session = self.server.session
        if session is None:
            raise RefusedError(404, "There is nothing here.")
        if name == "attend":
            self._attend(session)
            return
        found = _JOB.fullmatch(name)
        if found is None or found[2] not in ("lines", "output"):
            raise RefusedError(404, "There is nothing here.")
        job, what = found[1], found[2]
        if what == "output":
            size = session.output_bytes(job)
            data = self._body(size)
            if len(data) != size:
                raise RefusedError(422, f"Logits of {size} bytes are asked for.")
            session.take_output(job, data)
        else:
            first = re.search(r"\?from=(\d{1,9})$", self.path)
            if first is None:
                raise RefusedError(422, "Lines come with the number of the first of them.")
            session.take_lines(job, int(first[1]), self._body(MOST_LINES_BYTES))
        self._send(200, "text/plain; charset=utf-8", b"taken\n")

    def _attend(self, session: Session) -> None:
        """Tell a page what to do, for as long as its connection stands: that it ends is how a closed page is known."""
        try:
            hello = Hello.model_validate_json(self._body(_MOST_HELLO_BYTES))
        except ValidationError as error:
            raise RefusedError(422, f"That isn't how a page begins: {first_problem(error)}.") from error
        attendance = session.attend(hello)
        self.close_connection = True
        try:
            self._head(200, "application/x-ndjson", None)
            event: dict[str, object] | None = {"event": "welcome"}
            while not _is_gone(self.connection):
                self.server.put_off(self.connection, REQUEST_S)
                self.wfile.write((json.dumps(event) if event else "").encode() + b"\n")
                if event and event["event"] in ("done", "over"):
                    return
                event = session.next_event(attendance, _BEAT_S)
        finally:
            session.leave(attendance)

    def _body(self, most_bytes: int) -> bytes:
        length = self.headers.get("Content-Length", "")
        if not re.fullmatch(r"\d{1,12}", length) or self.headers.get("Transfer-Encoding"):
            raise RefusedError(411, "The length of what is sent has to be given.")
        if int(length) > most_bytes:
            raise RefusedError(413, f"No more than {most_bytes} bytes are taken here.")
        self.server.put_off(self.connection, REQUEST_S + int(length) / _BYTES_PER_S)
        data = self.rfile.read(int(length))
        if len(data) != int(length):
            raise ConnectionError
        return data

    def _send(
        self, status: int, kind: str, data: bytes, moved: Callable[[], None] = lambda: None, *, kept: bool = False
    ) -> None:
        self.server.put_off(self.connection, REQUEST_S + len(data) / _BYTES_PER_S)
        self._head(status, kind, len(data), kept=kept)
        for start in range(0, len(data), _CHUNK_BYTES):
            self.wfile.write(data[start : start + _CHUNK_BYTES])
            moved()

    def _head(self, status: int, kind: str, length: int | None, *, kept: bool = False) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        # What is large and pinned is fetched once, and not for each page that is loaded.
        self.send_header("Cache-Control", "private, max-age=3600, immutable" if kept else "no-store")
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        if length is not None:
            self.send_header("Content-Length", str(length))
        if self.close_connection or length is None:
            self.send_header("Connection", "close")
        self.end_headers()


def _as_host(host: str) -> str:
    """An IP address as it stands in the address of a page."""
    return f"[{host}]" if ":" in host else host


def _is_gone(connection: socket.socket) -> bool:
    """Whether the other side has closed it: it says nothing more where it only waits."""
    connection.settimeout(0.0)
    try:
        return connection.recv(1) == b""
    except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
        return False
    finally:
        connection.settimeout(REQUEST_S)


def _turn_away(connection: socket.socket, *, encrypted: bool) -> None:
    """Say that there are too many, to whoever can hear it before it is encrypted."""
    if encrypted:
        return
    text = b"Too many connections at once.\n"
    head = f"HTTP/1.1 503 Busy\r\nContent-Length: {len(text)}\r\nConnection: close\r\nRetry-After: 1\r\n\r\n"
    with suppress(OSError):
        connection.settimeout(_LOOK_S)
        connection.sendall(head.encode() + text)


def _cut(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
