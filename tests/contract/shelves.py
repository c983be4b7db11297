"""Places that hold objects, filled by other means than the store under test, and a proxy that spoils answers."""

from __future__ import annotations

import functools
import hashlib
import re
import threading
import traceback
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from pipeline.model import MediaObject
from pipeline.store import open_store
from pipeline.store.base import Store
from tests.servers.faulty_s3 import pass_on


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


class RangesShelf(WebShelf):
    """A folder behind a web server that gives strong ETags and ranges, or does as `manner` says.

    no_if_match: doesn't know that header. ignores_ranges: sends all, of which there is no end. weak: W/"…".
    no_etag, packed: says that it packed the bytes. shifted: another range. short, long: another number of bytes
    than the range has, its own Content-Length right. unsized: * for the size; resized: a wrong one. shrunk: 416.
    """

    manner = ""

    def __init__(self, folder: Path, url: str) -> None:
        super().__init__(folder, url)
        self.asked: list[dict[str, str]] = []


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


class RangedFiles(Files):
    """The files of a RangesShelf."""

    def __init__(self, shelf: RangesShelf, *args: Any) -> None:
        self._shelf = shelf
        super().__init__(*args, directory=str(shelf.folder))

    def do_GET(self) -> None:
        self._shelf.asked.append({name.lower(): value for name, value in self.headers.items()})
        try:
            data = Path(self.translate_path(self.path)).read_bytes()
        except OSError:
            return self.send_error(404)
        manner, etag = self._shelf.manner, f'"{hashlib.sha256(data).hexdigest()[:16]}"'
        if self.headers.get("if-match", etag) != etag and manner != "no_if_match":
            return self.send_error(412)
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("range", ""))
        if not found or manner == "ignores_ranges":
            return self._send(200, {"ETag": etag}, data, endless=bool(found))
        first, last = (int(number) for number in found.groups())
        if last >= len(data) or manner == "shrunk":
            return self.send_error(416)
        headers = {"ETag": {"weak": f"W/{etag}", "no_etag": ""}.get(manner, etag)}
        headers |= {"Content-Encoding": "gzip"} if manner == "packed" else {}
        shift, size = int(manner == "shifted"), {"unsized": "*", "resized": len(data) + 1}.get(manner, len(data))
        headers["Content-Range"] = f"bytes {first + shift}-{last + shift}/{size}"
        piece = data[first : last + 1]
        return self._send(206, headers, {"short": piece[:-1], "long": piece + b"x"}.get(manner, piece))

    def _send(self, status: int, headers: dict[str, str], body: bytes, *, endless: bool = False) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(1 << 40 if endless else len(body))} | headers).items():
            if value:
                self.send_header(name, value)
        self.end_headers()
        with suppress(OSError):  # who asked has gone
            self.wfile.write(body)
            while endless:
                self.wfile.write(bytes(1 << 20))


class Proxy:
    """Passes requests on to a server and spoils the answers that `faults` says, one entry a request.

    ok: passes it on. busy: 503, denied: 403 as S3 says it; the server never hears of either. cut: half of the body
    comes. lost: the server did it, and the connection breaks before its answer. whole: 200 in place of 206, as of
    a server that ignores Range. unmatched: another version's ETag, as of one that ignores If-Match. The last entry
    holds for all further requests.
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
        status, headers, data = pass_on(self, f"http://{self._proxy.upstream}", body)
        if fault == "lost":
            return
        if fault == "whole":
            status, headers = 200, {name: value for name, value in headers.items() if name.lower() != "content-range"}
        if fault == "unmatched":
            headers = {name: '"another"' if name.lower() == "etag" else value for name, value in headers.items()}
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Connection", "close")
        self.end_headers()
        with suppress(OSError):  # who asked has gone
            self.wfile.write(data[: len(data) // 2] if fault == "cut" else data)

    do_PUT = do_HEAD = do_DELETE = do_POST = do_GET

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
