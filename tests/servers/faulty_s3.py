"""A proxy in front of the real S3 server that goes wrong as it is told, request by request.

It hands on the header Host, which the signature covers, so the server takes it for itself. The server behind it may be
killed and started again on another port: whoever asks meanwhile finds the connection closed.
"""

from __future__ import annotations

import http.client
import math
import random
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from demo.services import S3

DEADLINE_S = 30
"""No connection waits longer for the other side."""

Answer = tuple[int, dict[str, str], bytes]
"""Status, headers and body."""


def pass_on(request: BaseHTTPRequestHandler, upstream: str, sent: bytes) -> Answer:
    """What the server at this URL says to a request with this body."""
    there = http.client.HTTPConnection(urlsplit(upstream).netloc, timeout=DEADLINE_S)
    try:
        there.putrequest(request.command, request.path, skip_host=True, skip_accept_encoding=True)
        for name, value in request.headers.items():
            if name not in ("Expect", "Connection"):
                there.putheader(name, value)
        there.endheaders(sent)
        answer = there.getresponse()
        body = answer.read()
        dropped = ("connection", "transfer-encoding", "keep-alive", "content-length")
        headers = {name: value for name, value in answer.getheaders() if name.lower() not in dropped}
        length = answer.getheader("Content-Length", "0") if request.command == "HEAD" else str(len(body))
        return answer.status, {**headers, **({"Content-Length": length} if answer.status != 204 else {})}, body
    finally:
        there.close()


Choose = Callable[[str, str], str | None]
"""Method and path of a request → the fault that it meets (of FAULTS), or None."""


def slow_down(handler: Handler) -> None:
    handler.refuse(503, "SlowDown")


def expired(handler: Handler) -> None:
    handler.refuse(403, "ExpiredToken")


def reset(handler: Handler) -> None:
    """Nothing has come to the server."""
    handler.hang_up()


def lose_answer(handler: Handler) -> None:
    """The server has done what was asked, and nobody hears of it."""
    handler.ask()
    handler.hang_up()


def half(handler: Handler) -> None:
    """Half of the body, where there is one, and the connection ends."""
    status, headers, body = handler.ask()
    handler.answer(status, headers, body[: len(body) // 2])
    handler.hang_up()


def change_midway(handler: Handler) -> None:
    """As `half`, once the test has done something: whoever asks again finds something else."""
    status, headers, body = handler.ask()
    handler.server.meanwhile()
    handler.answer(status, headers, body[: len(body) // 2])
    handler.hang_up()


def garble(handler: Handler) -> None:
    """One bit of an object's bytes isn't what it was, so that no checksum is right."""
    status, headers, body = handler.ask()
    if handler.command == "GET" and status in (200, 206) and body and "?" not in handler.path:
        middle = len(body) // 2
        body = body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :]
    handler.answer(status, headers, body)


FAULTS: dict[str, Callable[[Handler], None]] = {
    "slow_down": slow_down,
    "expired": expired,
    "reset": reset,
    "lose_answer": lose_answer,
    "half": half,
    "change_midway": change_midway,
    "garble": garble,
}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = DEADLINE_S
    server: FaultyS3

    def log_message(self, *args: Any) -> None:
        """Nothing: tests read what was met at `FaultyS3.met`."""

    def do_any(self) -> None:
        self.sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = self.path.partition("?")[0]
        fault = self.server.choose(self.command, path)
        self.server.met[fault] += 1
        try:
            if fault:
                FAULTS[fault](self)
            else:
                self.answer(*self.ask())
        except (OSError, http.client.HTTPException):  # the server is away, or the client has gone
            self.hang_up()

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = do_any

    def ask(self) -> Answer:
        return pass_on(self, self.server.behind.endpoint, self.sent)

    def answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def refuse(self, status: int, code: str) -> None:
        body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>as told</Message></Error>".encode()
        headers = {"Content-Type": "application/xml", "Content-Length": str(len(body))}
        self.answer(status, headers, b"" if self.command == "HEAD" else body)

    def hang_up(self) -> None:
        """A reset, no orderly end."""
        self.close_connection = True
        with suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()


class FaultyS3(ThreadingHTTPServer):
    """behind: the real server. choose: which request meets which fault. met: how many met each. meanwhile: see
    `change_midway`."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, behind: S3) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.behind = behind
        self.choose: Choose = lambda _method, _path: None
        self.met: Counter[str | None] = Counter()
        self.meanwhile: Callable[[], object] = lambda: None
        self._lock = threading.Lock()

    @property
    def env(self) -> dict[str, str]:
        """What leads boto3 and DuckDB here."""
        return replace(self.behind, endpoint=f"http://127.0.0.1:{self.server_port}").env

    def go_wrong(self, seed: float, *faults: str, share: float, times: int, after: int = 0, only: str = "") -> None:
        """Let this share of the requests meet one of these faults by chance, so many in all, once `after` have come.

        only: requests for paths that hold this.
        """
        chance, left, come = random.Random(seed), times, 0

        def choose(_method: str, path: str) -> str | None:
            nonlocal left, come
            if only not in path:
                return None
            with self._lock:
                come += 1
                if come <= after or not left or chance.random() >= share:
                    return None
                left -= 1
                return chance.choice(faults)

        self.choose = choose

    def slow_down_for(self, seconds: float, *, after: int) -> Callable[[], bool]:
        """Answer SlowDown to every request once `after` have come, for so long by the clock on the wall.

        Returns what says whether that is still to come or goes on.
        """
        come, until = 0, math.inf

        def choose(_method: str, _path: str) -> str | None:
            nonlocal come, until
            with self._lock:
                come += 1
                if come == after + 1:
                    until = time.monotonic() + seconds
                return "slow_down" if come > after and time.monotonic() < until else None

        self.choose = choose
        return lambda: time.monotonic() < until

    def go_right(self) -> None:
        self.choose = lambda _method, _path: None

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up is no trouble here."""


@contextmanager
def faulty_s3(behind: S3) -> Iterator[FaultyS3]:
    server = FaultyS3(behind)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
