"""Single media files behind http(s) URLs, presigned ones among them.

The signature lives in the sources only: this store is opened with them and nothing else ever sees it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import httpx

from pipeline.errors import MediaError, StoreError
from pipeline.model import MediaObject, media_id, stored_uri
from pipeline.store.base import LocalCopy

if TYPE_CHECKING:
    import duckdb

_READ_ONLY = "a lake can't lie behind an http(s) URL: give a folder or s3://bucket/prefix"


class HttpStore:
    """Objects by URL. The etag is the server's, or its date and size where it gives none."""

    def __init__(self, sources: tuple[str, ...] = ()) -> None:
        self._client = httpx.Client(
            follow_redirects=True, timeout=httpx.Timeout(60, connect=10), transport=httpx.HTTPTransport(retries=3)
        )
        self._urls = {media_id(source): source for source in sources}

    def list(self, source: str) -> Iterator[MediaObject]:
        shown = stored_uri(source)
        try:
            # A signature may allow GET alone, so the headers come from a GET whose body isn't read.
            with self._client.stream("GET", source) as response:
                response.raise_for_status()
                headers = response.headers
        except httpx.HTTPStatusError as error:
            raise StoreError(f"'{shown}' answered {error.response.status_code}: check the URL and its expiry") from None
        except httpx.HTTPError as error:
            raise StoreError(f"'{shown}' can't be reached ({type(error).__name__}): check the URL") from None
        size = int(headers.get("content-length", 0))
        yield MediaObject(shown, _etag(headers), size, _modified(headers), media_id(source))

    def fetch(self, media: MediaObject, folder: Path) -> LocalCopy:
        path = folder / f"{media.media_id}{media.suffix}"
        url = self._urls.get(media.media_id)
        if url is None:
            raise MediaError("unreadable", "its URL was not among this run's sources")
        digest = hashlib.sha256()
        try:
            with self._client.stream("GET", url) as response, path.open("wb") as file:
                if response.status_code in (401, 403):
                    raise MediaError("access_denied", f"HTTP {response.status_code}")
                if response.status_code in (404, 410):
                    raise MediaError("not_found", f"HTTP {response.status_code}")
                response.raise_for_status()
                if _etag(response.headers) != media.etag:
                    raise MediaError("object_changed")
                for chunk in response.iter_bytes(1 << 20):
                    digest.update(chunk)
                    file.write(chunk)
        except httpx.HTTPStatusError as error:
            raise MediaError("unreadable", f"HTTP {error.response.status_code}") from None
        except httpx.HTTPError as error:
            raise MediaError("unreadable", type(error).__name__) from None
        return LocalCopy(path, digest.hexdigest(), path.stat().st_size)

    def changed(self, media: MediaObject) -> bool:  # noqa: ARG002
        """Never: `fetch` made a copy of one version."""
        return False

    def read(self, uri: str) -> NoReturn:  # noqa: ARG002
        raise StoreError(_READ_ONLY)

    def write(self, uri: str, data: bytes, *, if_absent: bool = False) -> NoReturn:  # noqa: ARG002
        raise StoreError(_READ_ONLY)

    def names(self, prefix: str) -> NoReturn:  # noqa: ARG002
        raise StoreError(_READ_ONLY)

    def delete(self, uri: str) -> NoReturn:  # noqa: ARG002
        raise StoreError(_READ_ONLY)

    def prepare(self, con: duckdb.DuckDBPyConnection) -> NoReturn:  # noqa: ARG002
        raise StoreError(_READ_ONLY)


def _etag(headers: httpx.Headers) -> str:
    given = headers.get("etag", "").removeprefix("W/").strip('"')
    return given or f"{headers.get('last-modified', '')}-{headers.get('content-length', '')}"


def _modified(headers: httpx.Headers) -> datetime | None:
    try:
        return parsedate_to_datetime(headers["last-modified"])
    except (KeyError, ValueError):
        return None
