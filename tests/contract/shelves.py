"""Places that hold objects, filled by other means than the store under test, and a proxy that spoils answers."""

from __future__ import annotations

import functools
import http.client
import threading
import traceback
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from pipeline.model import MediaObject
from pipeline.store import open_store
from pipeline.store.base import Store


class Shelf(ABC):
    """Where a test puts objects. `root` is the URI of all of them; a key may hold slashes."""

    root: str
    writes = True
    """Whether the store can hold a lake, or only gives media away."""

    lists_folders = True
    """Whether a source may be a prefix, or is always one object."""

    @abstractmethod
    def put(self, key: str, data: bytes) -> None: ...

    @abstractmethod
    def remove(self, key: str) -> None: ...

    def uri(self, key: str) -> str:
        return self.root + key


class FolderShelf(Shelf):
    def __init__(self, folder: Path) -> None:
        self.folder, self.root = folder, f"{folder}/"

    def put(self, key: str, data: bytes) -> None:
        path = self.folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def remove(self, key: str) -> None:
        (self.folder / key).unlink()


class BucketShelf(Shelf):
    def __init__(self, client: Any, bucket: str) -> None:
        self.client, self.bucket, self.root = client, bucket, f"s3://{bucket}/"
        client.create_bucket(Bucket=bucket)

    def put(self, key: str, data: bytes) -> None:
        self.client.put_object(Bucket=self.bucket, Key=key, Body=data)

    def remove(self, key: str) -> None:
        self.client.delete_object(Bucket=self.bucket, Key=key)


class WebShelf(FolderShelf):
    """A folder behind http://."""

    writes = lists_folders = False

    def __init__(self, folder: Path, url: str) -> None:
        super().__init__(folder)
        self.root = f"{url}/"

    def uri(self, key: str) -> str:
        return self.root + quote(key)


@contextmanager
def serving(handler: Any) -> Iterator[str]:
    """A web server on a free port of 127.0.0.1; yields its URL. Neither thread nor socket outlives the block."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = False  # so that closing it waits for each request's thread
    thread = threading.Thread(target=functools.partial(server.serve_forever, poll_interval=0.02))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Files(SimpleHTTPRequestHandler):
    """The files of a folder; gives Last-Modified and Content-Length, and no ETag."""

    def log_message(self, *_: Any) -> None:
        """Nothing on stderr."""


class Proxy:
    """Passes requests on to a server and spoils the answers that `faults` says, one entry a request.

    ok: passes it on. busy: 503, denied: 403 as S3 says it; the server never hears of either. cut: half of the body
    comes. lost: the server did it, and the connection breaks before its answer. The last entry holds for all further
    requests.
    """

    def __init__(self, upstream: str, *faults: str) -> None:
        self.upstream, self.faults = urlsplit(upstream).netloc, list(faults)
        self.asked: list[str] = []
        self._turn = threading.Lock()

    def fault(self, request: str) -> str:
        with self._turn:
            self.asked.append(request)
            return self.faults.pop(0) if len(self.faults) > 1 else self.faults[0]

    @contextmanager
    def url(self) -> Iterator[str]:
        with serving(functools.partial(_Spoiler, self)) as url:
            yield url


class _Spoiler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, proxy: Proxy, *args: Any) -> None:
        self._proxy = proxy
        super().__init__(*args)

    def do_GET(self) -> None:
        fault = self._proxy.fault(f"{self.command} {self.path}")
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.close_connection = True
        if fault in ("busy", "denied"):
            refusal = b"" if fault == "busy" else b"<Error><Code>AccessDenied</Code></Error>"
            self.send_response(403 if refusal else 503)
            self.send_header("Content-Length", str(len(refusal)))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(refusal)
            return
        status, headers, data = self._ask(body)
        if fault == "lost":
            return
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if fault == "cut" else data)

    do_PUT = do_HEAD = do_DELETE = do_POST = do_GET

    def _ask(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        upstream = http.client.HTTPConnection(self._proxy.upstream, timeout=30)
        try:
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                upstream.putheader(name, value)
            upstream.endheaders(body)
            answer = upstream.getresponse()
            data = answer.read()
            dropped = ("connection", "transfer-encoding", "content-length")
            headers = [(name, value) for name, value in answer.getheaders() if name.lower() not in dropped]
            return answer.status, [*headers, ("Content-Length", str(len(data)))], data
        finally:
            upstream.close()

    def log_message(self, *_: Any) -> None:
        """Nothing on stderr."""


def store_of(shelf: Shelf, *keys: str) -> Store:
    """A store for the shelf; an http store must be told the objects that it may fetch."""
    return open_store(shelf.root, tuple(shelf.uri(key) for key in keys))


def one(shelf: Shelf, key: str, data: bytes = b"bytes") -> tuple[Store, MediaObject]:
    """A store, and the media object that it lists for this new object."""
    shelf.put(key, data)
    store = store_of(shelf, key)
    (media,) = (media for media in store.list(shelf.uri(key)) if media.uri == shelf.uri(key))  # S3 lists a prefix
    return store, media


def said(error: BaseException) -> str:
    """All that a log would show of an error."""
    return "".join(traceback.format_exception(error))
