"""A door in front of an S3 server that counts what is asked of its objects, whoever asks."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

PIECE_BYTES = 64 << 10


@dataclass
class Counts:
    """Requests for objects (not listings), and bytes of their bodies that went through."""

    requests: int = 0
    bytes: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def reset(self) -> None:
        with self.lock:
            self.requests = self.bytes = 0

    def add(self, *, requests: int = 0, count: int = 0) -> None:
        with self.lock:
            self.requests += requests
            self.bytes += count


@contextmanager
def counted(endpoint: str) -> Iterator[tuple[str, Counts]]:
    """The door's own endpoint, for reading only, and what it counts: GET and HEAD of objects."""
    counts = Counts()
    behind = urlsplit(endpoint).netloc

    class Door(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            counts_it = "/" in urlsplit(self.path).path.strip("/")  # /bucket/key
            if counts_it:
                counts.add(requests=1)
            connection = HTTPConnection(behind)
            try:
                # with the same Host header, which is part of the signature
                connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
                for name, value in self.headers.items():
                    connection.putheader(name, value)
                connection.endheaders()
                answer = connection.getresponse()
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in ("connection", "transfer-encoding", "date", "server"):
                        self.send_header(name, value)
                if answer.length is None and self.command != "HEAD":
                    self.close_connection = True
                    self.send_header("Connection", "close")
                self.end_headers()
                while piece := answer.read(PIECE_BYTES):
                    self.wfile.write(piece)
                    counts.add(count=len(piece) if counts_it else 0)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True  # who asked has heard enough
            finally:
                connection.close()

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", counts
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
