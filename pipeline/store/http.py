"""Single media files behind http(s) URLs, presigned ones among them.

The signature lives in the sources only: this store is opened with them and nothing else ever sees it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import httpx
from tenacity import retry, retry_if_exception, stop_after_attempt, wait_random_exponential

from pipeline.errors import MediaError, StoreError
from pipeline.model import MediaObject
from pipeline.store.base import LocalCopy, Ranges, Watch, digest, unwatched
from pipeline.store.ranges import ObjectRanges, Sink, asked_for, check_answer, pour
from pipeline.uris import media_id, stored_uri

if TYPE_CHECKING:
    import duckdb

for _name in ("httpx", "httpcore"):  # they log every URL with its signature, and Airflow keeps what is logged
    logging.getLogger(_name).setLevel(logging.WARNING)

_MOST_BYTES = 1 << 60

_READ_ONLY = "a lake can't lie behind an http(s) URL: give a folder or s3://bucket/prefix"
_MEDIA_CODES = {401: "access_denied", 403: "access_denied", 404: "not_found", 410: "not_found"}


def _may_pass(error: BaseException) -> bool:
    """The connection or the body broke off, or the server is busy."""
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code == 429 or error.response.status_code >= 500
    return isinstance(error, httpx.TransportError)


_patiently = retry(
    retry=retry_if_exception(_may_pass),
    stop=stop_after_attempt(4),
    wait=wait_random_exponential(multiplier=0.25, max=8),
    reraise=True,
)


class HttpStore:
    """Objects by URL. The etag is the server's, or its date and size where it gives none."""

    def __init__(
        self,
        sources: tuple[str, ...] = (),
        *,
        transport: httpx.BaseTransport | None = None,
        max_redirects: int = 20,
        reads_on: bool = False,
    ) -> None:
        """transport: who connects; None: httpx itself, to wherever a URL leads. reads_on: the answer that told `list`
        of an object stays open for `fetch`, which then asks for nothing: for one object that is fetched at once.
        """
        self._client = httpx.Client(
            transport=transport,
            max_redirects=max_redirects,
            follow_redirects=True,
            timeout=httpx.Timeout(60, connect=10),
            headers={"Accept-Encoding": "identity"},  # media are packed already, and a packed answer hides its size
        )
        self._urls = {media_id(source): source for source in sources}
        self._reads_on, self._open = reads_on, dict[str, httpx.Response]()

    def close(self) -> None:
        """Let go of all connections."""
        for response in self._open.values():
            response.close()
        self._client.close()

    def list(self, source: str) -> Iterator[MediaObject]:
        shown = stored_uri(source)
        try:
            headers = self._headers(source)
        except httpx.HTTPStatusError as error:
            status = error.response.status_code
            raise StoreError(
                f"'{shown}' answered {status}: check the URL and its expiry", _MEDIA_CODES.get(status, "unreadable")
            ) from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise StoreError(f"'{shown}' can't be reached ({type(error).__name__}): check the URL") from None
        size = headers.get("content-length", "0")
        if not size.isdigit() or int(size) > _MOST_BYTES:
            raise StoreError(f"'{shown}' says that it has {size[:40]} bytes: check the URL")
        yield MediaObject(shown, _etag(headers), int(size), _modified(headers), media_id(source))

    @_patiently
    def _headers(self, url: str) -> httpx.Headers:
        """From a GET whose body isn't read, or isn't yet: a signature may allow GET alone."""
        with ExitStack() as leaving:
            response = leaving.enter_context(
                closing(self._client.send(self._client.build_request("GET", url), stream=True))
            )
            response.raise_for_status()
            if self._reads_on:
                self._open[url] = response
                leaving.pop_all()
            return response.headers

    def fetch(self, media: MediaObject, folder: Path, watch: Watch = unwatched) -> LocalCopy:
        path = folder / f"{media.media_id}{media.suffix}"
        with _reading():
            content_id = self._download(self._url(media), media.etag, path, watch)
        return LocalCopy(path, content_id, path.stat().st_size)

    @_patiently
    def _download(self, url: str, etag: str, path: Path, watch: Watch) -> str:
        """Stream one version of an object into a file; returns its SHA-256."""
        with self._answer(url) as response, path.open("wb") as file:
            response.raise_for_status()
            if _etag(response.headers) != etag:
                raise MediaError("object_changed")
            if _is_packed(response):  # though it was asked not to: some bytes unpack to any number
                raise MediaError("unreadable", "the server packs what it sends")
            return digest(response.iter_raw(), watch, file)[0]  # chunks as they come: a slow server is heard too

    def _answer(self, url: str) -> AbstractContextManager[httpx.Response]:
        opened = self._open.pop(url, None)
        return closing(opened) if opened else self._client.stream("GET", url)

    def ranges(self, media: MediaObject, watch: Watch = unwatched) -> Ranges | None:
        """None where the server shows no range of an object when asked for one, or no ETag that names one version."""
        url = self._url(media)

        def source(start: int, stop: int, sink: Sink) -> dict[str, str]:
            with _reading():
                self._range(url, media, start, stop, sink)
            return {}

        with _reading():
            serves = media.size_bytes > 0 and self._serves_ranges(url, media)
        return ObjectRanges(media.size_bytes, source, watch) if serves else None

    @_patiently
    def _serves_ranges(self, url: str, media: MediaObject) -> bool:
        """From a GET of the first byte: what a server says of itself in a header may be untrue."""
        with self._client.stream("GET", url, headers={"Range": asked_for(0, 1)}) as response:
            if response.status_code != 416:
                response.raise_for_status()
            if response.status_code != 206 or not response.headers.get("etag", "").startswith('"'):
                return False  # a weak ETag (W/"…") may name several versions
            if _etag(response.headers) != media.etag:
                raise MediaError("object_changed")
            return not _is_packed(response)

    @_patiently
    def _range(self, url: str, media: MediaObject, start: int, stop: int, sink: Sink) -> None:
        """Give a range of one version of an object to the sink. Redirects are followed anew: their targets expire."""
        headers = {"Range": asked_for(start, stop), "If-Match": f'"{media.etag}"'}
        with self._client.stream("GET", url, headers=headers) as response:
            if response.status_code in (412, 416):
                raise MediaError("object_changed")
            response.raise_for_status()
            if response.headers.get("etag") != f'"{media.etag}"':  # of a server that knows no If-Match
                raise MediaError("object_changed")
            check_answer(response.status_code, response.headers.get("content-range"), start, stop, media.size_bytes)
            if _is_packed(response):
                raise MediaError("unreadable", "the server packs ranges")
            pour(response.iter_raw(), start, stop, sink)

    def _url(self, media: MediaObject) -> str:
        if url := self._urls.get(media.media_id):
            return url
        raise MediaError("unreadable", "its URL was not among this run's sources")

    def changed(self, media: MediaObject) -> bool:  # noqa: ARG002
        """Never: `fetch` made a copy of one version."""
        return False

    def beside(self, media: MediaObject, ending: str) -> None:
        """Nothing: a URL says nothing of its neighbours, and a signature opens one object alone."""

    def read(self, uri: str) -> NoReturn:  # noqa: ARG002
        raise StoreError(_READ_ONLY)

    def write(self, uri: str, data: bytes, *, if_absent: bool = False) -> NoReturn:  # noqa: ARG002
        raise StoreError(_READ_ONLY)

    def names(self, prefix: str) -> NoReturn:  # noqa: ARG002
        raise StoreError(_READ_ONLY)

    def delete(self, uri: str) -> NoReturn:  # noqa: ARG002
        raise StoreError(_READ_ONLY)

    def clear(self, prefix: str) -> NoReturn:  # noqa: ARG002
        raise StoreError(_READ_ONLY)

    def clear_parts(self, prefix: str) -> NoReturn:  # noqa: ARG002
        raise StoreError(_READ_ONLY)

    def prepare(self, con: duckdb.DuckDBPyConnection) -> NoReturn:  # noqa: ARG002
        raise StoreError(_READ_ONLY)


@contextmanager
def _reading() -> Iterator[None]:
    """Turn what httpx raises for one object into a code. Without its cause, which shows the URL and its signature."""
    try:
        yield
    except httpx.HTTPStatusError as error:
        status = error.response.status_code
        raise MediaError(_MEDIA_CODES.get(status, "unreadable"), f"HTTP {status}") from None
    except (httpx.HTTPError, OSError) as error:
        raise MediaError("unreadable", type(error).__name__) from None


def _is_packed(response: httpx.Response) -> bool:
    return response.headers.get("content-encoding", "identity") != "identity"


def _etag(headers: httpx.Headers) -> str:
    given = headers.get("etag", "").removeprefix("W/").strip('"')
    return given or f"{headers.get('last-modified', '')}-{headers.get('content-length', '')}"


def _modified(headers: httpx.Headers) -> datetime | None:
    try:
        return parsedate_to_datetime(headers["last-modified"])
    except (KeyError, ValueError, OverflowError):
        return None
